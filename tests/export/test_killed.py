"""However exporters end or stand still, nothing is lost; and of what comes twice the receiver knows that it does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.export.exporter import POINTS
from holdfast.export.receiver import judged
from holdfast.settings import Platform
from tests.support import receivers
from tests.support.export import ExportPlace
from tests.support.tls import Authority

DRIVER = """
import os, signal, sys, threading
from holdfast.export.config import read_sinks
from holdfast.export.exporter import Exporter
from holdfast.export.feed import Feed
from holdfast.export.opening import open_sink
from holdfast.settings import ExportSettings, LedgerSettings
from holdfast.store.engine import open_engine
point, how, name, after = sys.argv[1:]
met = 0
def probe(at):
    global met
    if at == point:
        met += 1
        if met > int(after):
            print("there", flush=True)
            os.kill(os.getpid(), getattr(signal, how))
settings = ExportSettings.load()
sink = read_sinks(settings.export_sinks)[name]
engine = open_engine(settings.database_url.get_secret_value(), pool_size=2)
feed = Feed(engine, LedgerSettings.load().log())
Exporter(engine, name, sink, open_sink(sink, probe), feed, probe=probe).run(threading.Event(), 0.05, standstill_s=1)
"""
FILES = POINTS
WEBHOOK = tuple(point for point in POINTS if point not in ("written", "renamed"))
ROUNDS = 200


@dataclass
class Running:
    """Exporters as processes of their own."""

    place: ExportPlace
    environment: dict[str, str]
    name: str

    def start(self, point: str = "", how: str = "SIGKILL", after: int = 0) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", DRIVER, point, how, self.name, str(after)]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def until_whole(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while self.place.status(self.name).behind:
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            assert time.monotonic() < deadline, self.place.status(self.name)
            time.sleep(0.02)


def ended(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=60)
    return process.returncode


@pytest.fixture
def running(
    place: ExportPlace, platform: Platform, platform_env: dict[str, str], tmp_path: Path, named: Callable[[], str]
) -> Callable[[str], Running]:
    def make(table: str) -> Running:
        name = named()
        (tmp_path / "sinks.toml").write_text(
            f'[sinks.{name}]\nbegin = "now"\nretry_first_s = 0.05\nbatch = 20\n{table}'
        )
        environment = {
            **platform_env,
            "PATH": os.environ["PATH"],
            "HOLDFAST_LEDGER_LOG": str(place.root / "log"),
            "HOLDFAST_EXPORT_SINKS": str(tmp_path / "sinks.toml"),
        }
        from holdfast.export.config import read_sinks

        place.operations.add(name, read_sinks(tmp_path / "sinks.toml")[name])
        return Running(place, environment, name)

    return make


def lines_in(directory: Path) -> list[str]:
    return [line for path in sorted(directory.glob("*.ndjson")) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("point", FILES)
def test_an_exporter_to_files_that_is_killed_at_a_named_point_leaves_no_gap_and_nothing_twice(
    place: ExportPlace, running: Callable[[str], Running], tmp_path: Path, point: str
) -> None:
    first = place.publish()
    export = running(f'kind = "files"\ndirectory = "{tmp_path / "out"}"\nlinger_s = 0\n')
    for after in (0, 1):
        place.publish(50)
        assert ended(export.start(point, after=after)) == -signal.SIGKILL
    last = place.publish(30)
    process = export.start()
    export.until_whole(process)
    process.kill()
    ended(process)
    found = judged(lines_in(tmp_path / "out"), first, None)
    assert (found["events"], found["gaps"], found["altered"]) == (last - first, [], {})
    assert found["doubled"] == 0


@pytest.mark.parametrize("point", WEBHOOK)
def test_an_exporter_to_a_webhook_that_is_killed_at_a_named_point_leaves_no_gap(
    place: ExportPlace, authority: Authority, running: Callable[[str], Running], point: str
) -> None:
    first = place.publish()
    with receivers.webhook(authority) as receiver:
        export = running(
            f'kind = "webhook"\nurl = "{receiver.url}"\nkey_file = "{place.root / "hook.key"}"\n'
            f'ca_file = "{authority.ca_file}"\n'
        )
        for after in (0, 1):
            place.publish(50)
            assert ended(export.start(point, after=after)) == -signal.SIGKILL
        last = place.publish(30)
        process = export.start()
        export.until_whole(process)
        process.kill()
        ended(process)
    found = judged(receiver.taken, first)
    assert (found["events"], found["gaps"], found["altered"]) == (last - first, [], {})
    assert found["doubled"] <= 40  # the batch that was under way, each time


@pytest.mark.parametrize("point", ["read", "delivered"])
def test_an_exporter_that_stood_still_and_comes_back_moves_no_cursor_that_another_one_has_moved(
    place: ExportPlace, running: Callable[[str], Running], tmp_path: Path, point: str
) -> None:
    first = place.publish()
    export = running(f'kind = "files"\ndirectory = "{tmp_path / "out"}"\nlinger_s = 0\n')
    place.publish(50)
    stalled = export.start(point, "SIGSTOP")
    assert stalled.stdout is not None
    assert stalled.stdout.readline() == b"there\n"
    other = export.start()
    try:
        export.until_whole(other)
        cursor = place.status(export.name).cursor
        os.kill(stalled.pid, signal.SIGCONT)
        for _ in range(25):
            assert place.status(export.name).cursor >= cursor
            time.sleep(0.02)
        last = place.publish(20)
        export.until_whole(other)
    finally:
        for process in (stalled, other):
            process.kill()
            ended(process)
    found = judged(lines_in(tmp_path / "out"), first)
    assert (found["events"], found["gaps"], found["altered"]) == (last - first, [], {})


@pytest.mark.soak
def test_two_hundred_exporters_killed_at_any_moment_leave_no_gap(
    place: ExportPlace, running: Callable[[str], Running], tmp_path: Path
) -> None:
    chance, first = random.Random(7), place.publish()
    export = running(f'kind = "files"\ndirectory = "{tmp_path / "out"}"\nlinger_s = 0\n')
    for _ in range(ROUNDS):
        place.publish(chance.randrange(100))
        process = export.start(chance.choice(POINTS) if chance.random() < 0.5 else "", after=chance.randrange(3))
        time.sleep(chance.random() * 2)
        process.kill()
        ended(process)
    process = export.start()
    export.until_whole(process)
    process.kill()
    ended(process)
    found = judged(lines_in(tmp_path / "out"), first)
    assert (found["events"], found["gaps"], found["altered"]) == (place.publish() - first, [], {})
