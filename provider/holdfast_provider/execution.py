"""One Run from staging to its end in this process, on the local data plane."""

from collections.abc import Callable

from airflow.sdk.exceptions import AirflowTaskTimeout

from holdfast.core.errors import (
    HoldfastError,
    IntegrityViolation,
    InvalidRequest,
    NotFound,
    PolicyViolation,
    StateConflict,
)
from holdfast.core.policy import DataPlaneKind
from holdfast.core.run import ErrorClass, RunState, is_terminal
from holdfast.dataplane.local import LocalDataPlane
from holdfast.dataplane.plane import CodeSource, Execution, StepCanceled, StepFailed
from holdfast.dataplane.publishing import publish_outputs
from holdfast.ports import Governance
from holdfast.wire.run import Run, RunFinish, RunStart, RunTransition

_CAUSE_LIMIT = 2000
# What a call of ours refuses is never tried again by _errors.py, and so must not be called an error of the platform.
_CLASS_OF: dict[type[HoldfastError], ErrorClass] = {
    InvalidRequest: ErrorClass.USER,
    NotFound: ErrorClass.USER,
    PolicyViolation: ErrorClass.POLICY,
    IntegrityViolation: ErrorClass.DATA,
}


class LocalRun:
    """Executes a Run that has been created; whatever happens, the Run is ended with its cause and, where it failed, its class."""

    def __init__(
        self, governance: Governance, project: str, run: Run, data_roots: list[str], log: Callable[[str], None]
    ) -> None:
        self._governance, self._project, self._run, self._log = governance, project, run, log
        self._data_roots = data_roots
        self._execution: Execution | None = None
        self._is_canceled = False

    def execute(self, code: CodeSource) -> Run:
        """Execute the Run and return it, succeeded.

        Raises:
            StepFailed: a step failed; the Run is failed.
            StepCanceled: the task was ended from outside; the Run is canceled.
            StateConflict: this try was executed before and broke off; the Run is unknown.
        """
        self._check_fresh()
        try:
            with self._data_plane().execution(self._run) as execution:
                self._execution = execution
                if self._is_canceled:
                    execution.cancel()
                return self._execute(execution, code)
        except BaseException as error:
            self._record(_ending_of(error))
            raise

    def cancel(self) -> None:
        """Ask what is under way to end; does not wait for it."""
        self._is_canceled = True
        if self._execution is not None:
            self._execution.cancel()

    def _data_plane(self) -> LocalDataPlane:
        if self._run.data_plane != DataPlaneKind.LOCAL:
            name = self._run.data_plane
            raise StepFailed(ErrorClass.PLATFORM, f"this installation cannot execute Runs on the data plane {name!r}")
        return LocalDataPlane(self._data_roots)

    def _check_fresh(self) -> None:
        run = self._run
        if is_terminal(run.state):
            raise StepFailed(run.error_class or ErrorClass.PLATFORM, f"Run {run.id} is {run.state}: {run.cause}")
        if run.state is RunState.CREATED:
            return
        if run.state in (RunState.QUEUED, RunState.RUNNING):
            cause = f"this try was begun before by {run.fence}, and broke off"
            lost = RunTransition(state=RunState.UNKNOWN, cause=cause, owner="reconciler")
            self._governance.runs.change(self._project, run.id, lost, key=f"lose {run.idempotency_key}")
        raise StateConflict(f"Run {run.id} was begun before by {run.fence}", remedy="A new try makes a new Run")

    def _execute(self, execution: Execution, code: CodeSource) -> Run:
        runs, project, run = self._governance.runs, self._project, self._run
        execution.stage(code, runs.stage(project, run.id))
        self._start(execution.fence)
        exit_code = execution.execute(self._log)
        if exit_code != 0:
            raise StepFailed(
                ErrorClass.USER,
                f"the command ended with exit code {exit_code}",
                "See the task's log",
                exit_code=exit_code,
            )
        collected = execution.collect()
        stored = publish_outputs(runs, project, run.id, collected.files, execution.publish)
        ending = RunFinish(
            state=RunState.SUCCEEDED,
            fence=execution.fence,
            exit_code=exit_code,
            metrics=collected.metrics,
            artifacts=stored,
        )
        return self._finish(ending)

    def _record(self, ending: RunFinish) -> None:
        if self._execution is not None:
            ending = ending.model_copy(update={"fence": self._execution.fence})
        try:
            self._finish(ending)
        except HoldfastError as error:
            self._log(f"the Run's end could not be recorded, the next try takes it to unknown: {error}")

    def _start(self, fence: str) -> None:
        runs, project, run = self._governance.runs, self._project, self._run
        request, key = RunStart(fence=fence), f"start {run.idempotency_key}"
        try:
            runs.start(project, run.id, request, key=key)
        except StateConflict as conflict:
            self._reconcile(conflict, fence, "its execution starts")
            runs.start(project, run.id, request, key=key)

    def _finish(self, ending: RunFinish) -> Run:
        runs, project, run = self._governance.runs, self._project, self._run
        key = f"{ending.state} {run.idempotency_key}"
        try:
            return runs.finish(project, run.id, ending, key=key)
        except StateConflict as conflict:
            self._reconcile(conflict, ending.fence or "execution", "its execution reports its end")
            return runs.finish(project, run.id, ending, key=key)

    def _reconcile(self, conflict: StateConflict, owner: str, evidence: str) -> None:
        """Reconcile a Run that was given up as unknown by what its own execution knows; raises the conflict when it is another."""
        runs, project, run = self._governance.runs, self._project, self._run
        if runs.get(project, run.id).state is not RunState.UNKNOWN:
            raise conflict
        transition = RunTransition(state=RunState.RECONCILING, cause=evidence, owner=owner)
        runs.change(project, run.id, transition, key=f"{evidence} {run.idempotency_key}")


def _ending_of(error: BaseException) -> RunFinish:
    """Return how a Run ends that was broken off by an exception."""
    match error:
        case StepFailed():
            return _failed(error.error_class, str(error), error.exit_code)
        case StepCanceled():
            cause = "Airflow ended the task: it was marked or cleared, or its worker shut down"
            return RunFinish(state=RunState.CANCELED, cause=cause)
        case AirflowTaskTimeout():
            return _failed(ErrorClass.ENVIRONMENT, "the task ran longer than its execution_timeout")
        case HoldfastError():
            return _failed(_CLASS_OF.get(type(error), ErrorClass.PLATFORM), str(error))
        case _:
            return _failed(
                ErrorClass.PLATFORM, f"the task ended with an unexpected {type(error).__name__}; see its log"
            )


def _failed(error_class: ErrorClass, cause: str, exit_code: int | None = None) -> RunFinish:
    return RunFinish(state=RunState.FAILED, error_class=error_class, cause=cause[:_CAUSE_LIMIT], exit_code=exit_code)
