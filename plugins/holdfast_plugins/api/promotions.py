"""Promotion policies and promotions."""

from uuid import UUID

from holdfast.core.promotion import PromotionState
from holdfast.wire.model import AliasAssignment, DecisionRequest, Policy, PolicyRequest, Promotion, PromotionRequest
from holdfast.wire.types import Page
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Key, Limit, router

routes = router("promotions")


@routes.post("/projects/{project}/policies", status_code=201)
def define_policy(project: str, request: PolicyRequest, governed: Governed, key: Key) -> Policy:
    """Define a promotion policy, or its next version."""
    return governed.promotions.define_policy(project, request, key=key)


@routes.get("/projects/{project}/policies")
def list_policies(
    project: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[Policy]:
    """List every version of every promotion policy."""
    return governed.promotions.list_policies(project, limit=limit, cursor=cursor)


@routes.post("/projects/{project}/promotions", status_code=201)
def request_promotion(project: str, request: PromotionRequest, governed: Governed, key: Key) -> Promotion:
    """Request a promotion; its evidence is fixed now."""
    return governed.promotions.request(project, request, key=key)


@routes.get("/projects/{project}/promotions")
def list_promotions(
    project: str,
    governed: Governed,
    state: PromotionState | None = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[Promotion]:
    """List promotions."""
    return governed.promotions.list(project, state=state, limit=limit, cursor=cursor)


@routes.get("/projects/{project}/promotions/{promotion}")
def get_promotion(project: str, promotion: UUID, governed: Governed) -> Promotion:
    """Show a promotion with its evidence, decisions and gates."""
    return governed.promotions.get(project, promotion)


@routes.post("/projects/{project}/promotions/{promotion}/decisions")
def decide_promotion(
    project: str, promotion: UUID, request: DecisionRequest, governed: Governed, key: Key
) -> Promotion:
    """Approve or reject a promotion, over exactly the evidence named."""
    return governed.promotions.decide(project, promotion, request, key=key)


@routes.post("/projects/{project}/promotions/{promotion}/execute")
def execute_promotion(project: str, promotion: UUID, governed: Governed, key: Key) -> AliasAssignment:
    """Move the alias as approved."""
    return governed.promotions.execute(project, promotion, key=key)
