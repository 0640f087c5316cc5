"""The audit ledger: the index of each event in the log, how far that has come, and the checkpoints."""

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.store.tables.audit import Xid8
from holdfast.store.tables.base import Bytes, CreatedAt, Table, is_digest


class LedgerLeafRow(Table):
    """The event at an index; append-only. No foreign key: an event's row may go while its leaf stays."""

    __tablename__ = "ledger_leaf"
    __table_args__ = (CheckConstraint("index >= 0", "index"), UniqueConstraint("event_id"))

    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[UUID]
    segment: Mapped[int] = mapped_column(BigInteger)


class LedgerHeadRow(Table):
    """How far the log has come; one row. What comes up to the cursor, (transaction, event), has its index."""

    __tablename__ = "ledger_head"
    __table_args__ = (CheckConstraint("is_only", "is_only"), CheckConstraint("size >= 0", "size"))

    is_only: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    size: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cursor_xid: Mapped[int] = mapped_column(Xid8(), server_default=text("'0'::xid8"))
    cursor_event: Mapped[UUID] = mapped_column(server_default=text("'00000000-0000-0000-0000-000000000000'::uuid"))
    server: Mapped[int] = mapped_column(BigInteger)


class LedgerCheckpointRow(Table):
    """The one checkpoint of a size; append-only. `note` is the text as it was signed."""

    __tablename__ = "ledger_checkpoint"
    __table_args__ = (*is_digest("root"), CheckConstraint("size > 0", "size"))

    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[Bytes]
    note: Mapped[str]
    signed_at: Mapped[CreatedAt]
