"""EnvironmentLocks: what Runs run on, fixed."""

from dataclasses import dataclass

from sqlalchemy import func, insert, select

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.digest import parse, text_of
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.transaction import Change, Transactions, new_id
from holdfast.store import mapping
from holdfast.store.queries.page import page_of
from holdfast.store.tables import EnvironmentLockRow
from holdfast.wire.canonical import document_digest
from holdfast.wire.run import EnvironmentLock, EnvironmentRequest
from holdfast.wire.types import Page


@dataclass(frozen=True)
class EnvironmentService:
    """The part of `ports.Runs` that locks environments."""

    transactions: Transactions

    def lock_environment(self, name: str, request: EnvironmentRequest, *, key: str | None = None) -> EnvironmentLock:
        """Lock an environment; the same content under the same name is the EnvironmentLock there is already.

        A new content becomes what the name means for Runs created from now on; Runs keep what they were bound to.
        """
        content = request.model_dump(mode="json")
        digest = document_digest({"format": "holdfast.environment-lock/1", **content})

        def apply(change: Change) -> EnvironmentLock:
            named = (EnvironmentLockRow.project_id == change.project) & (EnvironmentLockRow.name == request.name)
            same = select(*EnvironmentLockRow.__table__.c).where(named, EnvironmentLockRow.digest == digest)
            if (row := change.connection.execute(same).one_or_none()) is not None:
                change.nothing_changed()
                return mapping.environment_of(row, name)
            number = 1 + (change.connection.scalar(select(func.max(EnvironmentLockRow.number)).where(named)) or 0)
            row = change.connection.execute(
                insert(EnvironmentLockRow)
                .values(
                    id=new_id(),
                    project_id=change.project,
                    name=request.name,
                    number=number,
                    kind=request.kind,
                    reference=request.reference,
                    distributions=request.distributions,
                    sbom_digest=parse(request.sbom_digest) if request.sbom_digest else None,
                    digest=digest,
                    created_by=change.caller.principal,
                )
                .returning(*EnvironmentLockRow.__table__.c)
            ).one()
            recorded = {
                "name": request.name,
                "number": number,
                "kind": request.kind.value,
                "reference": request.reference,
            }
            change.record(
                AuditAction.ENVIRONMENT_LOCKED, "environment_lock", row.id, {**recorded, "digest": text_of(digest)}
            )
            return mapping.environment_of(row, name)

        return self.transactions.change(
            "runs.lock_environment",
            Permission.ENVIRONMENT_WRITE,
            name,
            request,
            key,
            EnvironmentLock,
            apply,
            turn=f"environment/{request.name}",
        )

    def list_environments(
        self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[EnvironmentLock]:
        """Return EnvironmentLocks, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            statement = select(*EnvironmentLockRow.__table__.c).where(EnvironmentLockRow.project_id == found.project_id)
            return page_of(
                connection,
                statement,
                EnvironmentLockRow.id,
                lambda row: mapping.environment_of(row, name),
                limit=limit,
                cursor=cursor,
            )
