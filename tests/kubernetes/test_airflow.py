"""Runs that Airflow schedules: the same operators as on a laptop, in pods."""

from __future__ import annotations

import shutil
import time

from demo.platform import PROJECT

from holdfast.wire.project import TokenRequest
from tests.support.airflow import ROOT, Installation
from tests.support.kubernetes.airflow import WORKER
from tests.support.kubernetes.data_plane import DataPlane

RECONCILE = "holdfast_reconcile"


def test_a_dag_from_git_runs_in_pods_and_its_outputs_are_inputs_of_the_next(place: Installation) -> None:
    run_id = place.trigger("pods", word="good morning")

    place.check_end("pods", run_id)

    first, second = place.runs("pods", run_id)
    assert (first.state, second.state) == ("succeeded", "succeeded")
    assert first.code is not None
    assert second.metrics == {"length": len("good morningagain")}
    assert "a step says good morning" in place.log("pods", run_id, "first")


def test_the_dag_that_reconciles_runs_with_a_token_and_a_kubeconfig_of_its_own(
    place: Installation, plane: DataPlane
) -> None:
    plane.prepare(PROJECT, workers=(f"user:{WORKER}",), reconcilers=("user:reconciler",))
    directory = place.directory("reconcile")
    shutil.copy(plane.cluster.kubeconfig_for("reconciler"), directory / "kubeconfig")
    request = TokenRequest(name="reconciler", scope=["project.read", "run.reconcile"])
    (directory / "token").write_text(place.admin.projects.create_token(PROJECT, request).secret)
    owner = place.airflow("owner")
    for key, value in (("holdfast_api_url", place.api_url), ("holdfast_reconcile_directory", str(directory))):
        owner.call("POST", "/variables", {"key": key, "value": value})
    shutil.copy(ROOT / "dags" / "reconcile.py", place.state.root / "loose")

    good = place.trigger(RECONCILE)
    place.check_end(RECONCILE, good)
    (directory / "token").write_text("hft_nobody_knows_this")
    time.sleep(0.1)
    bad = place.trigger(RECONCILE)
    place.check_end(RECONCILE, bad, "failed", deadline_s=400)

    assert "401" in place.log(RECONCILE, bad, "apply") or "token" in place.log(RECONCILE, bad, "apply")
    shutil.rmtree(directory)
    (place.state.root / "loose" / "reconcile.py").unlink()
