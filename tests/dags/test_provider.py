"""What the provider costs a Dag file and what Airflow keeps of its operators: little, and all of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.dag_process import run

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = (
    "sqlalchemy",
    "psycopg",
    "pydantic",
    "httpx",
    "kubernetes",
    "alembic",
    "fastapi",
    "holdfast.wire",
    "holdfast.client",
)

MODULES = (
    "holdfast_provider.operators",
    "holdfast_provider.sensors",
    "holdfast_provider.notifications.pipeline_run",
    "holdfast_provider.policies",
    "holdfast_provider.get_provider_info",
    "holdfast_plugins.plugin",
)
FOOTPRINT = """
import sys
from airflow.sdk import BaseHook, BaseOperator, DAG, dag
import airflow.policies, airflow.plugins_manager  # every process of Airflow has these
for name in [name for name in sys.modules if name.startswith("holdfast")]:
    del sys.modules[name]  # Airflow has loaded the entry points already
before = set(sys.modules)
__import__(sys.argv[1])
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("module", MODULES)
def test_importing_the_provider_brings_in_nothing_heavy(tmp_path: Path, module: str) -> None:
    added = run(tmp_path, FOOTPRINT, module).split()
    assert module in added
    assert [name for name in added if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY)] == []


def test_something_heavy_would_be_seen(tmp_path: Path) -> None:
    added = run(tmp_path, FOOTPRINT, "holdfast_provider.execution").split()
    assert "holdfast.wire.run" in added


SERIALIZE = """
import json
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from holdfast_provider.operators import (
    HoldfastCommandOperator, PromoteModelOperator, RegisterArtifactOperator, RegisterDatasetVersionOperator, RegisterModelVersionOperator,
    RequestPromotionOperator, RunOperator)
from holdfast_provider.sensors import PromotionDecisionSensor
import holdfast_provider.operators, holdfast_provider.sensors

with DAG("all", schedule=None, default_args={"project": "oncology"}) as dag:
    data = RegisterDatasetVersionOperator(task_id="data", dataset="rows", source="file:///rows")
    bought = RegisterArtifactOperator(task_id="bought", name="bought", source="file:///x", environment="plain")
    train = RunOperator(
        task_id="train", environment="plain", command=["python", "x.py"], inputs={"data": data.output, "from": bought.output},
        parameters={"depth": "{{ params.depth }}"}, outputs={"model": "m.bin"}, resources={"cpu": 1}, retries=2)
    mapped = RunOperator.partial(task_id="mapped", environment="plain", command=["python", "x.py"]).expand(
        parameters=[{"a": 1}, {"a": 2}])
    version = RegisterModelVersionOperator(task_id="version", model="m", artifact=train.output["model"], evidence=bought.output)
    request = RequestPromotionOperator(task_id="request", model_version=version.output, alias="champion", policy="p")
    wait = PromotionDecisionSensor(task_id="wait", promotion=request.output, conn_id="other")
    wait >> PromoteModelOperator(task_id="promote", promotion=request.output)
    HoldfastCommandOperator(task_id="command", arguments=["reconcile", "apply"], environment={"KUBECONFIG": "/k"})

document = DagSerialization.to_dict(dag)
again = DagSerialization.from_dict(json.loads(json.dumps(document)))
used = {task.operator_class.__name__ if hasattr(task, "partial_kwargs") else type(task).__name__ for task in dag.tasks}
offered = {*holdfast_provider.operators.__all__, *holdfast_provider.sensors.__all__}
assert used == offered, used ^ offered
for task in dag.tasks:
    for name in task.template_fields:
        value = getattr(task, name, None)
        if isinstance(value, str | list):  # what another task returns has no value yet
            assert getattr(again.get_task(task.task_id), name) == value, (task, name)
print(json.dumps({task.task_id: {
    "type": task.task_type, "upstream": sorted(task.upstream_task_ids), "fields": sorted(task.template_fields)} for task in again.tasks}))
"""


def test_every_operator_comes_back_from_serialization_as_it_was(tmp_path: Path) -> None:
    tasks = json.loads(run(tmp_path, SERIALIZE))
    assert {name: task["type"] for name, task in tasks.items()} == {
        "data": "RegisterDatasetVersionOperator",
        "bought": "RegisterArtifactOperator",
        "train": "RunOperator",
        "mapped": "RunOperator",
        "version": "RegisterModelVersionOperator",
        "request": "RequestPromotionOperator",
        "wait": "PromotionDecisionSensor",
        "promote": "PromoteModelOperator",
        "command": "HoldfastCommandOperator",
    }
    # What a task takes from another makes it wait for that one, also where it takes one output out of several.
    assert {name: task["upstream"] for name, task in tasks.items() if task["upstream"]} == {
        "train": ["bought", "data"],
        "version": ["bought", "train"],
        "request": ["version"],
        "wait": ["request"],
        "promote": ["request", "wait"],
    }
    assert all("project" in task["fields"] for name, task in tasks.items() if name != "command")


POLICY = """
import json, sys
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException
from holdfast_provider import policies
from holdfast_provider.operators import RegisterDatasetVersionOperator, RunOperator
from holdfast_provider.notifications.pipeline_run import PipelineRunNotifier

with DAG("d", schedule=None, default_args={"project": "a"}, on_failure_callback=PipelineRunNotifier("failed", "b")) as dag:
    RegisterDatasetVersionOperator(task_id="default", dataset="x", source="file:///x")
    RegisterDatasetVersionOperator(task_id="named", project="b", conn_id="theirs", dataset="x", source="file:///x")
    RegisterDatasetVersionOperator.partial(task_id="mapped", dataset="x", conn_id="ours").expand(source=["file:///x"])
    RegisterDatasetVersionOperator.partial(task_id="spread", dataset="x", source="file:///x").expand(project=["a", "c"])
policies.dag_policy(dag)
told = lambda callbacks: [[c.project, c.conn_id, c.state] for c in callbacks]
print(json.dumps([told(dag.on_success_callback), told(dag.on_failure_callback)]))
"""


def test_a_dags_end_is_told_to_each_of_its_projects_once(tmp_path: Path) -> None:
    success, failure = json.loads(run(tmp_path, POLICY))
    assert success == [
        ["a", "holdfast_default", "succeeded"],
        ["b", "theirs", "succeeded"],
        ["c", "holdfast_default", "succeeded"],
    ]
    assert failure == [
        ["b", "holdfast_default", "failed"],  # the author's own
        ["a", "holdfast_default", "failed"],
        ["c", "holdfast_default", "failed"],
    ]
