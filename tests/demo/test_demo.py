"""The demo as a newcomer meets it: it ends well, or it says in one message why not; it leaves nothing running."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from demo.failure import DemoFailure
from demo.state import PORTS, State
from demo.supervise import Supervisor

pytestmark = pytest.mark.timeout(400)
ROOT = Path(__file__).parents[2]


class Demo:
    """The demo on a state directory of its own."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.output = state.root.parent / "output"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "demo", "up", "--state", str(self.state.root), *arguments]
        with self.output.open("wb") as output:
            return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, **environment})

    def run(self, *arguments: str, **environment: str) -> int:
        return self.start(*arguments, **environment).wait(350)

    def said(self) -> str:
        return self.output.read_text()

    def left(self) -> list[int]:
        """Return which of the recorded processes still run."""
        pids = self.state.recall("pids") or {}
        return [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    state = State(tmp_path / "state")
    yield Demo(state)
    state.remove()


def wait_until(is_done: Callable[[], bool], deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_story_ends_in_a_promoted_model_and_leaves_nothing_running(demo: Demo) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", PORTS.start))
        taken.listen()
        assert demo.run("--once") == 0, demo.said()
    assert demo.state.recall("port") != PORTS.start
    assert demo.left() == []
    summary = demo.state.recall("summary")
    head = subprocess.run(
        ["git", "--git-dir", str(demo.state.root / "dags.git"), "rev-parse", "main"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert summary["commit"] == head.stdout.strip()
    assert sorted(summary["seals"]) == ["evaluate", "train"]
    assert {"train/model", "evaluate/report", "evaluate/plots/roc.svg"} <= set(summary["artifacts"])
    assert (summary["model_version"], summary["alias"], summary["approved_by"]) == (
        "tumours/1",
        "tumours@champion",
        ["user:officer"],
    )
    assert summary["audit_events"] > 20
    proof = summary["proof"]
    assert {"promotion.approved", "promotion.executed", "alias.moved", "run.finished"} <= set(proof["actions"])
    assert proof["without_network"] in ("namespace", "process")
    command = [sys.executable, "-I", "-S", proof["verifier"], "--key", proof["key"], proof["file"]]
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (again.returncode, again.stdout.count(": holds")) == (0, proof["events"])
    assert "took part in making or requesting" in demo.said()
    credentials = demo.state.root / "credentials"
    assert credentials.stat().st_mode & 0o777 == 0o600
    assert len(credentials.read_text().splitlines()) == 5
    # A second start goes on from the state, after its half-finished beginning was cut off.
    again = demo.start()
    wait_until(lambda: "PostgreSQL runs" in demo.said() or again.poll() is not None, 60)
    again.send_signal(signal.SIGKILL)
    again.wait()
    wait_until(lambda: demo.left() == [], 60)
    prepared = (demo.state.root / "prepared.json").stat().st_mtime_ns
    last = demo.start()
    wait_until(lambda: "triggered" in demo.said() or last.poll() is not None, 200)
    assert last.poll() is None, demo.said()
    assert (demo.state.root / "prepared.json").stat().st_mtime_ns == prepared
    victim = demo.state.recall("pids")["triggerer"]
    os.kill(victim, signal.SIGKILL)
    assert last.wait(60) == 1
    assert "triggerer has ended" in demo.said()
    assert "triggerer.log" in demo.said()
    assert "Traceback" not in demo.said()
    assert demo.left() == []


@pytest.mark.soak
def test_a_second_story_goes_on_from_the_first(demo: Demo) -> None:
    assert demo.run("--once") == 0, demo.said()
    credentials = (demo.state.root / "credentials").read_text()
    assert demo.run("--once") == 0, demo.said()
    assert demo.state.recall("summary")["model_version"] == "tumours/2"
    assert (demo.state.root / "credentials").read_text() == credentials


def test_without_git_it_says_what_to_install(demo: Demo, tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    assert demo.run("--once", PATH=str(empty)) == 1
    assert "git is not installed" in demo.said()
    assert "Traceback" not in demo.said()


def test_a_second_demo_on_the_same_state_is_told_who_holds_it(demo: Demo) -> None:
    with demo.state.locked():
        assert demo.run("--once") == 1
    assert f"process {os.getpid()}" in demo.said()


def test_no_free_port_is_one_message(demo: Demo) -> None:
    held = []
    try:
        for port in PORTS:
            listening = socket.socket()
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind(("127.0.0.1", port))
                listening.listen()
            except OSError:
                listening.close()
                continue
            held.append(listening)
        assert demo.run("--once") == 1
    finally:
        for listening in held:
            listening.close()
    assert "no port between" in demo.said()


@pytest.mark.parametrize("gone", ["the state", "the database", "neither"])
def test_halves_that_do_not_belong_together_are_started_over(demo: Demo, gone: str) -> None:
    state = demo.state
    with state.locked():
        assert state.pair() is False
        token = state.secret("token")
        (state.database / "data").mkdir()
    if gone != "neither":
        shutil.rmtree(state.root if gone == "the state" else state.database)
    with state.locked():
        assert state.pair() is (gone != "neither")
        assert (state.database / "data").exists() is (gone == "neither")
        assert (state.secret("token") == token) is (gone == "neither")


def test_what_ends_is_named_with_its_log_whoever_started_it(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as group:
        group.watch("PostgreSQL", lambda: None, tmp_path / "log")
        group.check()
        group.watch("PostgreSQL", lambda: 2, tmp_path / "log")
        with pytest.raises(DemoFailure, match=r"PostgreSQL has ended \(exit 2\); its log is .*/log"):
            group.check()


def test_reset_removes_everything(demo: Demo) -> None:
    demo.state.create()
    demo.state.database.mkdir()
    command = [sys.executable, "-m", "demo", "reset", "--state", str(demo.state.root)]
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
    assert not demo.state.root.exists()
    assert not demo.state.database.exists()
