"""Artifacts: read, attached after the fact, downloaded under a grant."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, select

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.digest import text_of
from holdfast.core.errors import InvalidRequest, NotFound, StateConflict
from holdfast.core.run import RunState, is_terminal
from holdfast.ports import DEFAULT_LIMIT, ObjectStore
from holdfast.service.outputs import artifact_rows, find_unstored
from holdfast.service.staging import GrantMaker
from holdfast.service.transaction import Change, Transactions
from holdfast.store import mapping
from holdfast.store.insert import insert_row
from holdfast.store.queries.page import page_of
from holdfast.store.queries.runs import run_by_id
from holdfast.store.tables import ArtifactRow
from holdfast.wire.artifact import Artifact, ArtifactRequest
from holdfast.wire.run import Grant
from holdfast.wire.types import Page

_ARTIFACTS = select(*ArtifactRow.__table__.c).where(ArtifactRow.project_id == bindparam("in_project"))
_OF_RUN = _ARTIFACTS.where(ArtifactRow.run_id == bindparam("of_run"))


@dataclass(frozen=True, slots=True)
class ArtifactService:
    """Implements `ports.Artifacts`."""

    transactions: Transactions
    objects: ObjectStore
    grant_lifetime_s: int

    def register(self, name: str, request: ArtifactRequest, *, key: str | None = None) -> Artifact:
        """Attach a stored file to a Run that is still open, apart from its declared outputs.

        Raises:
            StateConflict: the Run has ended: its Artifacts are complete.
            InvalidRequest: the file is not stored under the Run's key, or has the name of a declared output.
            IntegrityViolation: the store holds other bytes.
        """
        with self.transactions.read(Permission.ARTIFACT_WRITE, name) as (_, found):
            project_id = found.project_id
        unstored = find_unstored(self.objects, project_id, request.run, [request.file])

        def apply(change: Change) -> Artifact:
            row = run_by_id(change.connection, change.project, name, request.run, lock=True)
            if is_terminal(RunState(row.state)):
                raise StateConflict(
                    f"Run {request.run} is {row.state}; its Artifacts are complete", remedy="Attach it to an open Run"
                )
            if request.file.name.partition("/")[0] in row.outputs:
                raise InvalidRequest(
                    f"{request.file.name!r} is a declared output of the Run", remedy="Finish the Run with it"
                )
            if unstored is not None:
                raise unstored
            rows = artifact_rows(change, request.run, [request.file], "attached", request.kind)
            return mapping.artifact_of(insert_row(change.connection, ArtifactRow, rows[0]), name)

        return self.transactions.change(
            "artifacts.register", Permission.ARTIFACT_WRITE, name, request, key, Artifact, apply
        )

    def get(self, name: str, artifact: UUID) -> Artifact:
        """Return an Artifact; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            return mapping.artifact_of(_artifact(connection, found.project_id, name, artifact), name)

    def list(
        self, name: str, *, run: UUID | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Artifact]:
        """Return Artifacts, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            return page_of(
                connection,
                _ARTIFACTS if run is None else _OF_RUN,
                ArtifactRow.id,
                lambda row: mapping.artifact_of(row, name),
                limit=limit,
                cursor=cursor,
                given={"in_project": found.project_id, **({"of_run": run} if run is not None else {})},
            )

    def grant_download(self, name: str, artifact: UUID) -> Grant:
        """Return leave to read an Artifact's bytes; raises NotFound, StateConflict where they are gone."""
        with self.transactions.disclose(Permission.ARTIFACT_CONTENT, name) as disclosure:
            row = _artifact(disclosure.connection, disclosure.project_id, name, artifact)
            if row.state == "purged":
                raise StateConflict(
                    f"Artifact {artifact} is purged; its bytes are gone", remedy="Its record and certificate remain"
                )
            content = {"run": str(row.run_id), "name": row.name, "digest": text_of(row.digest)}
            disclosure.record(AuditAction.ARTIFACT_GRANTED, "artifact", artifact, content)
        maker = GrantMaker.of(self.objects, self.grant_lifetime_s, row.size_bytes)
        return maker.download(row.name, row.object_key, row.version_id, row.digest, row.size_bytes)


def _artifact(connection: Connection, project_id: UUID | None, project: str, artifact: UUID) -> Row[Any]:
    row = connection.execute(
        select(*ArtifactRow.__table__.c).where(ArtifactRow.project_id == project_id, ArtifactRow.id == artifact)
    ).one_or_none()
    if row is None:
        raise NotFound(
            f"there is no Artifact {artifact} in Project {project!r}", remedy="List them with GET /artifacts"
        )
    return row
