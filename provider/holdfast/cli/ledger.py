"""`holdfast ledger`: the log that makes audit events evidence, for who runs it."""

import signal
import threading
from contextlib import closing
from typing import Annotated

import typer

from holdfast.cli.session import group, session_of

commands = group("The log that makes audit events evidence: its key, its sequencer, how far it has come.")


@commands.command()
def key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The log's name for ever, like a URL without https://: example.org/log.")],
    place: Annotated[
        str,
        typer.Argument(
            help="New file for the private key, which only its owner may read, or a pkcs11: URI of a token."
        ),
    ],
) -> None:
    """Make a log's key and say its public half, which auditors pin.

    Give the public half to auditors by a way of its own, on paper for one. Whoever has the file, or the token and its PIN, can sign for
    the log.
    """
    from holdfast.ledger.configured import make_signer
    from holdfast.wire.ledger import VerifierKeyRecord

    made = make_signer(name, place)
    session_of(context).present.record(VerifierKeyRecord(name=name, verifier_key=str(made.key), place=place))


@commands.command()
def run(context: typer.Context) -> None:
    """Extend the log until Ctrl-C or SIGTERM, while no other sequencer does; any number may stand by.

    The settings come from the environment (HOLDFAST_DATABASE_URL, HOLDFAST_LEDGER_LOG, HOLDFAST_LEDGER_KEY).
    """
    from holdfast.settings import LedgerSettings, Platform, Settings, open_sequencer

    settings = LedgerSettings.load()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    session_of(context).present.note(f"extending the log in {settings.ledger_log}; Ctrl-C ends it")
    with closing(Platform.open(Settings.load())) as platform:
        open_sequencer(platform.engine, settings).run(stop)


@commands.command()
def status(context: typer.Context) -> None:
    """Say how far the log has come, and how long the oldest event waits that cannot be proved yet.

    Ends with exit code 1 when that is longer than HOLDFAST_PROOF_AGE_LIMIT_S: the log is behind, for one because no sequencer runs.
    """
    from holdfast.ledger.status import status_of
    from holdfast.settings import Platform, Settings
    from holdfast.store.engine import read_only

    with closing(Platform.open(Settings.load())) as platform, read_only(platform.engine) as connection:
        found = status_of(connection, platform.settings.proof_age_limit_s)
    session_of(context).present.record(found)
    if found.is_behind:
        raise typer.Exit(1)
