"""Runs that nobody waits for: each task begins one and defers, and no trigger of it will ever end it."""

from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import dag

from holdfast.wire.run import RunStart
from holdfast_provider.operators import RunOperator


class BegunOperator(RunOperator):
    def execute_run(self, context, hook, governance, project, request):
        run = governance.runs.create(project, request)
        governance.runs.start(project, run.id, RunStart(fence="a pod"))
        self.defer(trigger=TimeDeltaTrigger(timedelta(hours=1)), method_name="resume")


@dag(schedule=None)
def deferred():
    BegunOperator.partial(task_id="begun", project="oncology", environment="plain", command=["true"], retries=3).expand(
        parameters=[{"index": index} for index in range(3)]
    )


deferred()
