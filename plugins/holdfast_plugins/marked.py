"""DagRuns and task instances whose end a person sets. Airflow tells listeners of that, in the api-server alone.

It calls no callback of the Dag then, and a task that has deferred has no process that could be told.
Every Airflow process loads this, so everything that costs is imported when it is needed.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from holdfast.core.access import Caller
    from holdfast.settings import Platform

logger = logging.getLogger("holdfast.airflow")


class Marked:
    """A listener that takes to `canceled` what a person ended: the PipelineRuns of a DagRun, the open Runs of a task instance's try.

    Airflow has not committed the mark then. Should that fail, the task goes on with a Run that has ended, and its next try makes another.

    Attributes:
        platform: given by the api-server. Elsewhere there is none: tasks and DagRuns that end by themselves are recorded by themselves.
    """

    platform: "Platform | None" = None

    @hookimpl
    def on_dag_run_success(self, dag_run: Any, msg: str) -> None:
        """Record that somebody marked a DagRun as success."""
        self._end_dag_run(dag_run, msg)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        """Record that somebody marked a DagRun as failed."""
        self._end_dag_run(dag_run, msg)

    @hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        """End the Run of a task instance that somebody marked as success."""
        self._end_task(task_instance, "success")

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any) -> None:
        """End the Run of a task instance that somebody marked as failed."""
        self._end_task(task_instance, "failed")

    @hookimpl
    def on_task_instance_skipped(self, task_instance: Any) -> None:
        """End the Run of a task instance that somebody marked as skipped."""
        self._end_task(task_instance, "skipped")

    def _end_dag_run(self, dag_run: Any, message: str) -> None:
        def end(platform: "Platform", caller: "Caller", _: str) -> None:
            from holdfast.core.run import PipelineRunState
            from holdfast.service.pipeline_runs import find_open
            from holdfast.wire.run import PipelineRunTransition

            canceled = PipelineRunTransition(state=PipelineRunState.CANCELED, reason=message)
            for project, pipeline_run in find_open(platform.engine, dag_run.dag_id, dag_run.run_id):
                platform.governance(caller).runs.change_pipeline_run(project, pipeline_run, canceled)

        self._record(f"{dag_run.dag_id} {dag_run.run_id}", end)

    def _end_task(self, task: Any, state: str) -> None:
        def end(platform: "Platform", caller: "Caller", who: str) -> None:
            from holdfast.service.marked import TaskTry, cancel_runs_of
            from holdfast.service.transaction import Transactions

            marked = TaskTry(task.dag_id, task.run_id, task.task_id, task.map_index, task.try_number)
            cancel_runs_of(Transactions(platform.engine, caller), marked, f"{who} marked its task as {state}")

        self._record(f"{task.dag_id} {task.run_id} {task.task_id}", end)

    def _record(self, what: str, end: "Callable[[Platform, Caller, str], None]") -> None:
        """Call what records an end, with who is asked on behalf of, and who asked Airflow; a failure is logged."""
        if self.platform is None:
            return
        from holdfast.core.access import Caller
        from holdfast.core.errors import HoldfastError
        from holdfast_plugins.airflow_changes.recorder import CAUSE

        cause = CAUSE.get()
        asked = cause.caller if cause else Caller("somebody")
        caller = Caller("system:airflow", request_id=asked.request_id, trace_id=asked.trace_id)
        try:
            end(self.platform, caller, asked.principal)
        except HoldfastError as error:
            logger.warning("the end of %s was not recorded: %s", what, error)
