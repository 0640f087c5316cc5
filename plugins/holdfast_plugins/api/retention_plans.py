"""Retention plans of a Project, what is decided on them, and what became of what they let go. No route carries one out."""

from uuid import UUID

from holdfast.wire.retention_plan import (
    RetentionCertificate,
    RetentionLine,
    RetentionPlan,
    RetentionPlanDecisionRequest,
    RetentionPlanItem,
    RetentionPlanRequest,
    RetentionPlanSummary,
    RetentionPlanWithdrawal,
)
from holdfast.wire.types import Page
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Key, Limit, router

routes = router("retention plans")


@routes.post("/projects/{project}/retention-plans", status_code=201)
def make_retention_plan(project: str, request: RetentionPlanRequest, governed: Governed, key: Key) -> RetentionPlan:
    """Make a plan of everything in a Project that may go now; nothing goes by it before another person has approved it."""
    return governed.retention_plans.make(project, request, key=key)


@routes.get("/projects/{project}/retention-plans")
def list_retention_plans(
    project: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RetentionPlanSummary]:
    """List the retention plans of a Project, newest first."""
    return governed.retention_plans.list(project, limit=limit, cursor=cursor)


@routes.get("/projects/{project}/retention-plans/{plan}")
def get_retention_plan(project: str, plan: str, governed: Governed) -> RetentionPlan:
    """Show a retention plan, by `RP-12` or its id: its root, what was decided on it, and what has become of its items."""
    return governed.retention_plans.get(project, plan)


@routes.get("/projects/{project}/retention-plans/{plan}/items")
def list_retention_plan_items(
    project: str, plan: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RetentionPlanItem]:
    """List exactly what a retention plan lets go, and what has become of each item."""
    return governed.retention_plans.items(project, plan, limit=limit, cursor=cursor)


@routes.post("/projects/{project}/retention-plans/{plan}/decisions")
def decide_retention_plan(
    project: str, plan: str, request: RetentionPlanDecisionRequest, governed: Governed, key: Key
) -> RetentionPlan:
    """Approve or reject a retention plan, over exactly the root named."""
    return governed.retention_plans.decide(project, plan, request, key=key)


@routes.post("/projects/{project}/retention-plans/{plan}/withdraw")
def withdraw_retention_plan(
    project: str, plan: str, request: RetentionPlanWithdrawal, governed: Governed, key: Key
) -> RetentionPlan:
    """Take a retention plan back that nobody has decided on."""
    return governed.retention_plans.withdraw(project, plan, request, key=key)


@routes.get("/projects/{project}/retention-plans/{plan}/certificate")
def get_retention_certificate(project: str, plan: str, governed: Governed) -> RetentionCertificate:
    """Show the certificate of a retention plan that was carried out."""
    return governed.retention_plans.certificate(project, plan)


@routes.get("/projects/{project}/retention-plans/{plan}/certificate/{governed_object}")
def get_retention_line(project: str, plan: str, governed_object: UUID, governed: Governed) -> RetentionLine:
    """Show what became of one object of a retention plan, with the proof that its certificate says so."""
    return governed.retention_plans.line(project, plan, governed_object)
