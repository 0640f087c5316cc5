"""One Run from staging to its end in this process, on the local data plane."""

from collections.abc import Callable

from airflow.sdk.exceptions import AirflowTaskTimeout

from holdfast.core.errors import StateConflict
from holdfast.core.run import ErrorClass, RunState
from holdfast.dataplane.local import LocalDataPlane
from holdfast.dataplane.plane import CodeSource, Execution, StepCanceled, StepFailed
from holdfast.dataplane.record import RunRecord
from holdfast.ports import Governance
from holdfast.wire.run import Run, RunTransition

CANCELED = "Airflow ended the task: it was marked or cleared, or its worker shut down"


class LocalRun:
    """Executes a Run that has been created; whatever happens, the Run is ended with its cause and, where it failed, its class."""

    def __init__(
        self, governance: Governance, project: str, run: Run, data_roots: list[str], log: Callable[[str], None]
    ) -> None:
        self._governance, self._project, self._run, self._log = governance, project, run, log
        self._record = RunRecord(governance, project, run, log)
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
            with LocalDataPlane(self._data_roots).execution(self._run) as execution:
                self._execution = execution
                if self._is_canceled:
                    execution.cancel()
                return self._execute(execution, code)
        except BaseException as error:
            self._record.fail(as_ending(error), self._execution.fence if self._execution else None)
            raise

    def cancel(self) -> None:
        """Ask what is under way to end; does not wait for it."""
        self._is_canceled = True
        if self._execution is not None:
            self._execution.cancel()

    def _check_fresh(self) -> None:
        run = self._run
        self._record.check_open()
        if run.state is RunState.CREATED:
            return
        if run.state in (RunState.QUEUED, RunState.RUNNING):
            cause = f"this try was begun before by {run.fence}, and broke off"
            lost = RunTransition(state=RunState.UNKNOWN, cause=cause, owner="reconciler")
            self._governance.runs.change(self._project, run.id, lost, key=f"lose {run.idempotency_key}")
        raise StateConflict(f"Run {run.id} was begun before by {run.fence}", remedy="A new try makes a new Run")

    def _execute(self, execution: Execution, code: CodeSource) -> Run:
        execution.stage(code, self._governance.runs.stage(self._project, self._run.id))
        self._record.start(execution.fence)
        exit_code = execution.execute(self._log)
        if exit_code != 0:
            raise StepFailed(
                ErrorClass.USER,
                f"the command ended with exit code {exit_code}",
                "See the task's log",
                exit_code=exit_code,
            )
        return self._record.succeed(execution.fence, exit_code, execution)


def as_ending(error: BaseException) -> BaseException:
    """Return what Airflow raises in a task as what a data plane would have raised."""
    match error:
        case StepCanceled():
            return StepCanceled(CANCELED)
        case AirflowTaskTimeout():
            return StepFailed(ErrorClass.ENVIRONMENT, "the task ran longer than its execution_timeout")
        case _:
            return error
