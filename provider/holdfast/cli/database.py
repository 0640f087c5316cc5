"""`holdfast db`: the governance database's migrations."""

from typing import Annotated

import typer

from holdfast.cli.session import Yes, confirm, group, session_of
from holdfast.core.errors import StateConflict

commands = group("Migrate the governance database, with the owner's login in HOLDFAST_OWNER_URL.")


def _owner_url() -> str:
    from holdfast.settings import OwnerSettings

    return OwnerSettings.load().owner_url.get_secret_value()


@commands.command()
def upgrade(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(help="Where to go; the newest by default.")] = "head",
) -> None:
    """Bring the database up to a revision; running it again changes nothing."""
    from holdfast.store import migrate

    url = _owner_url()
    before, after = migrate.current(url), migrate.upgrade(url, revision)
    moved = (
        f"went from revision {before or 'none'} to {after}" if before != after else f"is at revision {after} already"
    )
    session_of(context).present.fact(f"the governance database {moved}", before=before, after=after)


@commands.command()
def downgrade(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(help="Where to go; `base` removes everything.")],
    yes: Yes = False,
) -> None:
    """Take the database down to a revision; what later revisions added is lost. Make a backup first."""
    from holdfast.store import migrate

    url = _owner_url()
    before = migrate.current(url)
    confirm(
        f"Going down from revision {before or 'none'} to {revision} loses what the revisions between have added.",
        is_confirmed=yes,
    )
    after = migrate.downgrade(url, revision)
    session_of(context).present.fact(
        f"the governance database went from revision {before or 'none'} to {after or 'none'}",
        before=before,
        after=after,
    )


@commands.command()
def check(context: typer.Context) -> None:
    """Say whether the database is what this version expects: revision, tables, guards."""
    from holdfast.store import migrate

    if differences := migrate.check(_owner_url()):
        raise StateConflict(
            f"the governance database is not what this version expects: {'; '.join(differences)}",
            remedy="Find out who changed it; `holdfast db upgrade` mends a revision that is behind, and nothing else",
            details={"differences": differences},
        )
    session_of(context).present.fact("the governance database is what this version expects", differences=[])
