"""How far the log has come behind the events."""

from starlette.requests import Request

from holdfast.ledger.status import status_of
from holdfast.wire.ledger import LedgerStatus
from holdfast_plugins.api.routing import Governed, router

routes = router("ledger")


@routes.get("/ledger/status")
def show_ledger_status(request: Request, governed: Governed) -> LedgerStatus:
    """Show how far the log has come, and whether it is behind: then events are recorded, and cannot be proved yet."""
    with governed.audit.reading() as connection:
        return status_of(connection, request.app.state.platform.settings.proof_age_limit_s)
