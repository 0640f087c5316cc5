"""However sequencers end or stand still, there is one log: every event in it once, and never two checkpoints of one size."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from holdfast.core.errors import NotFound
from holdfast.core.note import Checkpoint, VerifierKey, opened
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.sequencer import POINTS
from holdfast.ledger.verify import Verification
from holdfast.service.governance import GovernanceService
from holdfast.settings import Platform
from holdfast.wire.project import ProjectRequest
from tests.support.ledger import checked_by_others, forget

DRIVER = """
import os, signal, sys, threading
from holdfast.settings import LedgerSettings, Platform, Settings, open_sequencer
point, how = sys.argv[1:]
def probe(at):
    if at == point:
        print("there", flush=True)
        os.kill(os.getpid(), getattr(signal, how))
platform, settings = Platform.open(Settings.load()), LedgerSettings.load()
open_sequencer(platform.engine, settings, probe, standstill_s=1).run(threading.Event(), 0.02)
"""
ROUNDS = 1000


@dataclass
class Ledger:
    """A log, the processes that extend it, and every checkpoint that anybody could ever have seen."""

    root: Path
    environment: dict[str, str]
    key: VerifierKey
    platform: Platform
    admin: GovernanceService
    sql: Any
    seen: dict[int, bytes] = field(default_factory=dict)
    names: Iterator[str] = field(default_factory=lambda: (f"p{uuid4().hex[:12]}" for _ in itertools.count()))

    def start(self, point: str = "", how: str = "SIGKILL") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", DRIVER, point, how]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def record(self, count: int) -> None:
        for _ in range(count):
            self.admin.projects.create(ProjectRequest(name=next(self.names), owner="tests"))

    def look(self) -> int:
        """Return the size of the log that can be read everywhere, and remember every checkpoint that is anywhere."""
        size = min(self._remember(self.root / place / "checkpoint") for place in ("log", "worm"))
        for path in (self.root / "worm" / "checkpoints").glob("[0-9]*"):
            self._remember(path)
        return size

    def _remember(self, path: Path) -> int:
        try:
            note = DirectoryPlace(path.parent).read(path.name).decode()
        except NotFound:
            return 0
        found = Checkpoint.parse(opened(note, [self.key], is_signed)[0])
        assert self.seen.setdefault(found.size, found.root) == found.root, f"two checkpoints of size {found.size}"
        return found.size

    def events(self) -> int:
        return int(self.sql.scalar(text("SELECT count(*) FROM audit_event")))

    def until_whole(self, process: subprocess.Popen[bytes]) -> None:
        """Return once every event is published; the process goes on."""
        deadline = time.monotonic() + 60
        while self.look() < self.events():
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def check(self) -> None:
        """Check the whole log, by ourselves and by others, against everything that was ever seen of it."""
        look = Verification(DirectoryPlace(self.root / "log"), [self.key], is_signed, self.platform.engine)
        verified = look.verify()
        assert look.findings == []
        assert verified.size == self.events() == self.sql.scalar(text("SELECT count(*) FROM ledger_leaf"))
        known = sorted((self.root / "worm" / "checkpoints").iterdir())
        found = checked_by_others(self.root / "log", str(self.key), *known)
        assert (found["fsck"], found["tlog"], found["consistent"]) == ("holds", "holds", len(known))


@pytest.fixture
def ledger(
    platform: Platform, platform_env: dict[str, str], admin: GovernanceService, owner_sql: Any, tmp_path: Path
) -> Ledger:
    forget(owner_sql)
    signer = FileSigner.make("example.org/log", tmp_path / "log.key")
    environment = {
        **platform_env,
        "PATH": os.environ["PATH"],
        "HOLDFAST_LEDGER_LOG": str(tmp_path / "log"),
        "HOLDFAST_LEDGER_KEY": str(tmp_path / "log.key"),
        "HOLDFAST_LEDGER_COPIES": str(tmp_path / "worm"),
    }
    return Ledger(tmp_path, environment, signer.key, platform, admin, owner_sql)


def ended(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize("point", POINTS)
def test_a_sequencer_killed_at_a_named_point_leaves_a_log_that_the_next_one_extends(ledger: Ledger, point: str) -> None:
    for _ in range(3):
        ledger.record(100)
        assert ended(ledger.start(point)) == -signal.SIGKILL
        ledger.look()
    last = ledger.start()
    ledger.until_whole(last)
    last.kill()
    ended(last)
    ledger.check()


@pytest.mark.parametrize("point", POINTS)
def test_a_sequencer_that_stood_still_and_comes_back_changes_nothing(ledger: Ledger, point: str) -> None:
    ledger.record(300)
    stalled = ledger.start(point, "SIGSTOP")
    assert stalled.stdout is not None
    assert stalled.stdout.readline() == b"there\n"
    ledger.record(50)
    other = ledger.start()
    try:
        ledger.until_whole(other)
        size = ledger.look()
        os.kill(stalled.pid, signal.SIGCONT)
        for _ in range(50):
            assert ledger.look() >= size
            time.sleep(0.02)
        ledger.record(20)
        ledger.until_whole(other)
    finally:
        for process in (stalled, other):
            process.kill()
            ended(process)
    ledger.check()


@pytest.mark.soak
def test_a_thousand_sequencers_killed_at_any_moment_leave_one_log(ledger: Ledger) -> None:
    chance = random.Random(7)
    for number in range(ROUNDS):
        ledger.record(chance.randrange(20))
        if chance.random() < 0.5:
            assert ended(ledger.start(chance.choice(POINTS))) == -signal.SIGKILL
        else:
            process = ledger.start()
            time.sleep(chance.random() * 1.5)
            process.kill()
            ended(process)
        ledger.look()
        if number % 100 == 99:
            last = ledger.start()
            ledger.until_whole(last)
            last.kill()
            ended(last)
            ledger.check()
