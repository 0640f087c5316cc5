"""The audit trail, read. Events are written by the transactions that make the changes, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, select

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.event import page_content
from holdfast.service.transaction import Transactions
from holdfast.store import mapping
from holdfast.store.queries.page import page_of
from holdfast.store.tables import AuditEventRow
from holdfast.wire.audit import AuditEvent
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class AuditService:
    """Implements `ports.Audit`."""

    transactions: Transactions

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection, for who may read the whole trail, to see how it is and not what is in it; raises PolicyViolation."""
        with self.transactions.read(Permission.AUDIT_READ, None) as (connection, _):
            yield connection

    def list(
        self,
        name: str | None,
        *,
        action: str | None = None,
        target: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[AuditEvent]:
        """Return the audit events of a Project, or of everything where name is None, newest first."""
        with self.transactions.disclose(Permission.AUDIT_READ, name) as disclosure:
            statement = select(*AuditEventRow.__table__.c)
            if name is not None:
                statement = statement.where(AuditEventRow.project == name)
            if action is not None:
                statement = statement.where(AuditEventRow.action == action)
            if target is not None:
                statement = statement.where(AuditEventRow.target_id == target)
            found = page_of(
                disclosure.connection, statement, AuditEventRow.id, mapping.event_of, limit=limit, cursor=cursor
            )
            content = {"action": action, "target": target, **page_content(found)}
            disclosure.record(AuditAction.AUDIT_EVENTS_READ, "audit_event", name or "", content)
        return found
