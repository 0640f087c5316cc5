"""A log with sinks: what the tests of the export start with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from holdfast.core.access import Caller
from holdfast.export.config import AnySinkSettings, FilesSettings, SyslogSettings, WebhookSettings
from holdfast.export.cursor import sinks_of
from holdfast.export.exporter import IDLE, Exporter
from holdfast.export.feed import Feed
from holdfast.export.opening import open_sink
from holdfast.export.operate import Operations, Replayer
from holdfast.export.sink import Refused
from holdfast.ledger.place import DirectoryPlace
from holdfast.service.transaction import Transactions
from tests.support.events import write_events
from tests.support.ledger import sequencer_in
from tests.support.receivers import KEY

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from holdfast.export.sink import Batch
    from holdfast.ledger.sequencer import Sequencer
    from holdfast.wire.export import SinkStatus


@dataclass(frozen=True)
class ExportPlace:
    """A log in a directory, and what is exported of it."""

    engine: Engine
    root: Path
    sequencer: Sequencer

    @classmethod
    def make(cls, engine: Engine, root: Path) -> ExportPlace:
        key = root / "hook.key"
        key.write_bytes(KEY)
        key.chmod(0o600)
        return cls(engine, root, sequencer_in(root, engine))

    @property
    def log(self) -> DirectoryPlace:
        return DirectoryPlace(self.root / "log")

    @property
    def operations(self) -> Operations:
        return Operations(Transactions(self.engine, Caller("system:tests")))

    @property
    def note(self) -> str:
        return (self.root / "log" / "checkpoint").read_text()

    def publish(self, count: int = 0, **more: Any) -> int:
        """Write so many events, and return the size of the log that has them."""
        write_events(self.engine, count, **more)
        return self.sequencer.extend()

    def webhook(self, url: str, **more: Any) -> WebhookSettings:
        settings = {"kind": "webhook", "url": url, "key_file": self.root / "hook.key", "timeout_s": 5, "begin": "now"}
        return WebhookSettings(**{**settings, **self._quick(), **more})

    def syslog(self, port: int, **more: Any) -> SyslogSettings:
        settings = {"kind": "syslog", "host": "localhost", "port": port, "timeout_s": 5, "begin": "now"}
        return SyslogSettings(**{**settings, **self._quick(), **more})

    def files(self, directory: Path, **more: Any) -> FilesSettings:
        settings = {"kind": "files", "directory": directory, "linger_s": 0, "batch": 100, "begin": "now"}
        return FilesSettings(**{**settings, **self._quick(), **more})

    @staticmethod
    def _quick() -> dict[str, Any]:
        return {"retry_first_s": 0.01, "retry_longest_s": 0.05}

    def exporter(self, name: str, settings: AnySinkSettings, **more: Any) -> Exporter:
        """Return the exporter of a sink, which begins at the end of the log."""
        self.operations.add(name, settings)
        return Exporter(self.engine, name, settings, open_sink(settings), Feed(self.engine, self.log), **more)

    def replayer(self, name: str, settings: AnySinkSettings) -> Replayer:
        return Replayer(
            self.operations, name, settings, open_sink(settings), Feed(self.engine, self.log), wait=lambda _: None
        )

    def status(self, name: str) -> SinkStatus:
        return next(found for found in sinks_of(self.engine) if found.name == name)

    def catch_up(self, exporter: Exporter, attempts: int = 1000) -> None:
        """Step until there is nothing left, without waiting."""
        for _ in range(attempts):
            wait = exporter.step()
            if wait == IDLE and not self.status(exporter.name).behind:
                return
            assert wait < timedelta(hours=1)
        raise AssertionError(f"{exporter.name} does not come to the end: {self.status(exporter.name)}")


class _Refusing:
    """A sink that takes nothing, ever."""

    def deliver(self, batch: Batch) -> int:
        raise Refused("nothing is wanted")

    def close(self) -> None:
        """Nothing is open."""


def export_something(engine: Engine, root: Path) -> None:
    """Fill the export's tables: a sink that has everything; one dead letter that was replayed, and one that was not."""
    place = ExportPlace.make(engine, root)
    settings = place.files(root / "files", begin="first", batch=4096)
    place.publish()
    for number in range(2):
        place.publish(3)
        place.operations.add("archive", settings)
        refusing = Exporter(engine, "archive", settings, _Refusing(), Feed(engine, place.log))
        refusing.step()
        if not number:
            place.replayer("archive", settings).send_dead_letters()
    place.publish()
    place.catch_up(place.exporter("archive", settings))
