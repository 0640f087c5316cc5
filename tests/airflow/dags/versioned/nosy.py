"""User code that looks for secrets and says aloud what it finds."""

from airflow.sdk import dag

from holdfast_provider.operators import RunOperator


@dag(schedule=None)
def nosy():
    RunOperator(
        task_id="look",
        project="oncology",
        environment="plain",
        command=["python", "steps/nosy.py"],
        outputs={"environment": "environment.json"},
    )


nosy()
