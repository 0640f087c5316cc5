"""How far the log has come behind the events, and in which segments they are kept."""

from starlette.requests import Request

from holdfast.ledger.segments import segments_of
from holdfast.ledger.status import status_of
from holdfast.wire.ledger import AuditSegments, LedgerStatus
from holdfast_plugins.api.routing import Governed, router

routes = router("ledger")


@routes.get("/ledger/status")
def show_ledger_status(request: Request, governed: Governed) -> LedgerStatus:
    """Show how far the log has come, and whether it is behind: then events are recorded, and cannot be proved yet."""
    with governed.audit.reading() as connection:
        return status_of(connection, request.app.state.platform.settings.proof_age_limit_s)


@routes.get("/ledger/segments")
def list_ledger_segments(governed: Governed) -> AuditSegments:
    """List the segments of the audit trail: what each holds or has held, what happens to it next and why, and how long events are kept."""
    with governed.audit.reading() as connection:
        return segments_of(connection)
