"""Grants: leave for a Run's agent to fetch its inputs and to store its outputs, for a short time, for exactly these objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, select

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.digest import parse, text_of
from holdfast.core.errors import StateConflict
from holdfast.core.lifetime import lifetime
from holdfast.core.parts import part_sizes
from holdfast.core.run import RunState, is_terminal
from holdfast.ports import ObjectStore, SignedUrl
from holdfast.service.outputs import check_declared, object_key
from holdfast.service.sources import NO_SOURCES, RecordedFile, Sources, staged
from holdfast.service.transaction import Transactions
from holdfast.store.queries.runs import outputs_of
from holdfast.store.tables import ArtifactRow, DatasetFileRow, DatasetVersionRow, RunInputRow
from holdfast.wire.run import (
    Grant,
    Grants,
    MultipartGrant,
    OutputFile,
    PartGrant,
    StagedDataset,
    StagedFile,
    Staging,
    StoredFile,
    StoredFiles,
    UploadCompletion,
    UploadedFile,
    UploadRequest,
)


@dataclass(frozen=True, slots=True)
class GrantMaker:
    """Makes grants that expire together."""

    objects: ObjectStore
    expires_at: datetime

    @classmethod
    def of(cls, objects: ObjectStore, least_s: int, size_bytes: int) -> "GrantMaker":
        """Return a maker whose grants move so many bytes in all, and expire by this process's clock, which also checks them."""
        return cls(objects, datetime.now(UTC) + lifetime(least_s, size_bytes))

    def download(self, name: str, key: str, version_id: str, digest: bytes, size_bytes: int) -> Grant:
        """Return leave to read one version of one object."""
        signed = self.objects.grant(
            "GET", key, version_id=version_id, digest=digest, size_bytes=size_bytes, expires_at=self.expires_at
        )
        return self._grant(name, "GET", signed, key, digest, size_bytes)

    def upload(self, key: str, file: OutputFile) -> Grant | MultipartGrant:
        """Return leave to store one object with exactly this content: by one call, or in parts where the store takes them so."""
        digest = parse(file.digest)
        upload = self.objects.begin_upload(
            key,
            digest=digest,
            size_bytes=file.size_bytes,
            parts=[parse(part) for part in file.parts],
            expires_at=self.expires_at,
        )
        if upload.upload_id is None:
            return self._grant(file.name, "PUT", upload.parts[0], key, digest, file.size_bytes)
        sizes = part_sizes(file.size_bytes)
        return MultipartGrant.model_construct(
            name=file.name,
            upload_id=upload.upload_id,
            parts=[
                PartGrant.model_construct(url=signed.url, headers=dict(signed.headers), digest=part, size_bytes=size)
                for signed, part, size in zip(upload.parts, file.parts, sizes, strict=True)
            ],
            object_key=key,
            digest=file.digest,
            size_bytes=file.size_bytes,
            expires_at=self.expires_at,
        )

    def _grant(
        self, name: str, method: Literal["GET", "PUT"], signed: SignedUrl, key: str, digest: bytes, size_bytes: int
    ) -> Grant:
        return Grant.model_construct(
            name=name,
            method=method,
            url=signed.url,
            headers=dict(signed.headers),
            object_key=key,
            digest=text_of(digest),
            size_bytes=size_bytes,
            expires_at=self.expires_at,
        )


@dataclass(frozen=True)
class StagingService:
    """The part of `ports.Runs` that gives grants."""

    transactions: Transactions
    objects: ObjectStore
    grant_lifetime_s: int
    sources: Sources = NO_SOURCES

    def stage(self, name: str, run: UUID) -> Staging:
        """Return what an agent needs to put the Run's inputs in place; raises StateConflict where the Run has ended."""
        with self.transactions.disclose(Permission.RUN_WRITE, name) as disclosure:
            connection = disclosure.connection
            _check_open(run, outputs_of(connection, disclosure.project_id, name, run).state)
            bound = RunInputRow.run_id == run
            artifacts = connection.execute(
                select(RunInputRow.name.label("input_name"), *ArtifactRow.__table__.c)
                .join(ArtifactRow, ArtifactRow.id == RunInputRow.artifact_id)
                .where(bound)
            ).all()
            versions = connection.execute(
                select(
                    RunInputRow.name.label("input_name"),
                    DatasetVersionRow.id,
                    DatasetVersionRow.source,
                    DatasetVersionRow.source_type,
                )
                .join(DatasetVersionRow, DatasetVersionRow.id == RunInputRow.dataset_version_id)
                .where(bound)
            ).all()
            files = {version.id: _files(connection, version.id) for version in versions}
            content = {
                "artifacts": [str(artifact.id) for artifact in artifacts],
                "dataset_versions": [str(version.id) for version in versions],
            }
            disclosure.record(AuditAction.RUN_STAGED, "run", run, content)
        size_bytes = sum(sized.size_bytes for sized in (*artifacts, *chain.from_iterable(files.values())))
        maker = GrantMaker.of(self.objects, self.grant_lifetime_s, size_bytes)
        grants = [maker.download(a.input_name, a.object_key, a.version_id, a.digest, a.size_bytes) for a in artifacts]
        datasets = []
        for version in versions:
            if version.source_type == "s3":
                recorded = [RecordedFile(f.path, f.version_id, f.digest, f.size_bytes) for f in files[version.id]]
                grants += staged(self.sources, name, version.source, version.input_name, recorded, maker.expires_at)
                continue
            datasets.append(
                StagedDataset(
                    name=version.input_name,
                    source=version.source,
                    source_type=version.source_type,
                    files=[
                        StagedFile(path=f.path, digest=text_of(f.digest), size_bytes=f.size_bytes)
                        for f in files[version.id]
                    ],
                )
            )
        return Staging(grants=grants, datasets=datasets)

    def grant_uploads(self, name: str, run: UUID, request: UploadRequest) -> Grants:
        """Return leave to store these outputs of a Run; raises InvalidRequest for one that was not declared."""
        with self.transactions.read(Permission.RUN_WRITE, name, Permission.RUN_RECONCILE) as (connection, found):
            row = outputs_of(connection, found.project_id, name, run)
            _check_open(run, row.state)
            check_declared(run, row.outputs, (file.name for file in request.files))
        maker = GrantMaker.of(self.objects, self.grant_lifetime_s, sum(file.size_bytes for file in request.files))
        made = [maker.upload(object_key(found.project_id, run, file.name), file) for file in request.files]
        return Grants(
            grants=[grant for grant in made if isinstance(grant, Grant)],
            multipart=[grant for grant in made if isinstance(grant, MultipartGrant)],
        )

    def complete_uploads(self, name: str, run: UUID, request: UploadCompletion) -> StoredFiles:
        """Put uploads together from their parts and return where the files are; again it is the same answer.

        Raises:
            StateConflict: the Run has ended, or a part is missing; what is there stays until the Run ends.
            NotFound: there is no such upload of this Run's output.
            IntegrityViolation: an upload was begun for another content.
        """
        with self.transactions.read(Permission.RUN_WRITE, name, Permission.RUN_RECONCILE) as (connection, found):
            row = outputs_of(connection, found.project_id, name, run)
            _check_open(run, row.state)
            check_declared(run, row.outputs, (file.name for file in request.files))
        return StoredFiles(files=[self._complete(object_key(found.project_id, run, f.name), f) for f in request.files])

    def _complete(self, key: str, file: UploadedFile) -> StoredFile:
        facts = self.objects.complete_upload(key, file.upload_id, parse(file.digest), file.size_bytes)
        return StoredFile(
            name=file.name,
            digest=file.digest,
            size_bytes=file.size_bytes,
            object_key=key,
            version_id=facts.version_id,
        )


def _files(connection: Connection, version: UUID) -> Sequence[Row[Any]]:
    return connection.execute(
        select(*DatasetFileRow.__table__.c)
        .where(DatasetFileRow.dataset_version_id == version)
        .order_by(DatasetFileRow.path)
    ).all()


def _check_open(run: UUID, state: str) -> None:
    if is_terminal(RunState(state)):
        raise StateConflict(f"Run {run} is {state} and gets no grants", remedy="Start a new Run")
