"""Audit events, the segments they lie in, and how long those are kept. Events name by value what they are about: nothing cascades."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, text
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from holdfast.core.audit import EventClass, Outcome
from holdfast.store.tables.base import Bytes, CreatedAt, Id, Moment, Table, is_digest, one_of


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in SQL."""
        return "xid8"


class AuditEventRow(Table):
    """One event; append-only. `content` is the canonical form that the commitment binds, until it is erased.

    The table is partitioned: `segment` is the one of its class that was open. Without one, an event belongs to what is kept the longest.
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        *is_digest("salt"),
        one_of("outcome", Outcome),
        CheckConstraint("commitment = sha256(salt || convert_to(content, 'UTF8'))", "commitment_binds"),
        CheckConstraint(
            "(content IS NULL) = (erased_at IS NOT NULL) AND (salt IS NULL) = (erased_at IS NOT NULL)", "erased"
        ),
        Index("audit_event_project_ix", "project", "id"),
        Index("audit_event_action_ix", "project", "action", "id"),
        Index("audit_event_target_ix", "target_id", "id"),
        Index("audit_event_order_ix", "xid", "id"),
        {"postgresql_partition_by": "LIST (segment)"},
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
    content: Mapped[str | None]
    salt: Mapped[Bytes | None]
    commitment: Mapped[Bytes]
    erased_at: Mapped[Moment | None]
    segment: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, server_default=text("holdfast.current_segment('change')")
    )


_SEALED = ("sealed_at", "count", "first_index", "last_index", "oldest_at", "newest_at", "root", "indexes")


class AuditSegmentRow(Table):
    """A part of the audit trail that goes as a whole: open, then closed, sealed, disposed.

    Attributes:
        event_class: of all its events.
        count: of its events; with their indexes in the log, and the root of the tree over their leaves in that order, known at the seal.
        certificate: the event that says that it has gone.
    """

    __tablename__ = "audit_segment"
    __table_args__ = (
        *is_digest("root"),
        CheckConstraint(f"class IN ({', '.join(repr(str(one)) for one in EventClass)})", "class"),
        CheckConstraint("sealed_at IS NULL OR closed_at IS NOT NULL", "closed"),
        CheckConstraint(f"num_nulls({', '.join(_SEALED)}) IN (0, {len(_SEALED)})", "sealed"),
        CheckConstraint(
            "disposed_at IS NULL AND certificate IS NULL"
            " OR disposed_at IS NOT NULL AND certificate IS NOT NULL AND sealed_at IS NOT NULL AND class <> 'disposal'",
            "disposed",
        ),
        Index("audit_segment_open_ix", "class", unique=True, postgresql_where=text("closed_at IS NULL")),
    )

    segment: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    event_class: Mapped[str] = mapped_column("class")
    opened_at: Mapped[CreatedAt]
    closed_at: Mapped[Moment | None]
    sealed_at: Mapped[Moment | None]
    count: Mapped[int | None] = mapped_column(BigInteger)
    first_index: Mapped[int | None] = mapped_column(BigInteger)
    last_index: Mapped[int | None] = mapped_column(BigInteger)
    oldest_at: Mapped[Moment | None]
    newest_at: Mapped[Moment | None]
    root: Mapped[Bytes | None]
    indexes: Mapped[Any | None] = mapped_column(INT8MULTIRANGE)
    disposed_at: Mapped[Moment | None]
    certificate: Mapped[UUID | None]


class AuditRetentionRow(Table):
    """How long events of a class are kept; append-only, and the newest one counts."""

    __tablename__ = "audit_retention"
    __table_args__ = (
        CheckConstraint(
            f"class IN ({', '.join(repr(str(one)) for one in EventClass if one is not EventClass.DISPOSAL)})", "class"
        ),
        CheckConstraint("period_days BETWEEN 1 AND 36500", "period_days"),
        CheckConstraint("quota IS NULL OR quota >= 1 AND class IN ('denial', 'login', 'read')", "quota"),
        CheckConstraint("reason <> ''", "reason"),
        Index("audit_retention_class_ix", "class", "defined_at", "id"),
    )

    id: Mapped[Id]
    event_class: Mapped[str] = mapped_column("class")
    period_days: Mapped[int | None]
    quota: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str]
    defined_by: Mapped[str]
    defined_at: Mapped[CreatedAt]
