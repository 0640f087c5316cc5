"""Exactly once: a Run's code runs in one pod, whoever comes, however often, and whoever pretends to be that pod."""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import CoreV1Api

from holdfast.core.errors import IntegrityViolation, StateConflict
from holdfast.dataplane.kubernetes.manifest import USER, manifest_of
from holdfast.dataplane.kubernetes.status import Ended
from holdfast.dataplane.plane import CodeSource, StepFailed
from holdfast.dataplane.record import RunRecord
from holdfast.wire.run import Run, RunFinish, RunStart
from tests.support.kubernetes.project import KubernetesProject
from tests.support.markers import Markers


@pytest.fixture
def markers(project: KubernetesProject) -> Any:
    with Markers(project.plane.cluster.host) as markers:
        yield markers


def code(project: KubernetesProject) -> CodeSource:
    return CodeSource(str(project.code))


def make(project: KubernetesProject, manifest: dict[str, Any]) -> str:
    """Have somebody with every right make a pod, and return its UID."""
    made = project.cluster.create_pod(manifest)
    assert made is not None
    return str(made["metadata"]["uid"])


def test_whoever_begins_a_run_again_finds_its_pod(project: KubernetesProject, markers: Markers) -> None:
    run = project.create(*markers.command("again"), outputs={"out": "out.txt"})

    for _ in range(3):
        _, is_staged = project.pod_run(run).begin(code(project))
        assert is_staged
    project.until_moved(run)
    for _ in range(2):
        assert project.pod_run(run).progress() == Ended()
    assert project.pod_run(run).end().state == "succeeded"

    assert markers.count("again") == 1
    assert len(project.governance.artifacts.list(project.name, run=run.id).items) == 1


def test_two_that_begin_and_end_a_run_at_the_same_time_come_to_the_same_end(
    project: KubernetesProject, markers: Markers
) -> None:
    run = project.create(*markers.command("race"), outputs={"out": "out.txt"})
    ends: list[Run | BaseException] = []

    def work() -> None:
        try:
            pod_run = project.pod_run(run)
            pod_run.begin(code(project))
            project.until_moved(run)
            ends.append(project.pod_run(run).end())
        except BaseException as error:  # noqa: BLE001 - looked at below
            ends.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert project.found(run).state == "succeeded"
    assert markers.count("race") == 1
    assert any(not isinstance(end, BaseException) for end in ends)
    assert len(project.governance.artifacts.list(project.name, run=run.id).items) == 1


def test_a_process_that_was_overtaken_does_nothing_more(project: KubernetesProject, markers: Markers) -> None:
    run = project.create(*markers.command("overtaken", writes=False))
    slow = project.pod_run(run)
    project.governance.runs.start(project.name, run.id, RunStart(fence="another pod"))

    with pytest.raises(StateConflict):
        slow.begin(code(project))

    assert markers.count("overtaken") == 0
    assert project.found(run).fence == "another pod"


def test_a_run_whose_fenced_pod_is_gone_never_gets_another(project: KubernetesProject, markers: Markers) -> None:
    run = project.create(*markers.command("gone", writes=False))
    project.begin(run)
    project.until_moved(run)
    project.cluster.delete_pod(project.name, f"run-{run.id}", project.found(run).fence or "")

    with pytest.raises(StepFailed, match=r"gone|deleted"):
        project.pod_run(run).begin(code(project))

    assert markers.count("gone") == 1
    assert project.found(run).error_class == "platform"
    assert project.pod(run) is None or project.pod(run)["metadata"].get("deletionTimestamp")


def test_a_try_whose_run_a_later_one_goes_on_with_does_not_end_it(project: KubernetesProject, markers: Markers) -> None:
    run = project.create(*markers.command("taken up", seconds=3), outputs={"out": "out.txt"})
    zombie = project.begin(run)
    record = RunRecord(project.governance, project.name, project.found(run), project.said.append)
    for _ in range(2):
        record.take_up(2, f"try 2 {run.id}")

    zombie.cancel()

    taken = project.found(run)
    assert (taken.state, taken.owner) == ("running", "try 2")
    assert "left to the later try" in project.said[-1]
    project.until_moved(run)
    assert project.pod_run(run).end().state == "succeeded"
    assert markers.count("taken up") == 1


def test_the_try_that_goes_on_with_a_run_can_end_it(project: KubernetesProject) -> None:
    run = project.create("python", "-c", "import time; time.sleep(600)")
    project.begin(run)
    RunRecord(project.governance, project.name, project.found(run), project.said.append).take_up(2, f"try 2 {run.id}")

    project.pod_run(run, try_number=2).cancel()

    assert project.found(run).state == "canceled"
    assert project.pod(run) is None or project.pod(run)["metadata"].get("deletionTimestamp")


def test_the_pod_of_a_run_that_a_mark_has_canceled_is_removed_all_the_same(project: KubernetesProject) -> None:
    run = project.create("python", "-c", "import time; time.sleep(600)")
    project.begin(run)
    marked = RunFinish(state="canceled", cause="user:mia marked its task as failed")
    project.governance.runs.finish(project.name, run.id, marked)

    # As its trigger does when Airflow ends it.
    project.pod_run(run).cancel()

    assert project.found(run).cause == marked.cause
    assert project.pod(run) is None or project.pod(run)["metadata"].get("deletionTimestamp")


CHANGES: dict[str, Any] = {
    "image": lambda pod, plane: pod["spec"]["containers"][0].update(image=plane.agent),
    "command": lambda pod, plane: pod["spec"]["containers"][0].update(command=["false"]),
    "agent": lambda pod, plane: pod["spec"]["containers"][1].update(image=plane.user),
    "seal": lambda pod, plane: pod["metadata"]["annotations"].update({"holdfast/seal": "sha256:0"}),
    "project": lambda pod, plane: pod["metadata"]["labels"].update({"holdfast/project": "another"}),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_pod_with_the_runs_name_that_is_not_the_runs_gets_no_order(project: KubernetesProject, change: str) -> None:
    run = project.create("true")
    forged = copy.deepcopy(manifest_of(run, project.settings))
    CHANGES[change](forged, project.plane)
    make(project, forged)

    with pytest.raises(StepFailed, match="is not the Run's") as failure:
        project.pod_run(run).begin(code(project))

    assert failure.value.error_class == "policy"
    assert project.found(run).state == "failed"


def test_a_pod_with_another_uid_cannot_finish_a_run(project: KubernetesProject, markers: Markers) -> None:
    run = project.create(*markers.command("true one"), outputs={"out": "out.txt"})
    project.begin(run)
    fence = project.found(run).fence or ""
    project.cluster.delete_pod(project.name, f"run-{run.id}", fence)
    while project.pod(run) is not None:
        pass
    make(project, manifest_of(run, project.settings))

    with pytest.raises(StepFailed, match="is held by") as failure:
        project.pod_run(run).end()

    assert failure.value.error_class == "policy"
    assert project.governance.artifacts.list(project.name, run=run.id).items == []


def test_a_pod_that_ran_on_another_image_cannot_finish_a_run(project: KubernetesProject, markers: Markers) -> None:
    run = project.create(*markers.command("another image"), outputs={"out": "out.txt"})
    project.begin(run)
    project.until_moved(run)
    pod = project.pod(run) or {}
    statuses = copy.deepcopy(pod["status"]["containerStatuses"])
    [user] = [status for status in statuses if status["name"] == USER]
    user["imageID"] = f"registry.example/python@sha256:{'a' * 64}"
    CoreV1Api(project.plane.cluster.api()).patch_namespaced_pod_status(
        pod["metadata"]["name"], project.name, {"status": {"containerStatuses": statuses}}
    )

    with pytest.raises(IntegrityViolation, match="another image"):
        project.pod_run(run).end()

    assert (project.found(run).state, project.found(run).error_class) == ("failed", "data")
    assert project.governance.artifacts.list(project.name, run=run.id).items == []
    assert project.pod(run) is None or project.pod(run)["metadata"].get("deletionTimestamp")


def test_a_pod_that_starts_before_its_order_runs_nothing(
    project: KubernetesProject, markers: Markers, tmp_path: Path
) -> None:
    run = project.create(*markers.command("no order", writes=False))
    make(project, manifest_of(run, project.settings))
    execution = project.pod_run(run)

    with pytest.raises(StepFailed):
        execution.begin(CodeSource(str(tmp_path / "nowhere"), commit="0" * 40))

    assert markers.count("no order") == 0
    assert project.found(run).error_class == "user"
