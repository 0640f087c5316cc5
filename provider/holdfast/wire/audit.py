"""Audit events as they are read."""

from typing import Any
from uuid import UUID

from holdfast.core.audit import AuditAction, Outcome
from holdfast.wire.types import Digest, Time, Wire


class AuditEvent(Wire):
    """One event; `content` is what the commitment binds."""

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
