"""Legal holds over HTTP."""

from dataclasses import dataclass

from holdfast.client.transport import Transport
from holdfast.core.hold import check_hold
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.hold import (
    CoveredObject,
    HoldCoverage,
    HoldRequest,
    HoldScope,
    HoldSummary,
    LegalHold,
    ReleaseDecision,
    ReleaseRequest,
)
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class HoldClient:
    """Implements `ports.Holds`."""

    transport: Transport

    def place(self, request: HoldRequest, *, key: str | None = None) -> LegalHold:
        """Place a legal hold."""
        return self.transport.post("/legal-holds", LegalHold, request, key)

    def coverage(self, request: HoldScope) -> HoldCoverage:
        """Return what a hold would cover."""
        return self.transport.post("/legal-holds/coverage", HoldCoverage, request, None)

    def request_release(self, hold: str, request: ReleaseRequest, *, key: str | None = None) -> LegalHold:
        """Ask for the release of a hold."""
        return self.transport.post(f"/legal-holds/{check_hold(hold)}/release-requests", LegalHold, request, key)

    def decide_release(self, hold: str, request: ReleaseDecision, *, key: str | None = None) -> LegalHold:
        """Approve or reject the release of a hold."""
        return self.transport.post(f"/legal-holds/{check_hold(hold)}/release-decisions", LegalHold, request, key)

    def get(self, hold: str) -> LegalHold:
        """Return a hold."""
        return self.transport.get(f"/legal-holds/{check_hold(hold)}", LegalHold)

    def list(
        self, *, is_released: bool | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[HoldSummary]:
        """Return holds, the newest first."""
        return self.transport.get(
            "/legal-holds", Page[HoldSummary], {"is_released": is_released, "limit": limit, "cursor": cursor}
        )

    def objects(self, hold: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[CoveredObject]:
        """Return what a hold covers."""
        return self.transport.get(
            f"/legal-holds/{check_hold(hold)}/objects", Page[CoveredObject], {"limit": limit, "cursor": cursor}
        )
