"""Registers a ModelVersion, requests its promotion, and executes a promotion that has been approved."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from holdfast_provider.operators.task import HoldfastOperator, key_of_try, triggering_user


class RegisterModelVersionOperator(HoldfastOperator):
    """Registers a ModelVersion from Artifacts of Runs that succeeded. Returns its id.

    Args:
        model: the Model's name.
        artifact: the model's Artifact, as a Run's `output["…"]`.
        evidence: Artifacts that speak for it: one reference or a list.
    """

    template_fields: Sequence[str] = (*HoldfastOperator.template_fields, "model", "artifact", "evidence")

    def __init__(self, *, model: str, artifact: Any, evidence: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.artifact = artifact
        self.evidence = evidence

    def execute(self, context: Any) -> str:
        """Register the ModelVersion and return its id."""
        from holdfast.wire.model import ModelVersionRequest
        from holdfast_provider._errors import task_errors

        hook = self.hook()
        with task_errors(), hook.get_conn() as governance:
            request = ModelVersionRequest(artifact=_artifacts(self.artifact)[0], evidence=_artifacts(self.evidence))
            version = governance.models.register(
                hook.project(self.project), self.model, request, key=key_of_try(context)
            )
            self.log.info("ModelVersion %s/%d", self.model, version.number)
            return str(version.id)


class RequestPromotionOperator(HoldfastOperator):
    """Requests that an alias move to a ModelVersion; the evidence is fixed now. Returns the promotion's id.

    Args:
        model_version: a ModelVersion's id.
        alias: what is to move, `champion` say.
        policy: name of the promotion policy.
    """

    template_fields: Sequence[str] = (*HoldfastOperator.template_fields, "model_version", "alias", "policy")

    def __init__(self, *, model_version: Any, alias: str, policy: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_version = model_version
        self.alias = alias
        self.policy = policy

    def execute(self, context: Any) -> str:
        """Request the promotion and return its id."""
        from holdfast.wire.model import PromotionRequest
        from holdfast_provider._errors import task_errors

        hook, user = self.hook(), triggering_user(context)
        with task_errors(), hook.get_conn() as governance:
            request = PromotionRequest(
                model_version=self.model_version,
                alias=self.alias,
                policy=self.policy,
                on_behalf_of=f"user:{user}" if user else None,
            )
            promotion = governance.promotions.request(hook.project(self.project), request, key=key_of_try(context))
            self.log.info("Promotion %s waits for a decision on evidence %s", promotion.id, promotion.evidence_digest)
            return str(promotion.id)


class PromoteModelOperator(HoldfastOperator):
    """Executes an approved promotion: the alias moves. It presents the decision; it takes none.

    Args:
        promotion: a promotion's id.
    """

    template_fields: Sequence[str] = (*HoldfastOperator.template_fields, "promotion")

    def __init__(self, *, promotion: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.promotion = promotion

    def execute(self, context: Any) -> dict[str, Any]:
        """Move the alias and return where it points."""
        from holdfast_provider._errors import task_errors

        hook = self.hook()
        with task_errors(), hook.get_conn() as governance:
            moved = governance.promotions.execute(
                hook.project(self.project), UUID(self.promotion), key=key_of_try(context)
            )
            self.log.info(
                "%s@%s is ModelVersion %d, approved by %s",
                moved.model,
                moved.alias,
                moved.number,
                ", ".join(moved.approved_by),
            )
            return moved.model_dump(mode="json")


def _artifacts(reference: Any) -> list[UUID]:
    """Return the Artifacts that a reference names: one, a list of them, or none."""
    if reference is None:
        return []
    if isinstance(reference, list):
        return [artifact for item in reference for artifact in _artifacts(item)]
    return [UUID(reference["artifact"])]
