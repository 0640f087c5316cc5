"""What a data plane does for a Run, in the order in which it is called."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from holdfast.core.errors import HoldfastError, IntegrityViolation, InvalidRequest, PolicyViolation, Unavailable
from holdfast.core.run import ErrorClass
from holdfast.wire.dataset import FileEntry
from holdfast.wire.run import Grants, OutputFile, Run, Staging

Log = Callable[[str], None]


class StepFailed(Exception):
    """A step of a Run failed; the Run is to be finished as failed with this class and cause."""

    def __init__(self, error_class: ErrorClass, message: str, remedy: str = "", exit_code: int | None = None) -> None:
        super().__init__(f"{message}. {remedy}" if remedy else message)
        self.error_class, self.exit_code = error_class, exit_code

    def as_error(self) -> HoldfastError:
        """Return the failure as one of the six errors, for calls that have no Run."""
        kinds: dict[ErrorClass, type[HoldfastError]] = {
            ErrorClass.USER: InvalidRequest,
            ErrorClass.DATA: IntegrityViolation,
            ErrorClass.POLICY: PolicyViolation,
        }
        kind = kinds.get(self.error_class)
        return kind(str(self)) if kind else Unavailable(str(self))


class StepCanceled(Exception):
    """A step of a Run was ended because the Run was canceled."""


@dataclass(frozen=True, slots=True)
class CodeSource:
    """Where the user's code is.

    Attributes:
        checkout: directory of the files.
        commit: full SHA; None for a bundle without versions, whose files are taken as they lie there.
        git_directory: where git finds the commit's objects.
        path: directory below the commit's root.
    """

    checkout: str
    commit: str | None = None
    git_directory: str | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a Run wrote."""

    files: tuple[OutputFile, ...]
    metrics: dict[str, float]
    paths: dict[str, str] = field(default_factory=dict)


class Execution(Protocol):
    """One Run on a data plane; a context manager, because what it took it gives back.

    A step that is under way when the execution is canceled, and every later one, raises StepCanceled.
    """

    fence: str

    def __enter__(self) -> "Execution": ...
    def __exit__(self, *_: object) -> None: ...
    def stage(self, code: CodeSource, staging: Staging) -> None:
        """Put code, inputs and parameters in place, every digest checked; raises StepFailed."""
        ...

    def execute(self, log: Log) -> int:
        """Run the user's command to its end and return its exit code; raises StepFailed where it could not run or was killed."""
        ...

    def collect(self) -> Collected:
        """Return what was written; raises StepFailed."""
        ...

    def publish(self, grants: Grants) -> dict[str, str]:
        """Store the outputs and return the version id of each that is not in parts; raises StepFailed."""
        ...

    def cancel(self) -> None:
        """Ask what is under way to end, the user's command and everything that it started included; does not wait for it."""
        ...


class DataPlane(Protocol):
    """A place where Runs are executed."""

    def survey(self, source: str) -> list[FileEntry]:
        """Return every file of a source with digest and size; raises StepFailed."""
        ...

    def execution(self, run: Run) -> Execution:
        """Return the execution of a Run, not started; raises StepFailed where the data plane has no such environment."""
        ...


def failure_of(report: dict[str, Any]) -> StepFailed:
    """Return the failure in an agent's report."""
    failure = report["failure"]
    return StepFailed(ErrorClass(failure["error_class"]), failure["message"], failure["remedy"])


def collected_of(report: dict[str, Any]) -> Collected:
    """Return what an agent collected; raises StepFailed where a name cannot be recorded."""
    try:
        files = tuple(
            OutputFile(name=file["name"], digest=file["digest"], size_bytes=file["size_bytes"], parts=file["parts"])
            for file in report["files"]
        )
    except (ValueError, InvalidRequest) as error:
        raise StepFailed(ErrorClass.USER, f"an output's name cannot be recorded: {error}") from None
    return Collected(files, report["metrics"], {file["name"]: file["path"] for file in report["files"]})
