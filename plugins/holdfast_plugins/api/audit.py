"""The audit trail, and who one is."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from holdfast.core.audit import AuditAction
from holdfast.wire.audit import AuditEvent
from holdfast.wire.ledger import EventProofs
from holdfast.wire.types import Page
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Known, Limit, router

routes = router("audit")
Target = Annotated[str | None, Query(max_length=200)]


@routes.get("/projects/{project}/audit-events")
def list_audit_events(
    project: str,
    governed: Governed,
    action: AuditAction | None = None,
    target: Target = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[AuditEvent]:
    """List the audit events of a Project."""
    return governed.audit.list(project, action=action, target=target, limit=limit, cursor=cursor)


@routes.get("/audit-events")
def list_all_audit_events(
    governed: Governed,
    action: AuditAction | None = None,
    target: Target = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[AuditEvent]:
    """List the audit events of the whole platform."""
    return governed.audit.list(None, action=action, target=target, limit=limit, cursor=cursor)


@routes.get("/projects/{project}/audit-proofs")
def prove_audit_events(
    project: str,
    governed: Governed,
    event: UUID | None = None,
    run: UUID | None = None,
    model_version: UUID | None = None,
) -> EventProofs:
    """Prove that an event of a Project stands in the log, or every event about a Run or a ModelVersion; exactly one is named."""
    return governed.audit.prove(project, event=event, run=run, model_version=model_version)


@routes.get("/audit-proofs")
def prove_all_audit_events(
    governed: Governed, event: UUID | None = None, run: UUID | None = None, model_version: UUID | None = None
) -> EventProofs:
    """The same for events of the whole platform."""
    return governed.audit.prove(None, event=event, run=run, model_version=model_version)


@routes.get("/whoami")
def show_caller(caller: Known) -> dict[str, Any]:
    """Show who the API takes the caller for."""
    scope = sorted(caller.scope) if caller.scope is not None else None
    return {"principal": caller.principal, "groups": sorted(caller.groups), "project": caller.project, "scope": scope}
