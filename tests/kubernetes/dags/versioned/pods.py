"""Runs in pods."""

from airflow.sdk import Param, dag

from holdfast_provider.operators import RunOperator

STEP = {"project": "oncology", "environment": "sklearn"}


@dag(schedule=None, params={"word": Param("hello", type="string")})
def pods():
    first = RunOperator(
        task_id="first",
        command=["python", "steps/say.py"],
        parameters={"word": "{{ params.word }}"},
        outputs={"said": "said.txt", "metrics": "metrics.json"},
        **STEP,
    )
    RunOperator(
        task_id="second",
        command=["python", "steps/say.py"],
        inputs={"said": first.output["said"]},
        parameters={"word": "again"},
        outputs={"said": "said.txt", "metrics": "metrics.json"},
        **STEP,
    )


pods()
