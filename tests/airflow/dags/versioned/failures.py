"""One task for each class of failure; all of them would retry, if they were let."""

from datetime import timedelta

from airflow.sdk import Param, dag

from holdfast_provider.operators import RegisterDatasetVersionOperator, RunOperator


@dag(
    schedule=None,
    params={"work": Param("", type="string")},
    default_args={"project": "oncology", "retries": 3, "retry_delay": timedelta(seconds=1)},
)
def failures():
    work = {"work": "{{ params.work }}"}
    RunOperator(
        task_id="killed_once",
        environment="plain",
        command=["python", "steps/once.py"],
        parameters=work,
        outputs={"said": "said.txt"},
    )
    RunOperator(task_id="user_error", environment="plain", command=["python", "-c", "raise SystemExit(3)"])
    RunOperator(task_id="unknown_environment", environment="nowhere", command=["python", "steps/say.py"])
    RunOperator(
        task_id="slow",
        environment="plain",
        command=["python", "-c", "import time; time.sleep(60)"],
        execution_timeout=timedelta(seconds=12),
        retries=0,
    )
    RegisterDatasetVersionOperator(task_id="outside", dataset="etc", source="file:///etc")
    data = RegisterDatasetVersionOperator(
        task_id="ingest", dataset="rows", source="file://{{ params.work }}/rows", retries=0
    )
    tamper = RunOperator(
        task_id="tamper", environment="plain", command=["python", "steps/tamper.py"], parameters=work, retries=0
    )
    data_error = RunOperator(
        task_id="data_error",
        environment="plain",
        command=["python", "steps/say.py"],
        inputs={"data": data.output},
    )
    data >> tamper >> data_error


@dag(
    schedule=None,
    default_args={
        "project": "oncology",
        "conn_id": "holdfast_flaky",
        "retries": 2,
        "retry_delay": timedelta(seconds=1),
    },
)
def flaky():
    RunOperator(
        task_id="single",
        environment="plain",
        command=["python", "steps/say.py"],
        parameters={"word": "back"},
        outputs={"said": "said.txt"},
    )


failures()
flaky()
