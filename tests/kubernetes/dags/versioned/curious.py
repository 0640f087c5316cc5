"""A step with a secret, that looks for more, and one that reads what it made."""

from airflow.sdk import dag

from holdfast_provider.operators import RunOperator

STEP = {"project": "oncology", "environment": "sklearn"}


@dag(schedule=None)
def curious():
    look = RunOperator(
        task_id="look",
        command=["python", "steps/look.py"],
        outputs={"seen": "seen.txt", "metrics": "metrics.json"},
        secrets={"BANK": "bank/key"},
        **STEP,
    )
    RunOperator(
        task_id="read",
        command=["python", "-c", "import os; print(open(os.environ['HOLDFAST_INPUTS'] + '/seen').read())"],
        inputs={"seen": look.output["seen"]},
        **STEP,
    )


curious()
