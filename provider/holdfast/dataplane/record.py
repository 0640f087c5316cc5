"""How an execution stands on record: started under its fence, ended together with what it made. The same for every data plane."""

from collections.abc import Callable
from typing import Protocol

from holdfast.core.canonical import recordable
from holdfast.core.errors import (
    HoldfastError,
    IntegrityViolation,
    InvalidRequest,
    NotFound,
    PolicyViolation,
    StateConflict,
)
from holdfast.core.run import ErrorClass, RunState, is_taken_from, is_terminal, owner_of_try
from holdfast.dataplane.plane import Collected, StepCanceled, StepFailed
from holdfast.dataplane.publishing import publish_outputs
from holdfast.ports import Governance
from holdfast.wire.run import Grants, Observed, Run, RunFinish, RunStart, RunTransition

_CAUSE_LIMIT = 2000
# What a call of ours refuses is never tried again, and so must not be called an error of the platform.
_CLASS_OF: dict[type[HoldfastError], ErrorClass] = {
    InvalidRequest: ErrorClass.USER,
    NotFound: ErrorClass.USER,
    PolicyViolation: ErrorClass.POLICY,
    IntegrityViolation: ErrorClass.DATA,
}


class Outputs(Protocol):
    """What an execution has written, and how that is stored."""

    def collect(self) -> Collected: ...  # noqa: D102 - see plane.Execution
    def publish(self, grants: Grants) -> dict[str, str]: ...  # noqa: D102


class RunRecord:
    """The record of one Run, kept by who executes it, or by who finds out what became of it.

    Every call may be repeated: the same end is recorded once.

    Args:
        governance: the record.
        project: the Project's name.
        run: the Run.
        log: told what could not be recorded.
    """

    def __init__(self, governance: Governance, project: str, run: Run, log: Callable[[str], None]) -> None:
        self._governance, self._project, self._log = governance, project, log
        self.run = run

    def check_open(self) -> None:
        """Return when the Run has not ended; raises StepFailed with how it ended."""
        run = self.run
        if is_terminal(run.state):
            raise StepFailed(run.error_class or ErrorClass.PLATFORM, f"Run {run.id} is {run.state}: {run.cause}")

    def take_up(self, try_number: int, key: str) -> None:
        """Put on record that a later try goes on with the Run; from then on the try before can end it no more.

        Args:
            try_number: of the try that goes on with it.
            key: that try's idempotency key.

        Raises:
            StateConflict: the Run has ended meanwhile.
        """
        runs, project, run = self._governance.runs, self._project, self.run
        owner = owner_of_try(try_number)
        if run.state is not RunState.UNKNOWN:
            cause = "the try before has ended, and has not said how its Run ends"
            lost = RunTransition(state=RunState.UNKNOWN, cause=cause, owner=owner)
            runs.change(project, run.id, lost, key=f"lose {key}")
        found = RunTransition(state=RunState.RECONCILING, cause=f"{owner} goes on with it", owner=owner)
        self.run = runs.change(project, run.id, found, key=f"find {key}")
        if run.fence is not None:
            self.run = runs.start(project, run.id, RunStart(fence=run.fence), key=f"take up {key}")

    def is_taken_from(self, try_number: int) -> bool:
        """Whether a later try goes on with the Run."""
        return is_taken_from(self._governance.runs.get(self._project, self.run.id).owner, try_number)

    def start(self, fence: str) -> None:
        """Record that the Run is executed under a fence; raises StateConflict where another execution holds it."""
        runs, project, run = self._governance.runs, self._project, self.run
        request, key = RunStart(fence=fence), f"start {run.idempotency_key}"
        try:
            self.run = runs.start(project, run.id, request, key=key)
        except StateConflict as conflict:
            self._reconcile(conflict, fence, "its execution starts")
            self.run = runs.start(project, run.id, request, key=key)

    def succeed(self, fence: str, exit_code: int, outputs: Outputs, observed: Observed | None = None) -> Run:
        """Have the outputs stored and end the Run as succeeded, with its Artifacts, in one transaction.

        Raises:
            StepFailed: an output is missing, was not declared, or could not be stored.
            HoldfastError: what the governance functions refuse.
        """
        runs, project, run = self._governance.runs, self._project, self.run
        collected = outputs.collect()
        try:
            stored = publish_outputs(runs, project, run.id, collected.files, outputs.publish)
            return self._finish(
                RunFinish(
                    state=RunState.SUCCEEDED,
                    fence=fence,
                    exit_code=exit_code,
                    metrics=collected.metrics,
                    artifacts=stored,
                    observed=observed,
                )
            )
        except StateConflict:
            # Whoever took this execution for dead has come to the same end a moment before.
            found = runs.get(project, run.id)
            if found.state is not RunState.SUCCEEDED or found.fence != fence:
                raise
            return found

    def fail(self, error: BaseException, fence: str | None, observed: Observed | None = None) -> None:
        """End the Run as an exception says; where that cannot be recorded, the log says so and the Run stays open."""
        ending = ending_of(error).model_copy(update={"fence": fence, "observed": observed})
        try:
            self._finish(ending)
        except StateConflict as conflict:
            # Somebody marked its task, or the reconciler was quicker.
            self._log(f"the Run's end is another than this execution's: {conflict}")
        except HoldfastError as refusal:
            self._log(f"the Run's end could not be recorded, the next try takes it to unknown: {refusal}")

    def _finish(self, ending: RunFinish) -> Run:
        runs, project, run = self._governance.runs, self._project, self.run
        key = f"{ending.state} {run.idempotency_key}"
        try:
            self.run = runs.finish(project, run.id, ending, key=key)
        except StateConflict as conflict:
            self._reconcile(conflict, ending.fence or "execution", "its execution reports its end")
            self.run = runs.finish(project, run.id, ending, key=key)
        return self.run

    def _reconcile(self, conflict: StateConflict, owner: str, evidence: str) -> None:
        """Reconcile a Run that was given up as unknown by what its own execution knows; raises the conflict when it is another."""
        runs, project, run = self._governance.runs, self._project, self.run
        if runs.get(project, run.id).state is not RunState.UNKNOWN:
            raise conflict
        transition = RunTransition(state=RunState.RECONCILING, cause=evidence, owner=owner)
        runs.change(project, run.id, transition, key=f"{evidence} {run.idempotency_key}")


def ending_of(error: BaseException) -> RunFinish:
    """Return how a Run ends that was broken off by an exception."""
    match error:
        case StepFailed():
            return _failed(error.error_class, str(error), error.exit_code)
        case StepCanceled():
            return RunFinish(state=RunState.CANCELED, cause=recordable(str(error))[:_CAUSE_LIMIT])
        case HoldfastError():
            return _failed(_CLASS_OF.get(type(error), ErrorClass.PLATFORM), str(error))
        case _:
            return _failed(
                ErrorClass.PLATFORM, f"the task ended with an unexpected {type(error).__name__}; see its log"
            )


def _failed(error_class: ErrorClass, cause: str, exit_code: int | None = None) -> RunFinish:
    # It may quote a command's words, or an agent's.
    told = recordable(cause)[:_CAUSE_LIMIT]
    return RunFinish(state=RunState.FAILED, error_class=error_class, cause=told, exit_code=exit_code)
