"""The audit trail over HTTP."""

from dataclasses import dataclass
from uuid import UUID

from holdfast.client.transport import Transport
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.audit import AuditEvent
from holdfast.wire.ledger import EventProofs
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class AuditClient:
    """Implements `ports.Audit`."""

    transport: Transport

    def list(
        self,
        name: str | None,
        *,
        action: str | None = None,
        target: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[AuditEvent]:
        """Return audit events."""
        path = "/audit-events" if name is None else f"/projects/{name}/audit-events"
        return self.transport.get(
            path, Page[AuditEvent], {"action": action, "target": target, "limit": limit, "cursor": cursor}
        )

    def prove(
        self,
        name: str | None,
        *,
        event: UUID | None = None,
        run: UUID | None = None,
        model_version: UUID | None = None,
    ) -> EventProofs:
        """Return the proofs of one event, or of every event about a Run or a ModelVersion."""
        path = "/audit-proofs" if name is None else f"/projects/{name}/audit-proofs"
        asked = {"event": event, "run": run, "model_version": model_version}
        return self.transport.get(path, EventProofs, {key: str(value) for key, value in asked.items() if value})
