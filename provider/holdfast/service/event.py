"""An audit event as it is stored, and events that belong to no change of ours: denied calls, log-ins, what others change."""

import os
import threading
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from holdfast.core.access import Caller
from holdfast.core.audit import SALT_SIZE_BYTES, AuditAction, Outcome, commitment
from holdfast.core.ids import uuid7_after
from holdfast.service.refusals import translate
from holdfast.store.record import write_record
from holdfast.wire.canonical import event_bytes
from holdfast.wire.types import Page


class _Made(threading.local):
    last = UUID(int=0)


_MADE = _Made()


def new_id() -> UUID:
    """Return a fresh identifier, which sorts behind all that this thread has made before: events of one change keep their order."""
    _MADE.last = uuid7_after(_MADE.last, time.time_ns() // 1_000_000, os.urandom(10))
    return _MADE.last


def event_row(
    caller: Caller,
    place: str | None,
    action: AuditAction,
    target: tuple[str, str],
    content: Mapping[str, object],
    *,
    reason: str = "",
    outcome: Outcome = Outcome.SUCCEEDED,
) -> dict[str, object]:
    """Return a row of `audit_event`, its content in canonical form and committed to; raises InvalidRequest for what no event may hold."""
    target_type, target_id = target
    event: dict[str, object] = {
        "format": "holdfast.audit-event/1",
        "id": str(identity := new_id()),
        "action": action.value,
        "initiator": caller.principal,
        "project": place,
        "target": {"type": target_type, "id": target_id},
        "outcome": outcome.value,
        "reason": reason,
        "request_id": caller.request_id,
        "trace_id": caller.trace_id,
        "content": dict(content),
    }
    canonical, salt = event_bytes(event), os.urandom(SALT_SIZE_BYTES)
    return {
        "id": identity,
        "project": place,
        "action": action.value,
        "initiator": caller.principal,
        "target_type": target_type,
        "target_id": target_id,
        "outcome": outcome.value,
        "content": canonical.decode(),
        "salt": salt,
        "commitment": commitment(salt, canonical),
    }


def page_content(page: Page[Any]) -> dict[str, object]:
    """Return what an event says of a page that somebody has read."""
    return {"count": len(page.items), "is_last": page.next is None}


def record_events(engine: Engine, *events: dict[str, object]) -> None:
    """Commit events that belong to no change of ours, together.

    Raises:
        Unavailable: they are not recorded; whoever asked has to be refused.
    """
    with translate(), engine.begin() as connection:
        write_record(connection, events, None)
