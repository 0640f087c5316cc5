"""Many audit events, each as the service writes its own, without what they would be about."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, text

from holdfast.core.audit import SALT_SIZE_BYTES, class_of, commitment
from holdfast.core.ids import uuid7
from holdfast.store.tables import AuditEventRow
from holdfast.wire.canonical import event_bytes

if TYPE_CHECKING:
    from sqlalchemy import Engine

AT_ONCE = 1000


def event_row(action: str = "run.created", reason: str = "", **more: Any) -> dict[str, Any]:
    """Return a row of `audit_event`."""
    identity, salt = uuid7(time.time_ns() // 1_000_000, os.urandom(10)), os.urandom(SALT_SIZE_BYTES)
    event = {
        "format": "holdfast.audit-event/1",
        "id": str(identity),
        "action": action,
        "initiator": "user:mia",
        "project": "oncology",
        "target": {"type": action.partition(".")[0], "id": str(identity)},
        "outcome": "succeeded",
        "reason": reason,
        "request_id": os.urandom(16).hex(),
        "trace_id": "",
        "content": {"seal": "sha256:" + "0" * 64, "parameters": {"max_depth": 4}, "environment": "sklearn"},
        **more,
    }
    canonical = event_bytes(event)
    return {
        "id": identity,
        "project": event["project"],
        "action": event["action"],
        "initiator": event["initiator"],
        "target_type": event["target"]["type"],
        "target_id": event["target"]["id"],
        "outcome": event["outcome"],
        "content": canonical.decode(),
        "salt": salt,
        "commitment": commitment(salt, canonical),
    }


def write_events(engine: Engine, count: int, **more: Any) -> None:
    """Write so many events, a thousand in a transaction."""
    for begin in range(0, count, AT_ONCE):
        rows = [event_row(**more) for _ in range(min(AT_ONCE, count - begin))]
        with engine.begin() as connection:
            segment = connection.scalar(text("SELECT current_segment(:class)"), {"class": class_of(rows[0]["action"])})
            connection.execute(insert(AuditEventRow), [{**row, "segment": segment} for row in rows])
