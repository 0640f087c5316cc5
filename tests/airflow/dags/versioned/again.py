"""What is repeated: by clear, by rerun, by a backfill; and what runs once for each of several parameters."""

from datetime import UTC, datetime

from airflow.sdk import DAG, Param, dag

from holdfast_provider.operators import RunOperator

SAY = {"project": "oncology", "environment": "plain", "command": ["python", "steps/say.py"]}


@dag(schedule=None, params={"word": Param("hello", type="string")})
def again():
    RunOperator(
        task_id="single", parameters={"word": "{{ params.word }}"}, outputs={"said": "said.txt"}, retries=1, **SAY
    )
    RunOperator.partial(task_id="mapped", outputs={"said": "said.txt"}, **SAY).expand(
        parameters=[{"word": "one"}, {"word": "two"}]
    )


again()

with DAG(
    "nightly",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=True,
):
    RunOperator(task_id="single", parameters={"word": "night"}, outputs={"said": "said.txt"}, **SAY)
