"""Starts processes as one group: all run, or none does."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from demo.failure import DemoFailure

_GRACE_S = 8
_REPEAT_S = 4
_PR_SET_PDEATHSIG = 1


class Supervisor:
    """A group of processes, each with a session and a log file of its own; they end with this process, however it ends.

    Attributes:
        revives: whether one that has ended is started again, as production does; else its end is everybody's.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.revives = False
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, tuple[list[str], Mapping[str, str]]] = {}
        self._watched: dict[str, tuple[Callable[[], int | None], Path]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.pid for name, process in self._processes.items()}

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Start one process of the group."""
        self._started[name] = command, environment
        with (self.logs / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.logs,
                start_new_session=True,
                preexec_fn=lambda: ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509 - takes no lock
            )

    def kill(self, name: str) -> None:
        """Kill a process with its session, as a machine that is lost does, and start it again."""
        process = self._processes[name]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.start(name, *self._started[name])

    def watch(self, name: str, poll: Callable[[], int | None], log: Path) -> None:
        """Check a process, too, that the others cannot do without and that is stopped elsewhere."""
        self._watched[name] = (poll, log)

    def check(self) -> None:
        """Return while every process runs; raises DemoFailure that names the one that has ended, and its log."""
        started = {name: (process.poll, self.logs / f"{name}.log") for name, process in self._processes.items()}
        for name, (poll, log) in {**self._watched, **started}.items():
            if (code := poll()) is None:
                continue
            if self.revives and name in self._started:
                self.start(name, *self._started[name])
            else:
                raise DemoFailure(
                    f"{name} has ended (exit {code}); its log is {log}. Everything else was stopped; start again"
                )

    def wait_until(self, what: str, is_done: Callable[[], bool], deadline_s: float) -> None:
        """Return once something holds; raises DemoFailure when a process ends first or the time is over."""
        deadline = time.monotonic() + deadline_s
        while not is_done():
            self.check()
            if time.monotonic() > deadline:
                raise DemoFailure(f"{what} did not happen within {deadline_s:.0f} s; look into the logs in {self.logs}")
            time.sleep(0.3)

    def stop(self) -> None:
        """End every process: SIGTERM, again after four seconds, and SIGKILL to the sessions of those that do not go."""
        deadline = time.monotonic() + _GRACE_S
        running = list(reversed(self._processes.values()))
        while running and time.monotonic() < deadline:
            # Again, because a process that gets it in the middle of something may lose the first one; and not at once, because the
            # triggerer takes a second one for impatience, and does not end at all when it comes while it cleans up.
            for process in running:
                process.terminate()
            wait_until = time.monotonic() + _REPEAT_S
            while running and time.monotonic() < wait_until:
                running = [process for process in running if process.poll() is None]
                time.sleep(0.05)
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
