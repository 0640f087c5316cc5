"""Promotion policies and promotions over HTTP."""

from dataclasses import dataclass
from uuid import UUID

from holdfast.client.transport import Transport
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.model import AliasAssignment, DecisionRequest, Policy, PolicyRequest, Promotion, PromotionRequest
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class PromotionClient:
    """Implements `ports.Promotions`."""

    transport: Transport

    def define_policy(self, name: str, request: PolicyRequest, *, key: str | None = None) -> Policy:
        """Define a promotion policy."""
        return self.transport.post(f"/projects/{name}/policies", Policy, request, key)

    def list_policies(self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Policy]:
        """Return promotion policies."""
        return self.transport.get(f"/projects/{name}/policies", Page[Policy], {"limit": limit, "cursor": cursor})

    def request(self, name: str, request: PromotionRequest, *, key: str | None = None) -> Promotion:
        """Request a promotion."""
        return self.transport.post(f"/projects/{name}/promotions", Promotion, request, key)

    def decide(self, name: str, promotion: UUID, request: DecisionRequest, *, key: str | None = None) -> Promotion:
        """Approve or reject a promotion."""
        return self.transport.post(f"/projects/{name}/promotions/{promotion}/decisions", Promotion, request, key)

    def execute(self, name: str, promotion: UUID, *, key: str | None = None) -> AliasAssignment:
        """Move the alias as approved."""
        return self.transport.post(f"/projects/{name}/promotions/{promotion}/execute", AliasAssignment, None, key)

    def get(self, name: str, promotion: UUID) -> Promotion:
        """Return a promotion."""
        return self.transport.get(f"/projects/{name}/promotions/{promotion}", Promotion)

    def list(
        self, name: str, *, state: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Promotion]:
        """Return promotions."""
        return self.transport.get(
            f"/projects/{name}/promotions", Page[Promotion], {"state": state, "limit": limit, "cursor": cursor}
        )
