"""The audit trail, read and proved. Events are written by the transactions that make the changes, and nowhere else."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from holdfast.core.access import Permission
from holdfast.core.errors import StateConflict
from holdfast.ledger.place import Place
from holdfast.ledger.prove import prove_events
from holdfast.ports import DEFAULT_LIMIT
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
        with self.transactions.read(Permission.AUDIT_READ, name) as (connection, _):
            statement = select(*AuditEventRow.__table__.c)
            if name is not None:
                statement = statement.where(AuditEventRow.project == name)
            if action is not None:
                statement = statement.where(AuditEventRow.action == action)
            if target is not None:
                statement = statement.where(AuditEventRow.target_id == target)
            return page_of(connection, statement, AuditEventRow.id, mapping.event_of, limit=limit, cursor=cursor)

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
        with self.transactions.read(Permission.AUDIT_READ, name) as (connection, _):
            if self.log is None:
                raise StateConflict(
                    "this service does not know where the log is", remedy="Set HOLDFAST_LEDGER_LOG where it runs"
                )
            return prove_events(connection, self.log, name, event=event, run=run, model_version=model_version)
