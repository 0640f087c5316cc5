"""`holdfast dataset`: DatasetVersions."""

from typing import Annotated
from uuid import UUID

import typer

from holdfast.cli.session import Cursor, Limit, group, session_of
from holdfast.cli.show import columns, short, size_of
from holdfast.ports import DEFAULT_LIMIT

commands = group("DatasetVersions: a source, and digest and size of every file in it.")

_LIST = columns(
    "id",
    "dataset",
    "number",
    "state",
    files=lambda version: version.file_count,
    size=lambda version: size_of(version.size_bytes),
    digest=lambda version: short(version.digest),
    source=lambda version: version.source,
    created_at=lambda version: version.created_at,
)
_FILES = columns("path", "digest", "size_bytes")


@commands.command("list")
def list_versions(
    context: typer.Context,
    dataset: Annotated[str | None, typer.Argument(help="Only this Dataset.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> None:
    """List DatasetVersions, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.datasets.list(session.named_project, dataset, limit=limit, cursor=cursor)
        session.present.page(found, _LIST)


@commands.command()
def show(context: typer.Context, version: Annotated[UUID, typer.Argument(help="The DatasetVersion's id.")]) -> None:
    """Show a DatasetVersion."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.datasets.get(session.named_project, version))


@commands.command()
def files(
    context: typer.Context,
    version: Annotated[UUID, typer.Argument(help="The DatasetVersion's id.")],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> None:
    """List the files of a DatasetVersion, by path."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.page(
            governance.datasets.files(session.named_project, version, limit=limit, cursor=cursor), _FILES
        )
