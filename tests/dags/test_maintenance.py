"""The Dags of scheduled maintenance, and the operator that keeps their commands apart from the worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.dag_process import DAGS, run

if TYPE_CHECKING:
    from pathlib import Path

LOAD = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
bag = BundleDagBag(sys.argv[1], bundle_path=Path(sys.argv[1]).parent, bundle_name="ours")
dag = bag.dags["holdfast_reconcile"]
task = dag.get_task("apply")
print(json.dumps([dag.schedule, dag.max_active_runs, dag.catchup, task.arguments, task.environment]))
"""
EXECUTE = """
import sys
from holdfast_provider.operators import HoldfastCommandOperator
class Log:
    def info(self, text, *values):
        print(text % values)
    def __getattr__(self, name):
        return lambda *arguments, **more: None
HoldfastCommandOperator.log = Log()
environment = dict(pair.split("=", 1) for pair in sys.argv[2].split(";") if pair)
task = HoldfastCommandOperator(task_id="t", arguments=sys.argv[1].split(), environment=environment)
try:
    task.execute({})
except Exception as error:
    print(type(error).__name__, error)
"""


def execute(home: Path, arguments: str, environment: str = "", **more: str) -> str:
    return run(home, EXECUTE, arguments, environment, **more)


def test_it_runs_every_five_minutes_one_at_a_time_with_secrets_by_reference(tmp_path: Path) -> None:
    image = "registry.example/agent@sha256:" + "a" * 64
    said = run(tmp_path, LOAD, str(DAGS / "reconcile.py"), AIRFLOW__HOLDFAST__AGENT_IMAGE=image)
    schedule, runs, catchup, arguments, environment = json.loads(said)
    assert (schedule, runs, catchup, arguments) == ("*/5 * * * *", 1, False, ["reconcile", "apply"])
    assert environment["HOLDFAST_AGENT_IMAGE"] == image
    assert set(environment) == {"HOLDFAST_API_URL", "HOLDFAST_AGENT_IMAGE", "HOLDFAST_TOKEN_FILE", "KUBECONFIG"}


def test_events_are_retained_once_a_night_by_a_login_that_stands_in_a_file(tmp_path: Path) -> None:
    code = LOAD.replace("holdfast_reconcile", "holdfast_audit_retention").replace('"apply"', '"retain"')
    schedule, runs, catchup, arguments, environment = json.loads(run(tmp_path, code, str(DAGS / "audit_retention.py")))
    assert (schedule, runs, catchup, arguments) == ("17 2 * * *", 1, False, ["ledger", "retain"])
    assert environment["HOLDFAST_DISPOSER_URL_FILE"].endswith("/url")


def test_a_command_says_what_it_says_and_ends_well(tmp_path: Path) -> None:
    assert execute(tmp_path, "--version").startswith("holdfast ")


def test_a_command_has_nothing_of_the_workers_environment(tmp_path: Path) -> None:
    mine = {"HOLDFAST_API_URL": "http://127.0.0.1:1/holdfast/api/v1", "HOLDFAST_TOKEN": "user:worker"}
    said = execute(tmp_path, "run list", "HOLDFAST_PROJECT=oncology", **mine)
    assert "no API is named" in said


@pytest.mark.parametrize(
    ("arguments", "environment", "error"),
    [
        ("run list", "HOLDFAST_PROJECT=oncology", "AirflowFailException"),
        (
            "project list",
            "HOLDFAST_API_URL=http://127.0.0.1:1/holdfast/api/v1;HOLDFAST_TOKEN_FILE={token}",
            "AirflowException",
        ),
    ],
)
def test_a_command_that_fails_fails_its_task_as_its_exit_code_says(
    tmp_path: Path, arguments: str, environment: str, error: str
) -> None:
    token = tmp_path / "token"
    token.write_text(f"hft_{'0' * 32}_{'x' * 43}")
    said = execute(tmp_path, arguments, environment.format(token=token))
    assert said.splitlines()[-1].startswith(f"{error} holdfast {arguments} ended with exit code")
    assert "hft_0" not in said


def test_a_secret_by_value_is_refused(tmp_path: Path) -> None:
    code = (
        "from holdfast_provider.operators import HoldfastCommandOperator\n"
        "try:\n"
        "    HoldfastCommandOperator(task_id='t', arguments=['x'], environment={'HOLDFAST_TOKEN': 'hft_1'})\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    assert "HOLDFAST_TOKEN_FILE" in run(tmp_path, code)


def test_the_store_is_probed_once_a_night_by_a_process_that_holds_no_grant_key(tmp_path: Path) -> None:
    code = LOAD.replace("holdfast_reconcile", "holdfast_store_probe").replace('"apply"', '"probe"')
    schedule, runs, catchup, arguments, environment = json.loads(run(tmp_path, code, str(DAGS / "store_probe.py")))
    assert (schedule, runs, catchup, arguments) == ("47 1 * * *", 1, False, ["store", "probe"])
    assert environment["HOLDFAST_DATABASE_URL_FILE"].endswith("/url")
    assert environment["AWS_CONFIG_FILE"].endswith("/aws")
    assert not any("GRANT_KEY" in name for name in environment)


def test_a_store_that_is_no_good_fails_the_task(tmp_path: Path) -> None:
    url = tmp_path / "url"
    url.write_text("postgresql+psycopg://nobody@127.0.0.1:1/none")
    given = f"HOLDFAST_DATABASE_URL_FILE={url};HOLDFAST_S3_BUCKET=artifacts"
    said = execute(tmp_path, "store probe", given)
    assert "the governance database does not answer" in said or "does not answer" in said
    assert said.splitlines()[-1].startswith("AirflowException holdfast store probe ended with exit code 7")


ON_THE_BUCKET = {
    "hold_reconcile": ("*/10 * * * *", "hold_reconcile", "reconcile", ["hold", "reconcile"]),
    "hold_read_back": ("7 1 * * *", "hold_reconcile", "reconcile", ["hold", "reconcile", "--read-back"]),
    "retention_apply": ("37 2 * * *", "retention_apply", "apply", ["retention", "apply"]),
}


@pytest.mark.parametrize("name", ON_THE_BUCKET)
def test_what_works_on_the_bucket_runs_one_at_a_time_with_secrets_by_reference(tmp_path: Path, name: str) -> None:
    wanted, file, task, command = ON_THE_BUCKET[name]
    login = "HOLDFAST_DISPOSER_URL_FILE" if task == "apply" else "HOLDFAST_DATABASE_URL_FILE"
    code = LOAD.replace("holdfast_reconcile", f"holdfast_{name}").replace('"apply"', f'"{task}"')
    schedule, runs, catchup, arguments, environment = json.loads(run(tmp_path, code, str(DAGS / f"{file}.py")))
    assert (schedule, runs, catchup, arguments) == (wanted, 1, False, command)
    assert environment[login].endswith("/url")
    assert set(environment) == {
        *(login, "AWS_CONFIG_FILE"),
        *("HOLDFAST_S3_BUCKET", "HOLDFAST_S3_ENDPOINT_URL", "HOLDFAST_S3_REGION"),
    }


PLANS = """
import json, sys
from pathlib import Path
from unittest.mock import patch
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk import Variable
bag = BundleDagBag(sys.argv[1], bundle_path=Path(sys.argv[1]).parent, bundle_name="ours")
dag = bag.dags["holdfast_retention_plan"]
environment = {
    "AIRFLOW_VAR_HOLDFAST_RETENTION_PROJECTS": json.dumps(["oncology", "cardiology"]),
    "AIRFLOW_VAR_HOLDFAST_API_URL": "http://127.0.0.1:1/holdfast/api/v1",
}
with patch.dict("os.environ", environment):
    found = dag.get_task("projects").python_callable()
plan = dag.get_task("plan")
print(json.dumps([dag.schedule, dag.max_active_runs, dag.catchup, plan.partial_kwargs["arguments"], found]))
"""


def test_each_project_gets_its_plan_by_its_own_token(tmp_path: Path) -> None:
    said = run(tmp_path, PLANS, str(DAGS / "retention_plan.py"))
    schedule, runs, catchup, arguments, projects = json.loads(said)
    assert (schedule, runs, catchup) == ("57 2 * * *", 1, False)
    assert arguments[:4] == ["retention", "plan", "make", "--if-needed"]
    assert [one["HOLDFAST_PROJECT"] for one in projects] == ["oncology", "cardiology"]
    assert {one["HOLDFAST_TOKEN_FILE"] for one in projects} == {
        f"/etc/holdfast/retention/{name}" for name in ("oncology", "cardiology")
    }
    assert {one["HOLDFAST_API_URL"] for one in projects} == {"http://127.0.0.1:1/holdfast/api/v1"}
