"""Records how a PipelineRun ended."""

from typing import Any

from airflow.sdk.bases.notifier import BaseNotifier

from holdfast.core.errors import HoldfastError
from holdfast.core.run import PipelineRunState
from holdfast_provider.hooks.holdfast import HoldfastHook


class PipelineRunNotifier(BaseNotifier):
    """A Dag's success or failure callback that takes the PipelineRun to that state; the Dag policy adds it where it is missing.

    An API that does not answer leaves the PipelineRun as it is, for the reconciler; a callback cannot be tried again.

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

        dag_run = context["dag_run"]
        hook = HoldfastHook(self.conn_id)
        try:
            with hook.get_conn() as governance:
                project = hook.project(self.project)
                found = governance.runs.list_pipeline_runs(
                    project, dag_id=dag_run.dag_id, run_id=dag_run.run_id, limit=1
                ).items
                for pipeline_run in found:
                    transition = PipelineRunTransition(state=self.state, reason=str(context.get("reason") or ""))
                    governance.runs.change_pipeline_run(project, pipeline_run.id, transition)
        except HoldfastError as error:
            self.log.warning("the end of %s %s was not recorded: %s", dag_run.dag_id, dag_run.run_id, error)
