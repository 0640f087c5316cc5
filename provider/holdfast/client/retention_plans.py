"""Retention plans over HTTP, and what became of what they let go."""

from dataclasses import dataclass
from uuid import UUID

from holdfast.client.transport import Transport
from holdfast.ports import DEFAULT_LIMIT
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


@dataclass(frozen=True, slots=True)
class RetentionPlanClient:
    """Implements `ports.RetentionPlans`."""

    transport: Transport

    def make(self, name: str, request: RetentionPlanRequest, *, key: str | None = None) -> RetentionPlan:
        """Make a plan of everything that may go now."""
        return self.transport.post(_plans(name), RetentionPlan, request, key)

    def decide(
        self, name: str, plan: str, request: RetentionPlanDecisionRequest, *, key: str | None = None
    ) -> RetentionPlan:
        """Approve or reject a plan."""
        return self.transport.post(f"{_plans(name)}/{plan}/decisions", RetentionPlan, request, key)

    def withdraw(
        self, name: str, plan: str, request: RetentionPlanWithdrawal, *, key: str | None = None
    ) -> RetentionPlan:
        """Take a plan back."""
        return self.transport.post(f"{_plans(name)}/{plan}/withdraw", RetentionPlan, request, key)

    def get(self, name: str, plan: str) -> RetentionPlan:
        """Return a plan."""
        return self.transport.get(f"{_plans(name)}/{plan}", RetentionPlan)

    def list(self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[RetentionPlanSummary]:
        """Return plans."""
        return self.transport.get(_plans(name), Page[RetentionPlanSummary], {"limit": limit, "cursor": cursor})

    def items(
        self, name: str, plan: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RetentionPlanItem]:
        """Return what a plan lets go."""
        here = f"{_plans(name)}/{plan}/items"
        return self.transport.get(here, Page[RetentionPlanItem], {"limit": limit, "cursor": cursor})

    def certificate(self, name: str, plan: str) -> RetentionCertificate:
        """Return what became of a plan."""
        return self.transport.get(f"{_plans(name)}/{plan}/certificate", RetentionCertificate)

    def line(self, name: str, plan: str, governed: UUID) -> RetentionLine:
        """Return what became of one object, with its proof."""
        return self.transport.get(f"{_plans(name)}/{plan}/certificate/{governed}", RetentionLine)


def _plans(name: str) -> str:
    return f"/projects/{name}/retention-plans"
