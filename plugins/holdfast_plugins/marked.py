"""DagRuns whose end a person sets. Airflow calls no callback of the Dag then; it tells listeners, in the api-server alone.

Every Airflow process loads this, so everything that costs is imported when it is needed.
"""

import logging
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from holdfast.settings import Platform

logger = logging.getLogger("holdfast.airflow")


class MarkedDagRuns:
    """A listener that takes the PipelineRuns of a DagRun that was marked to `canceled`: a person ended them, not their tasks.

    Attributes:
        platform: given by the api-server. Elsewhere there is none, and a DagRun ends by its tasks: the Dag's notifier records that.
    """

    platform: "Platform | None" = None

    @hookimpl
    def on_dag_run_success(self, dag_run: Any, msg: str) -> None:
        """Record that somebody marked a DagRun as success."""
        self._record(dag_run, msg)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        """Record that somebody marked a DagRun as failed."""
        self._record(dag_run, msg)

    def _record(self, dag_run: Any, message: str) -> None:
        if self.platform is None:
            return
        from holdfast.core.access import Caller
        from holdfast.core.errors import HoldfastError
        from holdfast.core.run import PipelineRunState
        from holdfast.service.pipeline_runs import find_open
        from holdfast.wire.run import PipelineRunTransition

        runs = self.platform.governance(Caller("system:airflow")).runs
        canceled = PipelineRunTransition(state=PipelineRunState.CANCELED, reason=message)
        try:
            for project, pipeline_run in find_open(self.platform.engine, dag_run.dag_id, dag_run.run_id):
                runs.change_pipeline_run(project, pipeline_run, canceled)
        except HoldfastError as error:
            logger.warning("the end of %s %s was not recorded: %s", dag_run.dag_id, dag_run.run_id, error)
