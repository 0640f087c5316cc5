"""Retention policies over HTTP, and why an object is kept."""

from dataclasses import dataclass
from uuid import UUID

from holdfast.client.transport import Transport
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.retention import (
    RetentionDecisionRequest,
    RetentionExplanation,
    RetentionPolicy,
    RetentionPolicyReason,
    RetentionPolicyRequest,
)
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class RetentionClient:
    """Implements `ports.Retention`."""

    transport: Transport

    def propose(self, name: str | None, request: RetentionPolicyRequest, *, key: str | None = None) -> RetentionPolicy:
        """Propose a version of a policy."""
        return self.transport.post(_policies(name), RetentionPolicy, request, key)

    def propose_end(
        self, name: str | None, policy: UUID, request: RetentionPolicyReason, *, key: str | None = None
    ) -> RetentionPolicy:
        """Propose that a policy end."""
        return self.transport.post(f"{_policies(name)}/{policy}/end", RetentionPolicy, request, key)

    def decide(
        self, name: str | None, policy: UUID, request: RetentionDecisionRequest, *, key: str | None = None
    ) -> RetentionPolicy:
        """Approve or reject a version."""
        return self.transport.post(f"{_policies(name)}/{policy}/decisions", RetentionPolicy, request, key)

    def withdraw(
        self, name: str | None, policy: UUID, request: RetentionPolicyReason, *, key: str | None = None
    ) -> RetentionPolicy:
        """Take a proposal back."""
        return self.transport.post(f"{_policies(name)}/{policy}/withdraw", RetentionPolicy, request, key)

    def get(self, name: str | None, policy: UUID) -> RetentionPolicy:
        """Return a version of a policy."""
        return self.transport.get(f"{_policies(name)}/{policy}", RetentionPolicy)

    def list(self, name: str | None, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[RetentionPolicy]:
        """Return versions of policies."""
        return self.transport.get(_policies(name), Page[RetentionPolicy], {"limit": limit, "cursor": cursor})

    def explain(self, name: str, governed: UUID) -> RetentionExplanation:
        """Return why an object is kept."""
        return self.transport.get(f"/projects/{name}/retention/{governed}", RetentionExplanation)


def _policies(name: str | None) -> str:
    return f"/projects/{name}/retention-policies" if name is not None else "/retention-policies"
