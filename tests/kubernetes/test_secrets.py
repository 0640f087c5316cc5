"""What is secret is nowhere but where it is used: not in the pod, not in Airflow's traces of a task, not in an event, in no form."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from demo.platform import PROJECT

from holdfast.dataplane.kubernetes.cluster import Cluster as ClusterApi
from tests.support.airflow import Installation
from tests.support.kubernetes.data_plane import DataPlane
from tests.support.secret_forms import written_forms

CANARY = 'canary/of a "step\'s" secret+é'
DAG = "curious"


def forms(secret: str) -> set[str]:
    """Return a secret in the forms in which it might have been written somewhere."""
    raw = secret.encode()
    # Base64 looks in one of three ways, depending on what stands before; its first and last characters depend on neighbours.
    shifted = {base64.b64encode(b"\0" * before + raw).decode()[4:-4] for before in range(3)}
    return {
        *written_forms(secret),
        *shifted,
        *(form.replace("+", "-").replace("/", "_") for form in shifted),
    }


@pytest.fixture(scope="module")
def story(place: Installation, plane: DataPlane) -> dict[str, Any]:
    """Run a step that has a secret and looks everywhere for more, and return everything that was left of it anywhere."""
    plane.cluster.kubectl("create", "secret", "generic", "bank", f"--from-literal=key={CANARY}", "-n", PROJECT)
    run_id = place.trigger(DAG)
    place.check_end(DAG, run_id)
    first, second = place.runs(DAG, run_id)
    airflow = place.airflow("owner")
    instances = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances"
    texts: dict[str, str] = {}
    for run in (first, second):
        name = f"run-{run.id}"
        texts[f"pod of {run.task_id}"] = plane.cluster.kubectl("get", "pod", name, "-n", PROJECT, "-o", "yaml")
        texts[f"events of {run.task_id}"] = plane.cluster.kubectl(
            "get", "events", "-n", PROJECT, f"--field-selector=involvedObject.name={name}", "-o", "yaml"
        )
        texts[f"log of {run.task_id}"] = place.log(DAG, run_id, run.task_id)
        texts[f"task of {run.task_id}"] = json.dumps(airflow.call("GET", f"{instances}/{run.task_id}"))
        entries = airflow.call("GET", f"{instances}/{run.task_id}/xcomEntries")["xcom_entries"]
        texts[f"xcom of {run.task_id}"] = json.dumps(
            [airflow.call("GET", f"{instances}/{run.task_id}/xcomEntries/{entry['key']}") for entry in entries]
        )
        texts[f"record of {run.task_id}"] = run.model_dump_json()
    texts["audit"] = json.dumps(
        [event.model_dump(mode="json") for event in place.admin.audit.list(PROJECT, limit=500).items]
    )
    for log in place.group.logs.glob("*.log"):
        texts[f"log of {log.stem}"] = log.read_text(errors="replace")
    return {"run": first, "texts": texts}


def test_a_steps_secret_reaches_the_step(story: dict[str, Any]) -> None:
    assert story["run"].metrics == {"length": len(CANARY)}


@pytest.mark.parametrize("secret", ["step", "token", "store", "grant", "database"])
def test_no_secret_is_in_any_trace_of_a_run(
    story: dict[str, Any], place: Installation, plane: DataPlane, secret: str
) -> None:
    values = {
        "step": CANARY,
        "token": place.tokens[PROJECT],
        "store": plane.s3.secret_key,
        "grant": "X-Amz-Signature=",
        "database": place.postgres.url("holdfast", "holdfast_app"),
    }
    found = [name for name, text in story["texts"].items() if any(form in text for form in forms(values[secret]))]
    assert found == []


def test_the_traces_that_are_searched_hold_the_rendered_template(story: dict[str, Any]) -> None:
    rendered = json.loads(story["texts"]["task of look"])["rendered_fields"]
    assert "steps/look.py" in str(rendered["command"])


def test_the_search_would_find_a_secret_in_each_form() -> None:
    for form in forms(CANARY):
        assert any(other in f"before {form} after" for other in forms(CANARY))
    wrapped = base64.b64encode(f"x={CANARY}!".encode()).decode()
    assert any(form in wrapped for form in forms(CANARY))


def test_the_users_container_finds_nothing_of_the_platforms(story: dict[str, Any]) -> None:
    said = story["texts"]["log of look"]
    assert "looked everywhere" in said
    assert re.findall(r"found: (\[.*?\])", said) == ["[]"]


def test_the_use_of_a_secret_is_an_event_without_its_value(story: dict[str, Any], place: Installation) -> None:
    [event] = place.admin.audit.list(PROJECT, action="secret.used", target=str(story["run"].id)).items
    assert event.content == {"variable": "BANK", "secret": "bank/key", "fence": story["run"].fence}


def test_a_secret_that_a_step_prints_is_masked_before_it_leaves_the_pod(
    story: dict[str, Any], plane: DataPlane
) -> None:
    said = story["texts"]["log of look"]
    assert "the bank's key: ***" in said
    assert said.count("and again: ***") + said.count('and again: "***"') == 4
    whole = plane.cluster.kubectl("logs", f"run-{story['run'].id}", "-c", "user", "-n", PROJECT)
    assert "the bank's key: ***" in whole
    assert not any(form in whole for form in forms(CANARY))


def test_a_token_that_user_code_knows_is_masked_in_its_log(story: dict[str, Any]) -> None:
    said = story["texts"]["log of look"]
    assert "a shape of a token: ***" in said


def test_a_pod_has_no_account_and_no_way_to_the_cluster(story: dict[str, Any], plane: DataPlane) -> None:
    pod = ClusterApi(plane.cluster.api()).find_pod(PROJECT, f"run-{story['run'].id}")
    assert pod is not None
    assert not any("token" in str(volume) for volume in pod["spec"]["volumes"])
