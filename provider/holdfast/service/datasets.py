"""DatasetVersions."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, func, insert, select

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.digest import of_files, parse, text_of
from holdfast.core.errors import InvalidRequest, NotFound
from holdfast.core.names import check_name
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.sources import NO_SOURCES, Sources, grant_page
from holdfast.service.transaction import Change, Transactions, new_id
from holdfast.store import mapping
from holdfast.store.queries.page import page_of
from holdfast.store.tables import DatasetFileRow, DatasetRow, DatasetVersionRow
from holdfast.wire.dataset import DatasetVersion, DatasetVersionRequest, FileEntry, SourceGrants, SourceRequest
from holdfast.wire.types import Page

_VERSIONS: Select[Any] = select(*DatasetVersionRow.__table__.c, DatasetRow.name.label("dataset_name")).join(
    DatasetRow, DatasetRow.id == DatasetVersionRow.dataset_id
)


@dataclass(frozen=True, slots=True)
class DatasetService:
    """Implements `ports.Datasets`."""

    transactions: Transactions
    sources: Sources = NO_SOURCES
    grant_lifetime_s: int = 900

    def register(
        self, name: str, dataset: str, request: DatasetVersionRequest, *, key: str | None = None
    ) -> DatasetVersion:
        """Register a DatasetVersion; the same files from the same source are the DatasetVersion there is already."""
        check_name("Dataset", dataset)
        if len({entry.path for entry in request.files}) != len(request.files):
            raise InvalidRequest(
                f"Dataset {dataset!r}: a path stands twice in the list of files", remedy="List each file once"
            )
        if request.source_type == "s3":
            # Who registers a file gets grants for it later on: for what the Project may read, and nothing else.
            self.sources.check(name, request.source)
        digest = of_files((entry.path, parse(entry.digest), entry.size_bytes) for entry in request.files)

        def apply(change: Change) -> DatasetVersion:
            dataset_id = _ensure_dataset(change, dataset)
            same = _VERSIONS.where(
                DatasetVersionRow.dataset_id == dataset_id,
                DatasetVersionRow.digest == digest,
                DatasetVersionRow.source == request.source,
            )
            if (row := change.connection.execute(same).one_or_none()) is not None:
                change.nothing_changed()
                return mapping.dataset_version_of(row, name, dataset)
            return self._insert(change, name, dataset, dataset_id, digest, request)

        return self.transactions.change(
            f"datasets.register/{dataset}",
            Permission.DATASET_WRITE,
            name,
            request,
            key,
            DatasetVersion,
            apply,
            turn=f"dataset/{dataset}",
        )

    def grant_source(self, name: str, request: SourceRequest) -> SourceGrants:
        """Return leave to read a page of a source's current versions; raises PolicyViolation where the Project may not."""
        return grant_page(self.transactions, self.sources, self.grant_lifetime_s, name, request)

    def _insert(
        self, change: Change, name: str, dataset: str, dataset_id: UUID, digest: bytes, request: DatasetVersionRequest
    ) -> DatasetVersion:
        number = 1 + (
            change.connection.scalar(
                select(func.max(DatasetVersionRow.number)).where(DatasetVersionRow.dataset_id == dataset_id)
            )
            or 0
        )
        size = sum(entry.size_bytes for entry in request.files)
        row = change.connection.execute(
            insert(DatasetVersionRow)
            .values(
                id=new_id(),
                project_id=change.project,
                dataset_id=dataset_id,
                number=number,
                digest=digest,
                file_count=len(request.files),
                size_bytes=size,
                state="available",
                created_by=change.caller.principal,
                **request.model_dump(mode="json", exclude={"files"}),
            )
            .returning(*DatasetVersionRow.__table__.c)
        ).one()
        change.connection.execute(
            insert(DatasetFileRow),
            [
                {
                    "dataset_version_id": row.id,
                    "project_id": change.project,
                    "path": entry.path,
                    "digest": parse(entry.digest),
                    "size_bytes": entry.size_bytes,
                    "version_id": entry.version_id,
                }
                for entry in request.files
            ],
        )
        content = {
            "dataset": dataset,
            "number": number,
            "source": request.source,
            "digest": text_of(digest),
            "file_count": len(request.files),
            "size_bytes": size,
        }
        change.record(AuditAction.DATASET_VERSION_REGISTERED, "dataset_version", row.id, content)
        return mapping.dataset_version_of(row, name, dataset)

    def get(self, name: str, version: UUID) -> DatasetVersion:
        """Return a DatasetVersion; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            row = _version(connection, found.project_id, name, version)
            return mapping.dataset_version_of(row, name, row.dataset_name)

    def list(
        self, name: str, dataset: str | None = None, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[DatasetVersion]:
        """Return DatasetVersions, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            statement = _VERSIONS.where(DatasetVersionRow.project_id == found.project_id)
            if dataset is not None:
                # As a subquery: only for one Dataset are the index's rows in the order of the pages.
                named = select(DatasetRow.id).where(
                    DatasetRow.project_id == found.project_id, DatasetRow.name == dataset
                )
                statement = statement.where(DatasetVersionRow.dataset_id == named.scalar_subquery())
            return page_of(
                connection,
                statement,
                DatasetVersionRow.id,
                lambda row: mapping.dataset_version_of(row, name, row.dataset_name),
                limit=limit,
                cursor=cursor,
            )

    def files(
        self, name: str, version: UUID, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[FileEntry]:
        """Return the files of a DatasetVersion, by path; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            _version(connection, found.project_id, name, version)
            statement = select(*DatasetFileRow.__table__.c).where(DatasetFileRow.dataset_version_id == version)
            return page_of(
                connection,
                statement,
                DatasetFileRow.path,
                mapping.file_of,
                limit=limit,
                cursor=cursor,
                newest_first=False,
            )


def _version(connection: Connection, project_id: UUID | None, project: str, version: UUID) -> Row[Any]:
    row = connection.execute(
        _VERSIONS.where(DatasetVersionRow.id == version, DatasetVersionRow.project_id == project_id)
    ).one_or_none()
    if row is None:
        raise NotFound(
            f"there is no DatasetVersion {version} in Project {project!r}",
            remedy="List them with GET /dataset-versions",
        )
    return row


def _ensure_dataset(change: Change, dataset: str) -> UUID:
    """Return the Dataset's id; the change has its turn."""
    here = select(DatasetRow.id).where(DatasetRow.project_id == change.project, DatasetRow.name == dataset)
    if (found := change.connection.scalar(here)) is not None:
        return found
    identity = new_id()
    change.connection.execute(insert(DatasetRow).values(id=identity, project_id=change.project, name=dataset))
    return identity
