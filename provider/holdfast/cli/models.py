"""`holdfast model`: Models, and what their aliases pointed at, when."""

from datetime import datetime
from typing import Annotated

import typer

from holdfast.cli.session import Cursor, Limit, group, session_of
from holdfast.cli.show import columns
from holdfast.core.errors import InvalidRequest
from holdfast.ports import DEFAULT_LIMIT

commands = group("Models, their versions, and what their aliases pointed at, when.")

Model = Annotated[str, typer.Argument(help="The Model's name.")]
_LIST = columns("name", "latest_number", "aliases", "created_at")
_VERSIONS = columns("id", "model", "number", "state", "metrics", "created_by", "created_at")
_HISTORY = columns("valid_from", "model", "alias", "number", "approved_by", "promotion")


@commands.command("list")
def list_models(context: typer.Context, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> None:
    """List Models with where their aliases point."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.page(governance.models.list(session.named_project, limit=limit, cursor=cursor), _LIST)


@commands.command()
def versions(context: typer.Context, model: Model, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> None:
    """List the ModelVersions of a Model, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.models.list_versions(session.named_project, model, limit=limit, cursor=cursor)
        session.present.page(found, _VERSIONS)


@commands.command()
def history(
    context: typer.Context,
    model: Model,
    alias: Annotated[str | None, typer.Option(help="Only this alias.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> None:
    """List where the aliases of a Model pointed and who approved it, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.models.history(session.named_project, model, alias=alias, limit=limit, cursor=cursor)
        session.present.page(found, _HISTORY)


@commands.command()
def at(
    context: typer.Context,
    alias: Annotated[str, typer.Argument(metavar="MODEL@ALIAS", help="tumours@champion, say.")],
    time: Annotated[str | None, typer.Option(help="When: 2026-11-02T09:00Z; now by default.")] = None,
    known_at: Annotated[str | None, typer.Option(help="As it was known at this time; now by default.")] = None,
) -> None:
    """Show what an alias pointed at, at a time, and who let it through."""
    session = session_of(context)
    model, separator, name = alias.partition("@")
    if not (model and separator and name):
        raise InvalidRequest(f"{alias[:80]!r} names no alias", remedy="Write MODEL@ALIAS: tumours@champion")
    with session.governance() as governance:
        found = governance.models.at(session.named_project, model, name, _moment(time), _moment(known_at))
        session.present.record(found)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"{text[:40]!r} is not a time", remedy="Write it as 2026-11-02T09:00Z, with its time zone"
        ) from None
