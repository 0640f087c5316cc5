"""The agent in a pod: `python -I -m holdfast.dataplane.agent.pod wait|stage|hold|collect|publish|release`.

Two of these are containers' processes that only wait: `wait` holds the user's container back until a Run is laid out, `hold` keeps the
outputs until they are stored. The others are called from outside by exec. Orders come on standard input, because nothing else that
reaches a pod is kept out of its specification and of the cluster's log; a header says how long they are, because exec cannot end a
stream.
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
        if not piece:
            raise BrokenOff
        self._left -= len(piece)
        return piece


def main(scratch: Path = SCRATCH, control: Path = CONTROL) -> int:
    """Run one command; exit 0 with a result, 1 with a failure that has a class."""
    commands: dict[str, Callable[[], Report]] = {
        "wait": lambda: _wait_for_staging(control),
        "hold": lambda: _wait_for_release(control),
        "stage": lambda: _stage(scratch, control),
        "collect": lambda: {"result": collect({"scratch": str(scratch), **_order()[0]})},
        "publish": lambda: {"result": publish({"scratch": str(scratch), **_order()[0]})},
        "release": lambda: _release(control),
    }
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print(f"usage: python -m holdfast.dataplane.agent.pod {'|'.join(commands)}", file=sys.stderr)  # noqa: T201
        return 2
    report = _reported(commands[sys.argv[1]])
    print(json.dumps(report), flush=True)  # noqa: T201
    return 1 if "failure" in report else 0


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


def _order() -> tuple[dict[str, Any], Content]:
    """Return the order on standard input, and the bytes that follow it."""
    stream = sys.stdin.buffer
    header = json.loads(stream.readline(_HEADER_LIMIT_BYTES))
    order: dict[str, Any] = json.loads(Content(stream, header["order_bytes"]).read())
    return order, Content(stream, header["content_bytes"])


def _stage(scratch: Path, control: Path) -> Report:
    """Lay out the Run, once: whoever asks again, because the reply was lost, waits for the first and gets its report."""
    order, content = _order()
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
