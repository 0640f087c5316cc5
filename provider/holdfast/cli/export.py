"""`holdfast export`: the audit trail as a stream to other systems, for who runs it."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.session import Reason, direct_caller, group, service_database, session_of
from holdfast.cli.show import columns

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from holdfast.export.config import AnySinkSettings
    from holdfast.export.feed import Feed
    from holdfast.export.operate import Operations, Replayer
    from holdfast.ledger.place import Place

commands = group("The audit trail as a stream to other systems: webhooks, syslog receivers, files.")

SinkName = Annotated[str, typer.Argument(metavar="SINK", help="The sink's name, as in the file of the sinks.")]
_STATUS = columns(
    "name", "cursor", "behind", "behind_s", "delivered_at", "failing_since", "paused_at", "dead_letters", "error"
)
_LETTERS = columns("sink", "first", "last", "reason", "created_at", "replayed_at")


@dataclass(frozen=True, slots=True)
class _Export:
    """What the commands work with."""

    engine: "Engine"
    sinks: "dict[str, AnySinkSettings]"
    log: "Place"

    @property
    def operations(self) -> "Operations":
        return _operations(self.engine)

    def feed(self) -> "Feed":
        from holdfast.export.feed import Feed

        return Feed(self.engine, self.log)

    def named(self, sink: str) -> "AnySinkSettings":
        from holdfast.core.errors import NotFound

        if sink not in self.sinks:
            raise NotFound(
                f"there is no sink {sink!r} in the file of the sinks",
                remedy=f"It names {', '.join(sorted(self.sinks))}",
            )
        return self.sinks[sink]


@commands.command()
def run(
    context: typer.Context,
    sinks: Annotated[
        list[str] | None, typer.Argument(metavar="[SINK]...", help="Only these; all in the file without any.")
    ] = None,
) -> None:
    """Export to the sinks until Ctrl-C or SIGTERM, while no other exporter does; any number may stand by.

    The settings come from the environment (HOLDFAST_DATABASE_URL, HOLDFAST_LEDGER_LOG, HOLDFAST_EXPORT_SINKS). A sink that is new is
    added, which is an audit event.
    """
    from holdfast.export.exporter import Exporter
    from holdfast.export.opening import open_sink

    stop, present = threading.Event(), session_of(context).present
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _opened() as export:
        chosen = {name: export.named(name) for name in sinks or export.sinks}
        opened = {name: open_sink(settings) for name, settings in chosen.items()}
        exporters = []
        for name, settings in chosen.items():
            export.operations.add(name, settings)
            exporters.append(Exporter(export.engine, name, settings, opened[name], export.feed()))
        present.note(f"exporting to {', '.join(chosen)}; Ctrl-C ends it")
        failures: list[BaseException] = []

        def work(exporter: Exporter) -> None:
            try:
                exporter.run(stop)
            except BaseException as error:  # noqa: BLE001 - raised below, in the main thread
                failures.append(error)
                stop.set()

        threads = [threading.Thread(target=work, args=(exporter,), name=exporter.name) for exporter in exporters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for failure in failures:
            raise failure


@commands.command()
def status(context: typer.Context) -> None:
    """Say how far each sink has come, by how many events and for how long it is behind, and what it has refused."""
    from holdfast.export.cursor import sinks_of
    from holdfast.wire.export import ExportStatus

    with service_database() as engine:
        found = ExportStatus(sinks=sinks_of(engine))
    session_of(context).present.rows(found.sinks, _STATUS, found.model_dump(mode="json"))


@commands.command()
def replay(
    context: typer.Context,
    sink: SinkName,
    first: Annotated[int, typer.Option("--from", min=0, help="The first index.")],
    last: Annotated[int, typer.Option("--to", min=0, help="The last index.")],
    reason: Reason = "",
) -> None:
    """Send events to a sink once more, as after a gap that it has reported; its stream goes on meanwhile from where it is.

    The receiver drops what it has already, by the index.
    """
    with _replayer(sink) as replayer:
        session_of(context).present.record(replayer.send(first, last, reason))


@commands.command("dead-letters")
def dead_letters(
    context: typer.Context,
    sink: Annotated[str | None, typer.Argument(metavar="[SINK]", help="Only this sink's.")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Those that were replayed as well.")] = False,
    is_replayed: Annotated[bool, typer.Option("--replay", help="Send the sink all of its own once more.")] = False,
    reason: Reason = "",
) -> None:
    """List what sinks have refused for good, or send it to a sink once more."""
    from holdfast.core.errors import InvalidRequest, StateConflict
    from holdfast.export.cursor import dead_letters_of
    from holdfast.wire.export import DeadLetters

    present = session_of(context).present
    if not is_replayed:
        with service_database() as engine:
            found = DeadLetters(items=dead_letters_of(engine, sink, is_open=not is_all))
        present.rows(found.items, _LETTERS, found.model_dump(mode="json"))
        return
    if sink is None:
        raise InvalidRequest("no sink is named", remedy="Name the one whose dead letters are to be sent once more")
    with _replayer(sink) as replayer:
        sent, refused = replayer.send_dead_letters(reason)
    if sent is None:
        present.fact(f"sink {sink} has no dead letters", sink=sink, events=0)
        return
    present.record(sent)
    if refused:
        raise StateConflict(
            f"sink {sink!r} still refuses {len(refused)} of its dead letters",
            remedy="Mend what it says is wrong, and send them again",
        )


@commands.command()
def pause(context: typer.Context, sink: SinkName, reason: Reason = "") -> None:
    """Let a sink get no events until it is resumed; none is lost."""
    with service_database() as engine:
        session_of(context).present.record(_operations(engine).pause(sink, reason))


@commands.command()
def resume(context: typer.Context, sink: SinkName, reason: Reason = "") -> None:
    """Let a paused sink get events again, from where it was."""
    with service_database() as engine:
        session_of(context).present.record(_operations(engine).resume(sink, reason))


@commands.command()
def receiver() -> None:
    """Print `receiver.py`: one file, for people who have nothing of ours, to tell whether what they received is whole and unaltered."""
    from importlib.resources import files

    sys.stdout.write(files("holdfast.export").joinpath("receiver.py").read_text())


def _operations(engine: "Engine") -> "Operations":
    from holdfast.export.operate import Operations
    from holdfast.service.transaction import Transactions

    return Operations(Transactions(engine, direct_caller()))


@contextmanager
def _opened() -> Iterator[_Export]:
    from holdfast.export.config import read_sinks
    from holdfast.settings import ExportSettings, LedgerSettings

    sinks = read_sinks(ExportSettings.load().export_sinks)
    log = LedgerSettings.load().log()
    # Of each sink one connection keeps the turn, and another works.
    with service_database(2 * len(sinks) + 1) as engine:
        yield _Export(engine, sinks, log)


@contextmanager
def _replayer(sink: str) -> "Iterator[Replayer]":
    from holdfast.export.opening import open_sink
    from holdfast.export.operate import Replayer

    with _opened() as export:
        settings = export.named(sink)
        opened = open_sink(settings)
        try:
            yield Replayer(export.operations, sink, settings, opened, export.feed())
        finally:
            opened.close()
