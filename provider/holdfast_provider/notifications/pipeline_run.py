"""Records how a PipelineRun ended."""

from typing import Any

from airflow.sdk.bases.notifier import BaseNotifier

from holdfast.core.errors import HoldfastError
from holdfast.core.run import PipelineRunState
from holdfast_provider.hooks.holdfast import HoldfastHook

_FAILURES = frozenset({"failed", "upstream_failed"})


class PipelineRunNotifier(BaseNotifier):
    """A Dag's success or failure callback that takes the PipelineRun to its end; the Dag policy adds it where it is missing.

    A DagRun that Airflow calls a success although tasks of it failed (its last ones did not mind) is `partially_succeeded`. An API that
    does not answer leaves the PipelineRun as it is, for the reconciler; a callback cannot be tried again.

    Args:
        state: `succeeded` or `failed`.
        project: the Project; the connection's when None.
        conn_id: connection of type `holdfast`.
    """

    template_fields = ("project",)

    def __init__(self, state: str, project: str | None = None, conn_id: str = HoldfastHook.default_conn_name) -> None:
        super().__init__()
        self.state, self.project, self.conn_id = PipelineRunState(state), project, conn_id

    def notify(self, context: Any) -> None:
        """Take the PipelineRun of the DagRun to its end; one that was never created has none."""
        from holdfast.wire.run import PipelineRunTransition

        # Where no task instance stands for the end (all were skipped, none could run), the context holds no dag_run.
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        hook = HoldfastHook(self.conn_id)
        try:
            with hook.get_conn() as governance:
                project = hook.project(self.project)
                found = governance.runs.list_pipeline_runs(project, dag_id=dag_id, run_id=run_id, limit=1).items
                for pipeline_run in found:
                    transition = PipelineRunTransition(
                        state=self._state(context),
                        reason=str(context.get("reason") or ""),
                        ended_at=context["dag_run"].end_date if "dag_run" in context else None,
                    )
                    governance.runs.change_pipeline_run(project, pipeline_run.id, transition)
        except HoldfastError as error:
            self.log.warning("the end of %s %s was not recorded: %s", dag_id, run_id, error)

    def _state(self, context: Any) -> PipelineRunState:
        if self.state is not PipelineRunState.SUCCEEDED or "ti" not in context:
            return self.state
        run_id = context["run_id"]
        states = context["ti"].get_task_states(dag_id=context["dag"].dag_id, run_ids=[run_id])
        is_whole = _FAILURES.isdisjoint(states.get(run_id, {}).values())
        return self.state if is_whole else PipelineRunState.PARTIALLY_SUCCEEDED
