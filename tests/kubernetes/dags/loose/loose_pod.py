"""A Dag outside git, whose code is taken as it lies there."""

from airflow.sdk import dag

from holdfast_provider.operators import RunOperator


@dag(schedule=None)
def loose_pod():
    RunOperator(task_id="step", project="oncology", environment="sklearn", command=["python", "-c", "print('loose')"])


loose_pod()
