"""Runs that Airflow schedules: the same operators as on a laptop, in pods."""

from __future__ import annotations

import shutil
import time

from demo.platform import PROJECT

from holdfast.dataplane.kubernetes.run import BRIEF_S
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


def test_a_command_that_says_its_end_and_goes_on_is_not_believed(place: Installation) -> None:
    say = (
        "import sys, time, pathlib, os\nfor each in (sys.stdout, sys.stderr): print('\\n\\4', file=each, flush=True)\n"
    )
    write = "pathlib.Path(os.environ['HOLDFAST_OUTPUTS'], 'out.txt').write_text('made after it')"
    run_id = place.trigger("made", command=["python", "-c", f"{say}time.sleep({BRIEF_S + 20})\nprint('late')\n{write}"])

    place.check_end("made", run_id)

    [run] = place.runs("made", run_id)
    [artifact] = place.governance.artifacts.list(run.project, run=run.id).items
    assert (run.state, artifact.size_bytes) == ("succeeded", len("made after it"))
    log = place.log("made", run_id, "step")
    assert "late" in log
    assert "\\u0004" not in log
    assert "\4" not in log


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
