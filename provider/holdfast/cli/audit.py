"""`holdfast audit`: the audit trail."""

from typing import Annotated

import typer

from holdfast.cli.session import Cursor, Limit, group, session_of
from holdfast.cli.show import columns
from holdfast.core.audit import AuditAction
from holdfast.ports import DEFAULT_LIMIT

commands = group("The audit trail: who did what to which object, and how it ended.")

_LIST = columns("recorded_at", "action", "outcome", "initiator", "target_type", "target_id", "reason")


@commands.command("list")
def list_events(
    context: typer.Context,
    action: Annotated[AuditAction | None, typer.Option(help="Only this action.")] = None,
    target: Annotated[str | None, typer.Option(help="Only events about this object, by its id.")] = None,
    platform: Annotated[bool, typer.Option("--platform", help="The events of the whole platform.")] = False,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> None:
    """List audit events, newest first."""
    session = session_of(context)
    place = None if platform else session.named_project
    with session.governance() as governance:
        found = governance.audit.list(place, action=action, target=target, limit=limit, cursor=cursor)
        session.present.page(found, _LIST)
