"""`holdfast audit`: the audit trail."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from holdfast.cli.session import Cursor, Limit, Reason, Yes, confirm, group, session_of
from holdfast.cli.show import Output, columns
from holdfast.core.audit import AuditAction
from holdfast.core.errors import InvalidRequest
from holdfast.ports import DEFAULT_LIMIT

commands = group("The audit trail: who did what to which object, and how it ended.")

_LIST = columns("recorded_at", "action", "outcome", "initiator", "target_type", "target_id", "reason", "id")


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


@commands.command()
def prove(
    context: typer.Context,
    event: Annotated[UUID | None, typer.Argument(help="The audit event's id.")] = None,
    run: Annotated[UUID | None, typer.Option(help="Instead: every event about this Run and its Artifacts.")] = None,
    model_version: Annotated[
        UUID | None,
        typer.Option(
            help="Instead: every event about this ModelVersion, the Run that made it, its promotions and aliases."
        ),
    ] = None,
    platform: Annotated[bool, typer.Option("--platform", help="Events of the whole platform.")] = False,
    to: Annotated[Path | None, typer.Option(help="File for the proofs; standard output without it.")] = None,
) -> None:
    """Write the proof that events stand in the log: one small file, to be checked by `verify_proof.py` and a pinned key alone.

    It holds each event's whole content.
    """
    session = session_of(context)
    place = None if platform else session.named_project
    with session.governance() as governance:
        proofs = governance.audit.prove(place, event=event, run=run, model_version=model_version)
    if to is not None:
        try:
            to.write_text(proofs.text)
        except OSError as error:
            raise InvalidRequest(f"{to} cannot be written: {error.strerror}", remedy="Name another file") from None
        session.present.fact(
            f"{proofs.count} events are proved in {to}, under the checkpoint of {proofs.size} events",
            count=proofs.count,
            size=proofs.size,
            file=str(to),
        )
    elif session.present.output is Output.JSON:
        session.present.record(proofs)
    else:
        sys.stdout.write(proofs.text)


@commands.command()
def verify(
    context: typer.Context,
    key: Annotated[
        list[str], typer.Option(help="The log's verifier key, or a file that holds it; may be given again.")
    ],
    known: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint that was kept outside; may be given again.")
    ] = None,
    without_copies: Annotated[
        bool, typer.Option("--without-copies", help="Leave out the checkpoints in HOLDFAST_LEDGER_COPIES.")
    ] = False,
    without_database: Annotated[bool, typer.Option("--without-database", help="Verify the log's files alone.")] = False,
) -> None:
    """Verify the whole log: every entry, tile and checkpoint, also those in the copies, and every event's row against them.

    Ends with exit code 6 when anything is not as it was. A checkpoint that was kept outside shows whether all of the log was made anew.
    """
    from holdfast.core.errors import IntegrityViolation
    from holdfast.ledger.keys import is_signed, read_verifier_key
    from holdfast.ledger.verify import Verification
    from holdfast.service.refusals import translate
    from holdfast.settings import LedgerSettings, Settings, open_ledger

    session = session_of(context)
    keys, settings = [read_verifier_key(text) for text in key], LedgerSettings.load()
    again = partial(open_ledger, settings, None if without_database else Settings.load().database_url)
    log, engine = again()
    look = Verification(
        log,
        keys,
        is_signed,
        engine,
        {str(path): _read(path) for path in known or ()},
        () if without_copies else settings.copies(),
        session.present.progress("events"),
        again,
    )
    try:
        with translate():
            found = look.verify()
    finally:
        if engine is not None:
            engine.dispose()
    session.present.record(found)
    if found.findings:
        first = f"the first event that is bad has index {found.first_bad_index}"
        if found.first_bad_index is None:
            first = "none of them is about an event in the log"
        raise IntegrityViolation(
            f"findings: {len(found.findings)}; {first}",
            remedy="Keep everything as it is, and compare with copies and with what auditors have kept",
        )


@commands.command()
def erase(
    context: typer.Context,
    event: Annotated[UUID, typer.Argument(help="The audit event's id.")],
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Erase what an event says, and about whom, because the law asks for it: its time, its action and every proof stay as they are.

    The settings come from the environment (HOLDFAST_DISPOSER_URL, HOLDFAST_LEDGER_LOG). What sinks of the export, proofs and backups
    hold already is not reached.
    """
    from holdfast.cli.ledger import disposing

    confirm(f"What audit event {event} says is gone for ever.", is_confirmed=yes)
    with disposing() as retention:
        session_of(context).present.record(retention.erase(event, reason))


@commands.command()
def verifier() -> None:
    """Print `verify_proof.py`: one file, for people who have nothing of ours, to check proofs with."""
    from importlib.resources import files

    sys.stdout.write(files("holdfast.ledger").joinpath("verify_proof.py").read_text())


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InvalidRequest(f"the checkpoint {path} cannot be read: {reason}") from None
