"""`holdfast artifact`: Artifacts and their bytes."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO
from uuid import UUID

import typer

from holdfast.cli.session import Cursor, Limit, Session, group, session_of
from holdfast.cli.show import columns, short, size_of
from holdfast.core.errors import InvalidRequest, StateConflict
from holdfast.ports import DEFAULT_LIMIT

commands = group("Artifacts: what Runs made; their bytes are checked by digest whenever they are read.")

Artifact = Annotated[UUID, typer.Argument(help="The Artifact's id.")]
_LIST = columns(
    "id",
    "name",
    "state",
    size=lambda artifact: size_of(artifact.size_bytes),
    digest=lambda artifact: short(artifact.digest),
    run=lambda artifact: artifact.run,
    created_at=lambda artifact: artifact.created_at,
)


@commands.command("list")
def list_artifacts(
    context: typer.Context,
    run: Annotated[UUID | None, typer.Option(help="Only Artifacts of this Run.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> None:
    """List Artifacts, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.artifacts.list(session.named_project, run=run, limit=limit, cursor=cursor)
        session.present.page(found, _LIST)


@commands.command()
def show(context: typer.Context, artifact: Artifact) -> None:
    """Show an Artifact's record."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.artifacts.get(session.named_project, artifact))


@commands.command()
def get(
    context: typer.Context,
    artifact: Artifact,
    to: Annotated[
        Path | None, typer.Option(help="File to write, which must not exist; `-` is standard output.")
    ] = None,
) -> None:
    """Fetch an Artifact's bytes; the file appears only when every byte is what was recorded."""
    session = session_of(context)
    with session.governance() as governance:
        record = governance.artifacts.get(session.named_project, artifact)
    target = to or Path(Path(record.name).name)
    if str(target) == "-":
        for piece in _content(session, artifact, record.size_bytes):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    with _new_file(target) as file:
        for piece in _content(session, artifact, record.size_bytes):
            file.write(piece)
    session.present.fact(
        f"{target}: {size_of(record.size_bytes)}, {record.digest}",
        path=str(target),
        digest=record.digest,
        size_bytes=record.size_bytes,
    )


@commands.command()
def verify(context: typer.Context, artifact: Artifact) -> None:
    """Read all of an Artifact's bytes and hold them against the recorded digest."""
    session = session_of(context)
    with session.governance() as governance:
        record = governance.artifacts.get(session.named_project, artifact)
    for _ in _content(session, artifact, record.size_bytes):
        continue
    session.present.fact(
        f"Artifact {artifact} is what was recorded: {size_of(record.size_bytes)}, {record.digest}",
        artifact=str(artifact),
        digest=record.digest,
        size_bytes=record.size_bytes,
        verified=True,
    )


def _content(session: Session, artifact: UUID, size_bytes: int) -> Iterator[bytes]:
    """Yield an Artifact's bytes, checked, with a bar on standard error where somebody looks."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from holdfast.client.content import read_content

    with session.governance() as governance:
        grant = governance.artifacts.grant_download(session.named_project, artifact)
    parts = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *parts, console=Console(file=sys.stderr), disable=not sys.stderr.isatty(), transient=True
    ) as progress:
        task = progress.add_task(grant.name, total=size_bytes)
        for piece in read_content(grant, ca_file=session.ca_file):
            progress.advance(task, len(piece))
            yield piece


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes its name only at the end, and only where no other file has it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    if path.exists():
        raise _taken(path)
    try:
        with temporary.open("xb") as file:
            yield file
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise _taken(path) from None
    except OSError as error:
        raise InvalidRequest(f"{str(path)!r} cannot be written: {error.strerror}", remedy="Give another --to") from None
    finally:
        temporary.unlink(missing_ok=True)


def _taken(path: Path) -> StateConflict:
    return StateConflict(f"{str(path)!r} exists already", remedy="Give another --to; nothing is overwritten")
