"""Retention policies, of a Project and of all, and why an object is kept."""

from uuid import UUID

from holdfast.wire.retention import (
    RetentionDecisionRequest,
    RetentionExplanation,
    RetentionPolicy,
    RetentionPolicyReason,
    RetentionPolicyRequest,
)
from holdfast.wire.types import Page
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Key, Limit, router

routes = router("retention")


@routes.post("/projects/{project}/retention-policies", status_code=201)
def propose_retention_policy(
    project: str, request: RetentionPolicyRequest, governed: Governed, key: Key
) -> RetentionPolicy:
    """Propose a version of a retention policy of a Project; nothing applies before somebody else has approved it."""
    return governed.retention.propose(project, request, key=key)


@routes.post("/retention-policies", status_code=201)
def propose_platform_retention_policy(request: RetentionPolicyRequest, governed: Governed, key: Key) -> RetentionPolicy:
    """Propose a version of a retention policy of all Projects."""
    return governed.retention.propose(None, request, key=key)


@routes.get("/projects/{project}/retention-policies")
def list_retention_policies(
    project: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RetentionPolicy]:
    """List every version of every retention policy that may apply in a Project, those of all Projects too."""
    return governed.retention.list(project, limit=limit, cursor=cursor)


@routes.get("/retention-policies")
def list_platform_retention_policies(
    governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[RetentionPolicy]:
    """List every version of every retention policy of all Projects."""
    return governed.retention.list(None, limit=limit, cursor=cursor)


@routes.get("/projects/{project}/retention-policies/{policy}")
def get_retention_policy(project: str, policy: UUID, governed: Governed) -> RetentionPolicy:
    """Show a version of a retention policy of a Project, with what was decided on it."""
    return governed.retention.get(project, policy)


@routes.get("/retention-policies/{policy}")
def get_platform_retention_policy(policy: UUID, governed: Governed) -> RetentionPolicy:
    """Show a version of a retention policy of all Projects."""
    return governed.retention.get(None, policy)


@routes.post("/projects/{project}/retention-policies/{policy}/decisions")
def decide_retention_policy(
    project: str, policy: UUID, request: RetentionDecisionRequest, governed: Governed, key: Key
) -> RetentionPolicy:
    """Approve or reject a proposed version, over exactly the digest named."""
    return governed.retention.decide(project, policy, request, key=key)


@routes.post("/retention-policies/{policy}/decisions")
def decide_platform_retention_policy(
    policy: UUID, request: RetentionDecisionRequest, governed: Governed, key: Key
) -> RetentionPolicy:
    """The same for a policy of all Projects."""
    return governed.retention.decide(None, policy, request, key=key)


@routes.post("/projects/{project}/retention-policies/{policy}/withdraw")
def withdraw_retention_policy(
    project: str, policy: UUID, request: RetentionPolicyReason, governed: Governed, key: Key
) -> RetentionPolicy:
    """Take a proposal back."""
    return governed.retention.withdraw(project, policy, request, key=key)


@routes.post("/retention-policies/{policy}/withdraw")
def withdraw_platform_retention_policy(
    policy: UUID, request: RetentionPolicyReason, governed: Governed, key: Key
) -> RetentionPolicy:
    """The same for a policy of all Projects."""
    return governed.retention.withdraw(None, policy, request, key=key)


@routes.post("/projects/{project}/retention-policies/{policy}/end", status_code=201)
def propose_retention_policy_end(
    project: str, policy: UUID, request: RetentionPolicyReason, governed: Governed, key: Key
) -> RetentionPolicy:
    """Propose that the policy end of which this version is in force; it does once somebody else has approved that."""
    return governed.retention.propose_end(project, policy, request, key=key)


@routes.post("/retention-policies/{policy}/end", status_code=201)
def propose_platform_retention_policy_end(
    policy: UUID, request: RetentionPolicyReason, governed: Governed, key: Key
) -> RetentionPolicy:
    """The same for a policy of all Projects."""
    return governed.retention.propose_end(None, policy, request, key=key)


@routes.get("/projects/{project}/retention/{governed_object}")
def explain_retention(project: str, governed_object: UUID, governed: Governed) -> RetentionExplanation:
    """Say why an Artifact, a DatasetVersion, a Run's log or an audit event is kept or may go, rule by rule, and what would change it."""
    return governed.retention.explain(project, governed_object)
