"""Writes what a change leaves behind beside itself: its audit events, and the reply kept for its idempotency key."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, insert, text

from holdfast.store.tables import AuditEventRow, IdempotencyReplyRow
from holdfast.store.tables.base import SCHEMA

_EVENT = (
    "id",
    "project",
    "action",
    "initiator",
    "target_type",
    "target_id",
    "outcome",
    "content",
    "salt",
    "commitment",
)
_TOGETHER = 8
"""Most changes leave no more events than this; each number of events up to it is a statement that PostgreSQL plans once."""


def write_record(connection: Connection, events: Sequence[dict[str, Any]], reply: dict[str, Any] | None) -> None:
    """Insert the events in their order and the reply, in one round trip where there are not many events.

    Args:
        connection: with the transaction of the change.
        events: rows of `audit_event`.
        reply: a row of `idempotency_reply` with its reply as JSON text, None where none is kept.
    """
    if 0 < len(events) <= _TOGETHER:
        values = {f"{column}_{number}": event[column] for number, event in enumerate(events) for column in _EVENT}
        connection.execute(_statement(len(events), with_reply=reply is not None), {**values, **(reply or {})})
        return
    if events:
        connection.execute(insert(AuditEventRow), events)
    if reply is not None:
        connection.execute(_REPLY, reply)


_KEEP = (
    f"INSERT INTO {SCHEMA}.{IdempotencyReplyRow.__tablename__} (principal, key, request_digest, reply)"  # noqa: S608 - our own names
    " VALUES (:principal, :key, :request_digest, CAST(:reply AS jsonb))"
)
_REPLY = text(_KEEP)


@cache
def _statement(count: int, *, with_reply: bool) -> TextClause:
    # Written out, because SQLAlchemy compiles an INSERT of several rows anew each time.
    rows = ", ".join(f"({', '.join(f':{column}_{number}' for column in _EVENT)})" for number in range(count))
    table = f"{SCHEMA}.{AuditEventRow.__tablename__}"
    events = f"INSERT INTO {table} ({', '.join(_EVENT)}) VALUES {rows}"  # noqa: S608 - our own names
    return text(f"WITH kept AS ({_KEEP}) {events}" if with_reply else events)
