"""Where events are exported to: how far each sink has come, and what one has refused for good."""

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.store.tables.base import Bytes, CreatedAt, Id, Moment, Table


class ExportSinkRow(Table):
    """How far a sink has come; never deleted.

    Attributes:
        first: the index it begins with.
        cursor: the index that it gets next.
        leaf_hash: of the event before the cursor, as the sink was told; None before the first.
        error: why the last attempt failed; empty when it did not.
    """

    __tablename__ = "export_sink"
    __table_args__ = (
        CheckConstraint("first >= 0", "first"),
        CheckConstraint("cursor >= first", "cursor"),
        CheckConstraint("(leaf_hash IS NULL) = (cursor = first)", "leaf_hash_given"),
        CheckConstraint("octet_length(leaf_hash) = 32", "leaf_hash"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    first: Mapped[int] = mapped_column(BigInteger)
    cursor: Mapped[int] = mapped_column(BigInteger)
    leaf_hash: Mapped[Bytes | None]
    delivered_at: Mapped[Moment | None]
    error: Mapped[str] = mapped_column(server_default=text("''"))
    failing_since: Mapped[Moment | None]
    paused_at: Mapped[Moment | None]
    created_at: Mapped[CreatedAt]


class ExportDeadLetterRow(Table):
    """Events that a sink has refused for good, by their indexes; they stand in the log, so that they need not be copied here."""

    __tablename__ = "export_dead_letter"
    __table_args__ = (
        CheckConstraint("0 <= first AND first <= last", "range"),
        Index("export_dead_letter_sink_ix", "sink", "first"),
    )

    id: Mapped[Id]
    sink: Mapped[str]
    first: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str]
    created_at: Mapped[CreatedAt]
    replayed_at: Mapped[Moment | None]
