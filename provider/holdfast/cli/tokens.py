"""`holdfast token`: service tokens of a Project."""

from typing import Annotated
from uuid import UUID

import typer

from holdfast.cli.durations import seconds_of
from holdfast.cli.session import Cursor, Limit, group, session_of
from holdfast.cli.show import columns
from holdfast.core.access import AIRFLOW_SCOPE, Permission
from holdfast.core.errors import InvalidRequest
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.project import TokenRequest

commands = group("Service tokens: for one Project, scoped, expiring, shown once.")

_LIST = columns("id", "name", "scope", "created_by", "expires_at", "revoked_at")


@commands.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    scope: Annotated[list[Permission], typer.Option(help="What it may do; repeat for each.")] = [],  # noqa: B006 - typer's
    airflow: Annotated[bool, typer.Option("--airflow", help="All that an Airflow connection needs.")] = False,
    lifetime: Annotated[str, typer.Option(help="How long it is good: 12h, 90d.")] = "90d",
) -> None:
    """Make a service token and print it: this once; only its hash is kept."""
    session = session_of(context)
    wanted = sorted({*scope, *(AIRFLOW_SCOPE if airflow else ())})
    if not wanted:
        raise InvalidRequest("the token would be good for nothing", remedy="Give --scope, or --airflow")
    request = TokenRequest(name=name, scope=wanted, lifetime_s=seconds_of(lifetime))
    with session.governance() as governance:
        made = governance.projects.create_token(session.named_project, request)
    session.present.note(
        f"token {made.token.id} of Project {made.token.project}, good until {made.token.expires_at:%Y-%m-%d %H:%M} UTC"
    )
    session.present.secret(made.secret, token=made.token.model_dump(mode="json"), secret=made.secret)


@commands.command("list")
def list_tokens(context: typer.Context, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> None:
    """List a Project's service tokens, newest first; never their secrets."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.projects.list_tokens(session.named_project, limit=limit, cursor=cursor)
        session.present.page(found, _LIST)


@commands.command()
def revoke(context: typer.Context, token: Annotated[UUID, typer.Argument(help="The token's id.")]) -> None:
    """Make a service token useless, at once."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.projects.revoke_token(session.named_project, token))
