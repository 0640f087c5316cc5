"""A Dag of a development Project in a directory without versions: it runs, and its Runs have no commit."""

from airflow.sdk import dag

from holdfast_provider.operators import RunOperator


@dag(schedule=None)
def loose():
    RunOperator(task_id="single", project="oncology", environment="plain", command=["python", "-c", "print('loose')"])


loose()
