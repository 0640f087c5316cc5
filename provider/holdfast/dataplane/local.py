"""The local data plane: a child process in a scratch directory with an environment of its own. Its isolation is `none`.

For a laptop and for the demo: user code runs as the user that runs Airflow. Projects of class production refuse it.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from holdfast.core.errors import InvalidRequest
from holdfast.core.run import ErrorClass
from holdfast.dataplane.plane import CodeSource, Collected, Log, StepFailed, failure_of
from holdfast.wire.dataset import FileEntry
from holdfast.wire.run import Grants, OutputFile, Run, Staging

_GRACE_S = 10
_PR_SET_PDEATHSIG = 1
_LINE_LIMIT = 16 << 10
_SUPERVISE = Path(__file__).with_name("supervise.py")


class LocalDataPlane:
    """Executes Runs on this machine.

    Args:
        data_roots: absolute directories below which datasets may be read; none means no dataset can be read.
        scratch_root: where scratch directories are made; the system's temporary directory when None.
    """

    def __init__(self, data_roots: list[str], scratch_root: Path | None = None) -> None:
        self._data_roots = data_roots
        self._scratch_root = scratch_root

    def survey(self, source: str) -> list[FileEntry]:
        """Return every file of a source with digest and size; raises StepFailed."""
        files = _ask_agent("survey", {"source": source, "data_roots": self._data_roots})["files"]
        return [FileEntry(**file) for file in files]

    def execution(self, run: Run, environment_reference: str) -> "LocalExecution":
        """Return the execution of a Run, not started."""
        return LocalExecution(run, environment_reference, self._data_roots, self._scratch_root)


class LocalExecution:
    """One Run on this machine."""

    def __init__(self, run: Run, interpreter: str, data_roots: list[str], scratch_root: Path | None) -> None:
        self._run, self._interpreter, self._data_roots, self._scratch_root = run, interpreter, data_roots, scratch_root
        self._scratch = Path()
        self._process: subprocess.Popen[str] | None = None
        self._collected: Collected | None = None
        self.fence = f"local:{_boot_id()}:{os.getpid()}:{_start_time(os.getpid())}"

    def __enter__(self) -> Self:
        self._scratch = Path(tempfile.mkdtemp(prefix=f"holdfast-{self._run.id}-", dir=self._scratch_root))
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        # Not shutil.rmtree: user code may nest directories deeper than Python recurses, and take its own rights to them away.
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", self._scratch], check=True, env={"PATH": "/usr/bin:/bin"})  # noqa: S603

    def stage(self, code: CodeSource, staging: Staging) -> None:
        """Put code, inputs and parameters in place, every digest checked; raises StepFailed."""
        _ask_agent(
            "stage",
            {
                "scratch": str(self._scratch),
                "code": asdict(code),
                "parameters": self._run.parameters,
                "grants": [grant.model_dump(mode="json") for grant in staging.grants],
                "datasets": [dataset.model_dump(mode="json") for dataset in staging.datasets],
                "data_roots": self._data_roots,
            },
        )

    def execute(self, log: Log) -> int:
        """Run the user's command to its end and return its exit code; raises StepFailed where it could not run or was killed."""
        command = list(self._run.command)
        if command[0] in ("python", "python3"):
            command[0] = self._interpreter
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - running the user's command is the purpose
                [sys.executable, "-I", "-S", str(_SUPERVISE), str(writing), str(os.getpid()), *command],
                cwd=self._scratch / "code",
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="backslashreplace",
                start_new_session=True,
                pass_fds=[writing],
            )
        except (OSError, ValueError) as error:
            os.close(reading)
            raise _not_started(command[0], getattr(error, "strerror", None) or str(error)) from None
        finally:
            os.close(writing)
        if self._process.stdout is None:
            raise RuntimeError("the child has no output")
        with os.fdopen(reading) as answer:
            # Ends with the last process that holds the output, and the supervisor lets none outlive the command.
            while line := self._process.stdout.readline(_LINE_LIMIT):
                log(line.rstrip("\n"))
            report = json.loads(answer.read() or "{}")
        self._process.stdout.close()
        ended = self._process.wait()
        if "refused" in report:
            raise _not_started(command[0], report["refused"])
        code: int = report.get("code", ended)
        if code < 0:
            name = signal.Signals(-code).name
            kind = ErrorClass.ENVIRONMENT if -code == signal.SIGKILL else ErrorClass.USER
            raise StepFailed(
                kind, f"the command was ended by {name}", "Look for memory limits and at the log", exit_code=code
            )
        return code

    def environment(self) -> dict[str, str]:
        """Return the whole environment of the user's command; nothing is inherited."""
        return {
            "PATH": f"{Path(self._interpreter).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._scratch),
            "TMPDIR": str(self._scratch),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONHASHSEED": "0",
            "HOLDFAST_INPUTS": str(self._scratch / "inputs"),
            "HOLDFAST_PARAMETERS": str(self._scratch / "parameters.json"),
            "HOLDFAST_OUTPUTS": str(self._scratch / "outputs"),
        }

    def collect(self) -> Collected:
        """Return what was written; raises StepFailed."""
        report = _ask_agent("collect", {"scratch": str(self._scratch), "outputs": self._run.outputs})
        try:
            files = tuple(
                OutputFile(name=f["name"], digest=f["digest"], size_bytes=f["size_bytes"]) for f in report["files"]
            )
        except (ValueError, InvalidRequest) as error:
            raise StepFailed(ErrorClass.USER, f"an output's name cannot be recorded: {error}") from None
        paths = {file["name"]: file["path"] for file in report["files"]}
        self._collected = Collected(files, report["metrics"], paths)
        return self._collected

    def publish(self, grants: Grants) -> dict[str, str]:
        """Store the outputs and return the version id of each; raises StepFailed."""
        if self._collected is None:
            raise RuntimeError("publish comes after collect")
        order = {
            "scratch": str(self._scratch),
            "grants": [grant.model_dump(mode="json") for grant in grants.grants],
            "paths": self._collected.paths,
        }
        return dict(_ask_agent("publish", order)["versions"])

    def cancel(self) -> None:
        """End the user's command and everything that it started: SIGTERM to its group, the end of all of it after ten seconds."""
        if self._process is None or self._process.poll() is not None:
            return
        _signal_group(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self._process.send_signal(signal.SIGHUP)
        self._process.wait()


def _ask_agent(command: str, order: dict[str, Any]) -> dict[str, Any]:
    """Return the agent's report; its environment holds nothing but a PATH, so that no secret of this process can reach it."""
    done = subprocess.run(  # noqa: S603 - a fixed command
        [sys.executable, "-I", "-m", "holdfast.dataplane.agent", command],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"},
        preexec_fn=_die_with_parent,
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise StepFailed(ErrorClass.PLATFORM, f"the agent broke off in {command!r}: {last[0][:300]}") from None
    if "failure" in report:
        raise failure_of(report)
    return dict(report["result"])


def _not_started(command: str, reason: str) -> StepFailed:
    return StepFailed(ErrorClass.USER, f"the command {command[:200]!r} could not be started: {reason}")


def _die_with_parent() -> None:
    """Ask the kernel to end this child when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
