"""The agent in a pod: `python -I -m holdfast.dataplane.agent.pod wait|hold|answer`.

Two of these are containers' processes that only wait: `wait` holds the user's container back until a Run is laid out, `hold` keeps the
outputs until they are stored. The third is called from outside by exec and carries out orders, one after the other, each with one line as
its report: stage, collect, publish, release. They come on standard input, because nothing else that reaches a pod is kept out of
its specification and of the cluster's log; a header says which it is and how long, because exec cannot end a stream.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from holdfast.dataplane.agent.collect import collect, publish
from holdfast.dataplane.agent.failure import AgentFailure
from holdfast.dataplane.agent.stage import lay_out

LAUNCHER = Path("/usr/local/lib/holdfast/launch")
"""Where the agent's image has what launch.c becomes: process 1 of the user's container, whose image has nothing of ours."""
SCRATCH = Path("/holdfast/run")
CONTROL = Path("/holdfast/control")
_STAGED, _RELEASED, _LOCK = "staged.json", "released", "lock"
_POLL_S = 0.05
_HEADER_LIMIT_BYTES = 1024
_PIECE_BYTES = 256 << 10

Report = dict[str, Any]


class BrokenOff(AgentFailure):
    """Whoever gave the order is gone; nothing is decided."""

    def __init__(self) -> None:
        super().__init__("platform", "the connection to the agent broke off", "It is tried again")


class Content:
    """The bytes that follow an order: a file that ends where the header says."""

    def __init__(self, stream: IO[bytes], size_bytes: int) -> None:
        self._stream, self._left = stream, size_bytes

    def read(self, size_bytes: int = -1) -> bytes:
        """Return up to so many bytes, none at the end; raises BrokenOff where the connection ended before it."""
        wanted = self._left if size_bytes < 0 else min(size_bytes, self._left)
        if wanted == 0:
            return b""
        piece = self._stream.read(wanted)
        if len(piece) < wanted:
            raise BrokenOff
        self._left -= len(piece)
        return piece


def main(scratch: Path = SCRATCH, control: Path = CONTROL) -> int:
    """Run one command; exit 0 when all went well, 1 with a failure that has a class."""
    commands: dict[str, Callable[[], Iterator[Report]]] = {
        "wait": lambda: iter([_reported(lambda: _wait_for_staging(control))]),
        "hold": lambda: iter([_reported(lambda: _wait_for_release(control))]),
        "answer": lambda: _answers(sys.stdin.buffer, scratch, control),
    }
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print(f"usage: python -m holdfast.dataplane.agent.pod {'|'.join(commands)}", file=sys.stderr)  # noqa: T201
        return 2
    failed = 0
    for report in commands[sys.argv[1]]():
        print(json.dumps(report), flush=True)  # noqa: T201
        failed |= "failure" in report
    return failed


def _answers(stream: IO[bytes], scratch: Path, control: Path) -> Iterator[Report]:
    """Yield the report of each order in a stream, until it ends; an order that breaks off is the last one."""
    orders: dict[str, Callable[[dict[str, Any], Content], Report]] = {
        "stage": lambda order, content: _stage(order, content, scratch, control),
        "collect": lambda order, _: {"result": collect({"scratch": str(scratch), **order})},
        "publish": lambda order, _: {"result": publish({"scratch": str(scratch), **order})},
        "release": lambda *_: _release(control),
    }
    while line := stream.readline(_HEADER_LIMIT_BYTES):
        header = json.loads(line)
        content = Content(stream, header["content_bytes"])
        try:
            order = json.loads(Content(stream, header["order_bytes"]).read())
            carried_out = orders.get(header["command"], _unknown)
            report = _reported(lambda: carried_out(order, content), BrokenOff)  # noqa: B023 - called at once
            while content.read(_PIECE_BYTES):
                pass  # what nobody wanted is not the next order
        except BrokenOff as broken:
            yield {"failure": broken.report()}
            return
        yield report


def _unknown(*_: object) -> Report:
    raise AgentFailure(
        "platform", "the agent does not know the order", "Use an agent's image of Holdfast's own version"
    )


def _reported(command: Callable[[], Report], but: type[Exception] | tuple[()] = ()) -> Report:
    try:
        return command()
    except but:
        raise
    except AgentFailure as failure:
        return {"failure": failure.report()}
    except OSError as error:
        broken = AgentFailure("platform", f"the pod's disk failed: {error.strerror}", "Give the Run more disk")
        return {"failure": broken.report()}


def _stage(order: dict[str, Any], content: Content, scratch: Path, control: Path) -> Report:
    """Lay out the Run, once: whoever asks again, because the reply was lost, waits for the first and gets its report."""
    with _locked(control):
        staged = control / _STAGED
        if not staged.exists():
            _empty(scratch)
            report = _reported(
                lambda: _lay_out({"scratch": str(scratch), "data_roots": [], **order}, content), BrokenOff
            )
            beside = control / f".{_STAGED}"
            beside.write_text(json.dumps(report))
            beside.rename(staged)
        return dict(json.loads(staged.read_text()))


def _lay_out(order: dict[str, Any], content: Content) -> Report:
    lay_out(order, content)  # type: ignore[arg-type]  # tarfile reads, and asks for nothing else
    if not LAUNCHER.exists():
        raise AgentFailure("platform", f"the agent's image has no {LAUNCHER}", "Build it from the Dockerfile")
    programs = Path(order["scratch"]) / "bin"
    programs.mkdir(mode=0o755)
    shutil.copy(LAUNCHER, programs / LAUNCHER.name)
    return {"result": {}}


def _wait_for_staging(control: Path) -> Report:
    """Return how the Run was laid out, once it is; the user's container starts after that, and only when it went well."""
    staged = control / _STAGED
    _wait(staged.exists)
    report: Report = json.loads(staged.read_text())
    return report


def _wait_for_release(control: Path) -> Report:
    _wait((control / _RELEASED).exists)
    return {"result": {}}


def _release(control: Path) -> Report:
    (control / _RELEASED).touch()
    return {"result": {}}


def _wait(is_done: Callable[[], bool]) -> None:
    # Process 1 of a container gets no signal that it does not ask for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    while not is_done():
        time.sleep(_POLL_S)


@contextmanager
def _locked(control: Path) -> Iterator[None]:
    with (control / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _empty(scratch: Path) -> None:
    """Remove what a staging that broke off has left; what is mounted below stays."""
    for entry in scratch.iterdir():
        if not entry.is_dir():
            entry.unlink()
            continue
        for directory, _, _ in os.walk(entry):
            Path(directory).chmod(0o700)
        shutil.rmtree(entry)


if __name__ == "__main__":
    sys.exit(main())
