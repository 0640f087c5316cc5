"""Audit events as they are read."""

from typing import Any
from uuid import UUID

from holdfast.core.audit import AuditAction, Outcome
from holdfast.wire.types import Digest, Time, Wire


class AuditEvent(Wire):
    """One event; its canonical form is what the commitment binds.

    Attributes:
        erased_at: when what it says, and about whom, was erased; `initiator` and `target_id` are `erased` then, and the rest is empty.
    """

    id: UUID
    recorded_at: Time
    project: str | None
    action: AuditAction
    initiator: str
    target_type: str
    target_id: str
    outcome: Outcome
    reason: str
    request_id: str
    trace_id: str
    content: dict[str, Any]
    commitment: Digest
    erased_at: Time | None = None
