"""The audit trail as its owner sees it, and a database that takes no event for a while."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from holdfast.store.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_TABLES = sorted(
    table.name for table in Table.metadata.tables.values() if table.name not in ("audit_event", "ledger_head")
)


def events_of(connection: Connection, request_id: str) -> list[dict[str, Any]]:
    """Return the events that a call has caused."""
    rows = connection.execute(
        text("SELECT content FROM holdfast.audit_event WHERE content::json ->> 'request_id' = :id ORDER BY id"),
        {"id": request_id},
    )
    return [json.loads(row.content) for row in rows]


def state_of(connection: Connection) -> dict[str, str]:
    """Return a digest of every table's rows but the events'."""
    return {
        table: str(
            connection.scalar(text(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM holdfast.{table} t"))
        )
        for table in _TABLES
    }


@contextmanager
def no_events(connection: Connection) -> Iterator[None]:
    """Let the service write no audit event for a while."""
    columns = "(id, project, action, initiator, target_type, target_id, outcome, content, salt, commitment, segment)"
    connection.execute(text("REVOKE INSERT ON holdfast.audit_event FROM holdfast_service"))
    connection.execute(text(f"REVOKE INSERT {columns} ON holdfast.audit_event FROM holdfast_service"))
    try:
        yield
    finally:
        connection.execute(text(f"GRANT INSERT {columns} ON holdfast.audit_event TO holdfast_service"))
