"""From data to a champion through Airflow: the sensor waits in the triggerer and wakes on a decision made over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.platform import PROJECT

from holdfast.client import GovernanceClient
from holdfast.wire.model import DecisionRequest

if TYPE_CHECKING:
    from holdfast.wire.model import Promotion
    from tests.support.airflow import Installation


def promotion_of(place: Installation, dag: str, run_id: str) -> Promotion:
    """Return the promotion that a DagRun waits for, by the XCom of the task that requested it."""
    path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances/request/xcomEntries/return_value"
    identity = place.airflow().call("GET", path)["value"]
    return place.governance.promotions.get(PROJECT, identity)


def decide(place: Installation, promotion: Promotion, decision: str) -> None:
    request = DecisionRequest(decision=decision, evidence_digest=promotion.evidence_digest, reason="looked at it")
    with GovernanceClient(place.api_url, place.airflow("officer").token) as officer:
        officer.promotions.decide(PROJECT, promotion.id, request)


def test_the_examples_path_ends_in_a_champion_after_the_decision(place: Installation, begun: dict[str, str]) -> None:
    dag, run_id = "tumour_classifier", begun["example"]
    place.until_task(dag, run_id, "wait", "deferred", "failed", deadline_s=150)
    assert {name: ti["state"] for name, ti in place.tasks(dag, run_id).items()}["wait"] == "deferred"
    promotion = promotion_of(place, dag, run_id)
    assert {"user:maintainer"} <= set(promotion.creators)
    decide(place, promotion, "approve")
    place.check_end(dag, run_id)
    champion = place.governance.models.at(PROJECT, "tumours", "champion")
    assert (champion.promotion, champion.approved_by) == (promotion.id, ["user:officer"])
    runs = {run.task_id: run for run in place.runs(dag, run_id)}
    assert sorted(runs) == ["evaluate", "train"]
    version = place.governance.models.get_version(PROJECT, champion.model_version)
    assert version.source_run == runs["train"].id
    assert {entry.artifact for entry in runs["evaluate"].inputs if entry.name == "model"} == {
        artifact.artifact for artifact in version.artifacts if artifact.role == "model"
    }
    assert {run.code.commit for run in runs.values()} == {place.pipeline_run(dag, run_id).commit}


def test_a_rejection_fails_the_sensor_for_good(place: Installation, begun: dict[str, str]) -> None:
    place.until_task("decisions", begun["rejected"], "wait", "deferred", deadline_s=150)
    decide(place, promotion_of(place, "decisions", begun["rejected"]), "reject")
    place.check_end("decisions", begun["rejected"], "failed")
    wait = place.tasks("decisions", begun["rejected"])["wait"]
    assert (wait["state"], wait["try_number"], wait["max_tries"]) == ("failed", 1, 3)
    assert "is rejected; request another" in place.log("decisions", begun["rejected"], "wait")


def test_a_promotion_that_nobody_decides_on_fails_the_sensor_for_good(
    place: Installation, begun: dict[str, str]
) -> None:
    place.check_end("decisions", begun["expired"], "failed")
    wait = place.tasks("decisions", begun["expired"])["wait"]
    assert (wait["state"], wait["try_number"], wait["max_tries"]) == ("failed", 1, 3)
    assert "is expired; request another" in place.log("decisions", begun["expired"], "wait")


def test_what_no_run_made_becomes_the_artifact_of_a_run_that_copies_it(
    place: Installation, begun: dict[str, str]
) -> None:
    dag, run_id = "supplied", begun["supplied"]
    place.check_end(dag, run_id, "failed")  # by its task `mistaken` alone
    states = {name: (ti["state"], ti["try_number"]) for name, ti in place.tasks(dag, run_id).items()}
    ended = dict.fromkeys(("model", "papers", "register", "use"), ("success", 1))
    assert states == {**ended, "mistaken": ("failed", 1)}
    assert "is a directory. Write a slash at its end" in place.log(dag, run_id, "mistaken")
    runs = {run.task_id: run for run in place.runs(dag, run_id)}
    [source] = runs["model"].inputs
    assert source.name == "source"
    assert place.governance.datasets.get(PROJECT, source.dataset_version).source.endswith("/a model.bin")
    [artifact] = place.governance.artifacts.list(PROJECT, run=runs["model"].id).items
    [file] = place.governance.datasets.files(PROJECT, source.dataset_version).items
    assert (artifact.name, artifact.digest, file.path) == ("model", file.digest, "a model.bin")
    names = {item.name for item in place.governance.artifacts.list(PROJECT, run=runs["papers"].id).items}
    assert names == {"papers/a.txt", "papers/deep/b.txt"}
    [version] = place.governance.models.list_versions(PROJECT, "bought").items
    assert (version.source_run, len(version.artifacts)) == (runs["model"].id, 3)
    assert "inputs ['papers/a.txt', 'papers/deep/b.txt']" in place.log(dag, run_id, "use")
