"""Writes what a change leaves behind beside itself: its audit events, and the reply kept for its idempotency key."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, text

from holdfast.core.audit import class_of
from holdfast.store.insert import TOGETHER, numbered, written_out
from holdfast.store.prepared import Prepared
from holdfast.store.tables import AuditEventRow, IdempotencyReplyRow


def write_record(connection: Connection, events: Sequence[dict[str, Any]], reply: dict[str, Any] | None) -> None:
    """Insert the events in their order and the reply, in one round trip where there are not many events.

    Args:
        connection: with the transaction of the change.
        events: rows of `audit_event`.
        reply: a row of `idempotency_reply` with its reply as JSON text, None where none is kept.
    """
    for begin in range(0, len(events), TOGETHER):
        part = events[begin : begin + TOGETHER]
        classes = {f"row{number}_class": class_of(row["action"]).value for number, row in enumerate(part)}
        statement = _statement(tuple(part[0]), len(part), with_reply=reply is not None)
        statement.all(connection, {**numbered(part), **classes, **(reply or {})})
        reply = None
    if reply is not None:
        _REPLY.all(connection, reply)


_KEEP = (
    f"INSERT INTO {IdempotencyReplyRow.__table__} (principal, key, request_digest, reply)"  # noqa: S608 - our own names
    " VALUES (:principal, :key, :request_digest, CAST(:reply AS json))"
)
_REPLY = Prepared(text(_KEEP))


_OPEN_SEGMENT = {"segment": "(SELECT segment FROM audit_segment WHERE class = :{row}_class AND closed_at IS NULL)"}


@cache
def _statement(columns: tuple[str, ...], count: int, *, with_reply: bool) -> Prepared:
    events = written_out(AuditEventRow, columns, count, computed=_OPEN_SEGMENT)
    return Prepared(text(f"WITH kept AS ({_KEEP}) {events}" if with_reply else events))
