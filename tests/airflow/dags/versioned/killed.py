"""Runs that are ended from outside."""

from datetime import timedelta

from airflow.sdk import Param, dag

from holdfast_provider.operators import RunOperator


@dag(schedule=None, params={"work": Param("", type="string")})
def killed():
    RunOperator(
        task_id="long",
        project="oncology",
        environment="plain",
        command=["python", "steps/long.py"],
        parameters={"work": "{{ params.work }}"},
        retries=1,
        retry_delay=timedelta(seconds=1),
    )


killed()
