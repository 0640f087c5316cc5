"""The audit trail, read and proved. Events are written by the transactions that make the changes, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, select

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.errors import StateConflict
from holdfast.ledger.place import Place
from holdfast.ledger.prove import prove_events
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.event import page_content
from holdfast.service.transaction import Transactions
from holdfast.store import mapping
from holdfast.store.queries.page import page_of
from holdfast.store.tables import AuditEventRow
from holdfast.wire.audit import AuditEvent
from holdfast.wire.ledger import EventProofs
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class AuditService:
    """Implements `ports.Audit`."""

    transactions: Transactions
    log: Place | None = None

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

    def prove(
        self,
        name: str | None,
        *,
        event: UUID | None = None,
        run: UUID | None = None,
        model_version: UUID | None = None,
    ) -> EventProofs:
        """Return the proofs of one event of a Project, or of every event about a Run or a ModelVersion; of any Project where name is None.

        Raises:
            StateConflict: no log is kept, or an event is not in it yet.
            NotFound, InvalidRequest: what `prove_events` raises.
        """
        asked = {"event": event, "run": run, "model_version": model_version}
        with self.transactions.disclose(Permission.AUDIT_READ, name) as disclosure:
            if self.log is None:
                raise StateConflict(
                    "this service does not know where the log is", remedy="Set HOLDFAST_LEDGER_LOG where it runs"
                )
            proofs = prove_events(
                disclosure.connection, self.log, name, event=event, run=run, model_version=model_version
            )
            [(kind, identity)] = [(kind, str(one)) for kind, one in asked.items() if one is not None]
            disclosure.record(
                AuditAction.AUDIT_EVENTS_READ, "audit_event", name or "", {kind: identity, "proved": proofs.count}
            )
        return proofs
