"""Audit events. They name their Project and target by value, so that nothing can cascade into them."""

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from holdfast.core.audit import Outcome
from holdfast.store.tables.base import Bytes, CreatedAt, Id, Table, is_digest, one_of


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in SQL."""
        return "xid8"


class AuditEventRow(Table):
    """One event; append-only. `content` is the canonical form that the commitment binds."""

    __tablename__ = "audit_event"
    __table_args__ = (
        *is_digest("salt"),
        one_of("outcome", Outcome),
        CheckConstraint("commitment = sha256(salt || convert_to(content, 'UTF8'))", "commitment_binds"),
        Index("audit_event_project_ix", "project", "id"),
        Index("audit_event_action_ix", "project", "action", "id"),
        Index("audit_event_target_ix", "target_id", "id"),
        Index("audit_event_order_ix", "xid", "id"),
    )

    id: Mapped[Id]
    recorded_at: Mapped[CreatedAt] = mapped_column(server_default=text("clock_timestamp()"))
    xid: Mapped[int] = mapped_column(Xid8(), server_default=text("pg_current_xact_id()"))
    project: Mapped[str | None]
    action: Mapped[str]
    initiator: Mapped[str]
    target_type: Mapped[str]
    target_id: Mapped[str]
    outcome: Mapped[str]
    content: Mapped[str]
    salt: Mapped[Bytes]
    commitment: Mapped[Bytes]
