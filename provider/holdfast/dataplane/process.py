"""The agent's processes on this machine: one order, one report; or the user's command under an init of its own.

Their environment is given, never inherited: no secret of this process can reach them. They end when this process does, however that
happens.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from holdfast.core.run import ErrorClass
from holdfast.dataplane.plane import Log, StepCanceled, StepFailed, failure_of

# Airflow kills a task's process five seconds after it has asked it to end; in that time the end has to be recorded, too.
_GRACE_S = 2
_END_S = 10
_PR_SET_PDEATHSIG = 1
_LINE_LIMIT = 16 << 10


class AgentProcess:
    """Runs one process at a time; a process that is canceled, and every later one, raises StepCanceled."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._is_canceled = False

    def ask(self, command: str, order: dict[str, Any]) -> dict[str, Any]:
        """Return the result of one of the agent's commands; raises StepFailed, StepCanceled."""
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"}
        process = self._start(
            ["holdfast.dataplane.agent", command],
            env=environment,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_die_with_parent,
        )
        said, complaint = process.communicate(json.dumps(order))
        self._check_canceled()
        try:
            report: dict[str, Any] = json.loads(said)
        except ValueError:
            last = complaint.strip().splitlines()[-1:] or ["no message"]
            raise StepFailed(ErrorClass.PLATFORM, f"the agent broke off in {command!r}: {last[0][:300]}") from None
        if "failure" in report:
            raise failure_of(report)
        return dict(report["result"])

    def execute(self, command: list[str], directory: Path, environment: dict[str, str], log: Log) -> int:
        """Return the exit code of a user's command, negative where a signal ended it; nothing that it started is left."""
        reading, writing = os.pipe()
        with os.fdopen(reading) as report:
            try:
                process = self._start(
                    ["holdfast.dataplane.agent.init", str(os.getpid()), str(_GRACE_S), str(writing), *command],
                    env=environment,
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stderr=subprocess.STDOUT,
                    pass_fds=[writing],
                )
            except (ValueError, OSError) as error:  # a NUL in an argument, or more of them than the kernel takes
                reason = getattr(error, "strerror", None) or str(error)
                raise StepFailed(
                    ErrorClass.USER, f"the command {command[0][:200]!r} could not be started: {reason}"
                ) from None
            finally:
                os.close(writing)
            refusal = report.read()
        if process.stdout is None:
            raise RuntimeError("the child has no output")
        while line := process.stdout.readline(_LINE_LIMIT):
            log(line.rstrip("\n"))
        code = process.wait()
        self._check_canceled()
        if refusal:
            raise StepFailed(ErrorClass.USER, refusal, "Write the command as it is called in the environment")
        return code

    def cancel(self) -> None:
        """Ask the process that runs to end, and let no other one start."""
        self._is_canceled = True
        if self._process is not None:
            self._process.terminate()

    def end(self) -> None:
        """Return when no process runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self, module: list[str], **more: Any) -> "subprocess.Popen[str]":
        self._check_canceled()
        self._process = subprocess.Popen(  # noqa: S603 - fixed modules; running the user's command is the purpose of one
            [sys.executable, "-I", "-m", *module],
            stdout=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
            **more,
        )
        if self._is_canceled:  # between the check and now
            self._process.terminate()
        return self._process

    def _check_canceled(self) -> None:
        if self._is_canceled:
            raise StepCanceled("the Run was canceled")


def _die_with_parent() -> None:
    """Ask the kernel to end this child when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
