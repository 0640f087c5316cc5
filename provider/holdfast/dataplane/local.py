"""The local data plane: a child process in a scratch directory with an environment of its own. Its isolation is `none`.

For a laptop and for the demo: user code runs as the user that runs Airflow. Projects of class production refuse it.
"""

import os
import signal
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Self

from holdfast.core.policy import EnvironmentKind
from holdfast.core.run import ErrorClass
from holdfast.dataplane.plane import CodeSource, Collected, Log, StepFailed, collected_of
from holdfast.dataplane.process import AgentProcess
from holdfast.wire.dataset import FileEntry
from holdfast.wire.run import Grants, Run, Staging


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
        files = AgentProcess().ask("survey", {"source": source, "data_roots": self._data_roots})["files"]
        return [FileEntry(**file) for file in files]

    def execution(self, run: Run) -> "LocalExecution":
        """Return the execution of a Run, not started; raises StepFailed where its environment is an image."""
        if run.environment_kind != EnvironmentKind.INTERPRETER:
            raise StepFailed(
                ErrorClass.USER,
                f"EnvironmentLock {run.environment} is an {run.environment_kind}, and the local data plane starts interpreters only",
                "Lock an interpreter of this machine, or let the Project use the Kubernetes data plane",
            )
        if run.resources.get("secrets"):
            raise StepFailed(
                ErrorClass.USER,
                f"Run {run.id} reads secrets, and the local data plane has none to give",
                "Let the Project use the Kubernetes data plane",
            )
        return LocalExecution(run, self._data_roots, self._scratch_root)


class LocalExecution:
    """One Run on this machine."""

    def __init__(self, run: Run, data_roots: list[str], scratch_root: Path | None) -> None:
        self._run, self._data_roots, self._scratch_root = run, data_roots, scratch_root
        self._scratch = Path()
        self._agent = AgentProcess()
        self._collected: Collected | None = None
        self.fence = f"local:{_boot_id()}:{os.getpid()}:{_start_time(os.getpid())}"

    def __enter__(self) -> Self:
        self._scratch = Path(tempfile.mkdtemp(prefix=f"holdfast-{self._run.id}-", dir=self._scratch_root))
        return self

    def __exit__(self, *_: object) -> None:
        self._agent.end()
        # Not shutil.rmtree: user code may nest directories deeper than Python recurses, and take its own rights to them away.
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", self._scratch], check=True, env={"PATH": "/usr/bin:/bin"})  # noqa: S603

    def stage(self, code: CodeSource, staging: Staging) -> None:
        """Put code, inputs and parameters in place, every digest checked; raises StepFailed."""
        self._agent.ask(
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
            command[0] = self._run.environment_reference
        code = self._agent.execute(command, self._scratch / "code", self.environment(), log)
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
            "PATH": f"{Path(self._run.environment_reference).parent}:/usr/local/bin:/usr/bin:/bin",
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
        self._collected = collected_of(
            self._agent.ask("collect", {"scratch": str(self._scratch), "outputs": self._run.outputs})
        )
        return self._collected

    def publish(self, grants: Grants) -> dict[str, str]:
        """Store the outputs and return the version id of each that is not in parts; raises StepFailed."""
        if self._collected is None:
            raise RuntimeError("publish comes after collect")
        order = {
            "scratch": str(self._scratch),
            **grants.model_dump(mode="json"),
            "paths": self._collected.paths,
        }
        return dict(self._agent.ask("publish", order)["versions"])

    def cancel(self) -> None:
        """Ask what is under way to end, the user's command and everything that it started included; does not wait for it."""
        self._agent.cancel()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
