"""`holdfast ledger`: the log that makes audit events evidence, for who runs it."""

import signal
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.session import Reason, direct_caller, engine_at, group, service_database, session_of
from holdfast.cli.show import columns
from holdfast.core.audit import EventClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.ops.segments import Retention

commands = group(
    "The log that makes audit events evidence: its key, its sequencer, how far it has come, how long events are kept."
)

_SEGMENTS = columns("segment", "event_class", "count", "oldest_at", "newest_at", "next", "until", "why")
_OUTCOMES = columns("segment", "event_class", "step", "became", "says")


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
    from holdfast.service.refusals import translate
    from holdfast.settings import Platform, Settings
    from holdfast.store.engine import read_only

    with translate(), closing(Platform.open(Settings.load())) as platform, read_only(platform.engine) as connection:
        found = status_of(connection, platform.settings.proof_age_limit_s)
    session_of(context).present.record(found)
    if found.is_behind:
        raise typer.Exit(1)


@commands.command()
def segments(context: typer.Context) -> None:
    """List the segments of the audit trail: what each holds, what happens to it next, and why."""
    from holdfast.ledger.segments import segments_of
    from holdfast.service.refusals import translate
    from holdfast.store.engine import read_only

    with translate(), service_database() as engine, read_only(engine) as connection:
        found = segments_of(connection)
    session_of(context).present.rows(found.segments, _SEGMENTS, found.model_dump(mode="json"))


@commands.command()
def keep(
    context: typer.Context,
    event_class: Annotated[EventClass, typer.Argument(metavar="CLASS", help="Of the events.")],
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, help="A segment goes when its newest event is older; for ever without."),
    ] = None,
    quota: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000_000_000,
            help="A segment goes before its time when younger ones hold so many events; only denial, login, read.",
        ),
    ] = None,
    reason: Reason = "",
) -> None:
    """Say for how long events of a class are kept from now on; without --days and --quota, for ever. Nothing goes by this alone.

    What has to go goes by `holdfast ledger retain`, in whole segments.
    """
    from holdfast.ops.segments import define_retention
    from holdfast.service.transaction import Transactions

    with service_database() as engine:
        rule = define_retention(Transactions(engine, direct_caller()), event_class, days, quota, reason)
    session_of(context).present.record(rule)


@commands.command()
def retain(context: typer.Context) -> None:
    """Close the segments that are full, seal those that take no more events, and dispose of those that no rule keeps.

    The settings come from the environment (HOLDFAST_DISPOSER_URL, HOLDFAST_LEDGER_LOG). Running it again goes on where it was; what
    waits is done by a later call. Ends with exit code 6 when a segment is not as it was recorded: it stays.
    """
    from holdfast.core.errors import IntegrityViolation
    from holdfast.wire.ledger import Retained

    present, outcomes = session_of(context).present, []
    with disposing() as retention:
        for outcome in retention.apply():
            present.note(f"segment {outcome.segment}: {outcome.step} {outcome.became}, {outcome.says}")
            outcomes.append(outcome)
    found = Retained(outcomes=outcomes)
    present.rows(found.outcomes, _OUTCOMES, found.model_dump(mode="json"))
    if refused := [str(one.segment) for one in outcomes if one.became == "refused"]:
        raise IntegrityViolation(
            f"segments {', '.join(refused)} of the audit trail stay: they are not as they were recorded",
            remedy="`holdfast audit verify` says what is not as it was",
        )


@contextmanager
def disposing() -> "Iterator[Retention]":
    """Yield what disposes of audit events, by the disposer's login."""
    from holdfast.ops.segments import Retention, check_login
    from holdfast.settings import DisposerSettings, LedgerSettings

    log = LedgerSettings.load().log()
    with engine_at(DisposerSettings.load().disposer_url) as engine:
        check_login(engine)
        yield Retention(engine, log, direct_caller())
