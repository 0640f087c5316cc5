"""The agent in a pod, as exec calls it: real processes, orders on standard input that never ends, and connections that break off."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

DRIVER = """
import sys; from pathlib import Path
from holdfast.dataplane.agent import pod
pod.LAUNCHER = Path(sys.argv.pop(1)); scratch, control = Path(sys.argv.pop(1)), Path(sys.argv.pop(1))
sys.exit(pod.main(scratch, control))
"""


class Pod:
    """The directories of a pod, and its agent's processes."""

    def __init__(self, root: Path) -> None:
        self.scratch, self.control, self.launcher = root / "run", root / "control", root / "launch"
        self.scratch.mkdir()
        self.control.mkdir()
        self.launcher.write_bytes(b"a program")
        (self.scratch / "outputs").mkdir()  # mounted there

    def start(self, command: str) -> subprocess.Popen[bytes]:
        places = [str(self.launcher), str(self.scratch), str(self.control)]
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, *places, command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, command: str, order: dict[str, Any], content: bytes = b"") -> dict[str, Any]:
        """Give an order on a stream that stays open, as exec's does, and return the report."""
        return self.converse((command, order, content))[0]

    def converse(self, *orders: tuple[str, dict[str, Any], bytes]) -> list[dict[str, Any]]:
        """Give orders one after the other to one process, each once the one before is answered, and return the reports."""
        with self.start("answer") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            reports = []
            for command, order, content in orders:
                process.stdin.write(framed(command, order, content))
                process.stdin.flush()
                reports.append(dict(json.loads(process.stdout.readline())))
            process.stdin.close()
        return reports


def framed(command: str, order: dict[str, Any], content: bytes = b"") -> bytes:
    body = json.dumps(order).encode()
    header = {"command": command, "order_bytes": len(body), "content_bytes": len(content)}
    return json.dumps(header).encode() + b"\n" + body + content


def packed(**files: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


ORDER: dict[str, Any] = {"parameters": {"depth": 4}, "grants": [], "datasets": []}


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    made = Pod(tmp_path)
    (made.scratch / "outputs").rmdir()
    return made


def test_an_order_lays_out_the_run_and_lets_the_command_start(pod: Pod) -> None:
    waiting = pod.start("wait")
    assert pod.ask("stage", ORDER, packed(step="print()")) == {"result": {}}

    assert waiting.wait(20) == 0
    waiting.communicate()
    assert (pod.scratch / "code" / "step").read_text() == "print()"
    assert json.loads((pod.scratch / "parameters.json").read_text()) == {"depth": 4}
    assert (pod.scratch / "bin" / "launch").read_bytes() == b"a program"


def test_an_order_that_is_given_again_is_carried_out_once(pod: Pod) -> None:
    first = pod.ask("stage", ORDER, packed(step="one"))
    again = pod.ask("stage", ORDER, packed(step="another"))

    assert again == first
    assert (pod.scratch / "code" / "step").read_text() == "one"


def test_orders_at_the_same_time_are_carried_out_once(pod: Pod) -> None:
    reports: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda n=n: reports.append(pod.ask("stage", ORDER, packed(step=str(n)))))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert reports == [{"result": {}}] * 4


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_an_order_whose_connection_breaks_off_decides_nothing(pod: Pod, kept: float) -> None:
    whole = framed("stage", ORDER, packed(step="x" * 100_000))
    header = whole.index(b"\n") + 1
    with pod.start("answer") as process:
        report = process.communicate(whole[: header + int((len(whole) - header) * kept)])[0]
    assert json.loads(report)["failure"]["error_class"] == "platform"

    waiting = pod.start("wait")
    time.sleep(0.3)
    assert waiting.poll() is None, "the command may start"
    assert pod.ask("stage", ORDER, packed(step="whole")) == {"result": {}}
    assert waiting.wait(20) == 0
    waiting.communicate()
    assert (pod.scratch / "code" / "step").read_text() == "whole"


def test_a_staging_that_was_killed_is_done_again_from_nothing(pod: Pod) -> None:
    inputs = pod.scratch / "inputs" / "deep"
    inputs.mkdir(parents=True)
    (inputs / "half").write_text("half")
    (inputs / "half").chmod(0o400)
    inputs.chmod(0o500)

    assert pod.ask("stage", ORDER, packed(step="x")) == {"result": {}}
    assert list((pod.scratch / "inputs").iterdir()) == []


def test_a_run_that_cannot_be_laid_out_never_starts(pod: Pod) -> None:
    waiting = pod.start("wait")
    report = pod.ask("stage", ORDER, packed(**{"../outside": "x"}))

    assert report["failure"]["error_class"] == "user"
    assert waiting.wait(20) == 1
    waiting.communicate()
    assert pod.ask("stage", ORDER, packed(step="x")) == report


def test_outputs_are_kept_until_they_are_released(pod: Pod) -> None:
    (pod.scratch / "outputs").mkdir()
    holding = pod.start("hold")
    (pod.scratch / "outputs" / "model").write_bytes(b"a model")

    found = pod.ask("collect", {"outputs": {"model": "model"}})["result"]["files"]
    assert [file["digest"] for file in found] == ["sha256:" + hashlib.sha256(b"a model").hexdigest()]
    assert holding.poll() is None
    assert pod.ask("release", {}) == {"result": {}}
    assert holding.wait(20) == 0
    holding.communicate()


def test_one_process_carries_out_orders_one_after_the_other_also_after_a_failure(pod: Pod) -> None:
    (pod.scratch / "outputs").mkdir()
    (pod.scratch / "outputs" / "model").write_bytes(b"a model")
    first, missing, unknown, found, staged, again, released = pod.converse(
        ("collect", {"outputs": {"model": "model"}}, b""),
        ("collect", {"outputs": {"model": "none"}}, b""),
        ("dance", {}, b"and more"),
        ("collect", {"outputs": {"model": "model"}}, b"what nobody wanted"),
        ("stage", ORDER, packed(step="one")),
        ("stage", ORDER, packed(step="another" * 100_000)),
        ("release", {}, b""),
    )
    assert first == found
    assert (missing["failure"]["error_class"], unknown["failure"]["error_class"]) == ("user", "platform")
    assert staged == again == released == {"result": {}}
    assert (pod.scratch / "code" / "step").read_text() == "one"


def test_process_1_ends_at_once_when_it_is_asked_to(pod: Pod) -> None:
    with pod.start("hold") as holding:
        time.sleep(0.5)
        holding.terminate()
        assert holding.wait(5) in (143, -15)


def test_an_unknown_command_is_refused(pod: Pod) -> None:
    with pod.start("dance") as process:
        process.communicate()
    assert process.returncode == 2
