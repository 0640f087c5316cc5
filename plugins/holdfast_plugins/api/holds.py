"""Legal holds, of the whole platform."""

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
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Key, Limit, router

routes = router("legal holds")


@routes.post("/legal-holds", status_code=201)
def place_hold(request: HoldRequest, governed: Governed, key: Key) -> LegalHold:
    """Place a legal hold; nothing that it covers can go from then on."""
    return governed.holds.place(request, key=key)


@routes.post("/legal-holds/coverage")
def show_coverage(request: HoldScope, governed: Governed) -> HoldCoverage:
    """Show what a legal hold would cover; none is placed."""
    return governed.holds.coverage(request)


@routes.get("/legal-holds")
def list_holds(
    governed: Governed, is_released: bool | None = None, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[HoldSummary]:
    """List legal holds, the newest first."""
    return governed.holds.list(is_released=is_released, limit=limit, cursor=cursor)


@routes.get("/legal-holds/{hold}")
def get_hold(hold: str, governed: Governed) -> LegalHold:
    """Show a legal hold, named as LH-12 or by its id, with what it covers, counted."""
    return governed.holds.get(hold)


@routes.get("/legal-holds/{hold}/objects")
def list_held_objects(
    hold: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[CoveredObject]:
    """List what a legal hold covers, how each object was reached, and the lock of its bytes."""
    return governed.holds.objects(hold, limit=limit, cursor=cursor)


@routes.post("/legal-holds/{hold}/release-requests")
def request_release(hold: str, request: ReleaseRequest, governed: Governed, key: Key) -> LegalHold:
    """Ask for the release of a legal hold."""
    return governed.holds.request_release(hold, request, key=key)


@routes.post("/legal-holds/{hold}/release-decisions")
def decide_release(hold: str, request: ReleaseDecision, governed: Governed, key: Key) -> LegalHold:
    """Approve the release of a legal hold, as another person and once it has cooled off, or reject it."""
    return governed.holds.decide_release(hold, request, key=key)
