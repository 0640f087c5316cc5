"""Whose failure it is: each way in which a Run can end badly on a cluster, and the class with which that stands on the Run."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING

import pytest

from holdfast.core.errors import Unavailable
from holdfast.dataplane.kubernetes.cluster import Cluster as ClusterApi
from holdfast.dataplane.kubernetes.manifest import AGENT
from holdfast.dataplane.kubernetes.namespace import Quota
from holdfast.dataplane.kubernetes.run import PodRun
from holdfast.dataplane.kubernetes.status import Running
from holdfast.dataplane.plane import CodeSource, StepFailed
from tests.support.kubernetes.data_plane import DataPlane
from tests.support.kubernetes.own import OwnCluster
from tests.support.kubernetes.project import KubernetesProject
from tests.support.kubernetes.registry import throw_away_registry
from tests.support.markers import Markers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from holdfast.settings import Platform
    from holdfast.wire.run import Run

SLEEP = ("python", "-c", "import time; time.sleep(600)")


def failed(project: KubernetesProject, run: Run, step: Callable[[PodRun], object] = PodRun.progress) -> Run:
    """Return a Run as it stands after a step has failed; the step's class is the Run's."""
    with pytest.raises(StepFailed) as failure:
        step(project.pod_run(run))
    found = project.found(run)
    assert found.state == "failed"
    assert found.error_class == failure.value.error_class
    assert found.cause == str(failure.value)
    events = project.governance.audit.list(project.name, target=str(run.id), limit=20).items
    assert [event.content["error_class"] for event in events if event.action == "run.finished"] == [found.error_class]
    return found


@pytest.fixture(scope="module")
def markers(plane: DataPlane) -> Iterator[Markers]:
    with Markers(plane.cluster.host) as markers:
        yield markers


def begun(project: KubernetesProject, *command: str, **more: object) -> Run:
    run = project.create(*command, **more)
    project.begin(run)
    return run


def begin(pod_run: PodRun) -> object:
    return pod_run.begin(CodeSource("/nowhere"))


def test_a_wrong_exit_code_is_the_users(project: KubernetesProject) -> None:
    run = begun(project, "python", "-c", "raise SystemExit(7)")
    project.until_moved(run)

    found = failed(project, run)

    assert (found.error_class, found.exit_code) == ("user", 7)
    assert found.fence == project.pod(run)["metadata"]["uid"]


def until_it_takes_no_room(project: KubernetesProject, run: Run) -> None:
    deadline = time.monotonic() + 30
    while (pod := project.pod(run)) is not None and pod["status"]["phase"] not in ("Failed", "Succeeded"):
        assert time.monotonic() < deadline, f"the pod is {pod['status']['phase']}, and its Run has failed"
        time.sleep(0.2)


def test_runs_that_have_failed_leave_room_for_the_next(platform: Platform, plane: DataPlane, tmp_path: Path) -> None:
    small = KubernetesProject.make(platform, plane, tmp_path, quota=Quota(pods=1))
    for command, more in (
        (("python", "-c", "raise SystemExit(7)"), {}),
        (("no-such-program",), {}),
        (("true",), {"outputs": {"model": "model.bin"}}),
        (("true",), {"resources": {"secrets": {"TOKEN": "nowhere/token"}}}),
    ):
        run = begun(small, *command, **more)
        small.until_moved(run)

        failed(small, run, PodRun.end if "outputs" in more else PodRun.progress)

        until_it_takes_no_room(small, run)


def test_a_command_that_is_not_in_the_image_is_the_users(project: KubernetesProject) -> None:
    run = begun(project, "no-such-program")
    project.until_moved(run)

    found = failed(project, run)

    assert found.error_class == "user"
    assert "no-such-program" in found.cause


def test_more_memory_than_the_limit_is_the_environments(project: KubernetesProject) -> None:
    run = begun(project, "python", "-c", "x = bytearray(512 << 20)", resources={"memory": "64Mi"})
    project.until_moved(run)

    found = failed(project, run)

    assert found.error_class == "environment"
    assert "64Mi" in found.cause


def test_an_image_that_the_registry_does_not_have_is_the_environments(
    project: KubernetesProject, own: OwnCluster
) -> None:
    with throw_away_registry(own) as address:
        project.lock("nowhere", f"{address}/nowhere@sha256:{'0' * 64}")
        run = begun(project, "true", environment="nowhere")
        project.until_moved(run)
        found = failed(project, run)

    assert found.error_class == "environment"
    assert "sha256:000" in found.cause


def test_a_digest_that_cannot_be_pulled_in_time_is_the_environments(project: KubernetesProject) -> None:
    project.lock("wrong", f"{project.plane.user.partition('@')[0]}@sha256:{'0' * 64}")
    run = begun(project, "true", environment="wrong")

    deadline = time.monotonic() + 60
    while not {"ErrImagePull", "ImagePullBackOff"} & set(re.findall(r"\w+", str(project.pod(run)["status"]))):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    found = failed(project, run, PodRun.expire)

    assert found.error_class == "environment"
    assert "ImagePull" in found.cause


def test_a_full_quota_is_the_platforms(platform: Platform, plane: DataPlane, tmp_path: Path) -> None:
    small = KubernetesProject.make(platform, plane, tmp_path, quota=Quota(pods=1))
    begun(small, *SLEEP)

    found = failed(small, small.create("true"), begin)

    assert found.error_class == "platform"
    assert "exceeded quota" in found.cause
    assert "pods=1" in found.cause


def test_an_eviction_is_the_platforms(project: KubernetesProject) -> None:
    run = begun(project, *SLEEP)
    name = f"run-{run.id}"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": project.name}}
    project.plane.cluster.kubectl(
        "create",
        "--raw",
        f"/api/v1/namespaces/{project.name}/pods/{name}/eviction",
        "-f",
        "-",
        input=str(eviction).replace("'", '"'),
    )
    project.until_moved(run)

    assert failed(project, run).error_class == "platform"


def test_a_pod_that_somebody_deletes_is_the_platforms(project: KubernetesProject) -> None:
    run = begun(project, *SLEEP)
    project.plane.cluster.kubectl("delete", "pod", f"run-{run.id}", "-n", project.name, "--now")

    found = failed(project, run)

    assert found.error_class == "platform"
    assert "gone" in found.cause


def test_a_command_beyond_its_deadline_is_the_environments(project: KubernetesProject) -> None:
    run = begun(project, *SLEEP, resources={"deadline_s": 1})
    project.until(run, 60, Running)

    found = failed(project, run, PodRun.expire)

    assert found.error_class == "environment"
    assert "deadline of 1 s" in found.cause
    deadline = time.monotonic() + 30
    while project.pod(run) is not None:
        assert time.monotonic() < deadline, "the command still runs"
        time.sleep(0.2)


def test_a_pod_that_fits_nowhere_says_why(project: KubernetesProject) -> None:
    run = project.create("true", resources={"pod": {"spec": {"nodeSelector": {"gpu": "yes"}}}})
    pod_run = project.pod_run(run)
    pod_run.at_hand_s = 3
    pod_run.begin(CodeSource(str(project.code)))

    found = failed(project, run, PodRun.expire)

    assert found.error_class == "platform"
    assert "node(s) didn't match" in found.cause


def test_an_output_that_was_not_written_is_the_users(project: KubernetesProject) -> None:
    run = begun(project, "true", outputs={"model": "model.bin"})
    project.until_moved(run)

    found = failed(project, run, PodRun.end)

    assert found.error_class == "user"
    assert "model" in found.cause


@pytest.mark.parametrize(
    ("write", "said"),
    [
        ("o.symlink('/etc/passwd', p + '/model.bin')", "symbolic link"),
        ("o.mkfifo(p + '/model.bin')", "neither a file nor a directory"),
        ("open(p + '/model.bin', 'w'); open(p + '/more', 'w')", "'more' was written and not declared"),
        ("[open(p + f'/plots/{n}', 'w') for n in range(10_001)]", "more than 10000 files"),
    ],
)
def test_outputs_that_cannot_be_registered_are_named(project: KubernetesProject, write: str, said: str) -> None:
    code = f"import os as o; p = o.environ['HOLDFAST_OUTPUTS']; o.mkdir(p + '/plots'); {write}"
    outputs = {"model": "model.bin", "plots": "plots/"}
    run = begun(project, "python", "-c", code, outputs=outputs)
    project.until_moved(run)

    found = failed(project, run, PodRun.end)

    assert found.error_class == "user"
    assert said in found.cause


def test_code_that_is_too_large_is_refused_before_anything_runs(
    project: KubernetesProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.dataplane.kubernetes.execution.CODE_LIMIT_BYTES", 4096)
    (tmp_path / "data.bin").write_bytes(bytes(8192))
    run = project.create("true")

    found = failed(project, run, lambda pod_run: pod_run.begin(CodeSource(str(tmp_path))))

    assert found.error_class == "user"
    assert "Keep data out of the repository" in found.cause


def test_a_namespace_that_is_not_there_is_named_with_the_way_out(
    platform: Platform, plane: DataPlane, tmp_path: Path
) -> None:
    project = KubernetesProject.make(platform, plane, tmp_path)
    project.plane.cluster.kubectl("delete", "namespace", project.name, "--wait")

    found = failed(project, project.create("true"), begin)

    assert found.error_class == "platform"
    assert f"there is no namespace {project.name!r}" in found.cause
    assert "holdfast cluster manifests" in found.cause


def test_a_right_that_is_missing_is_named(project: KubernetesProject) -> None:
    nobody = project.plane.cluster.api(project.plane.cluster.kubeconfig_for("nobody"))
    run = project.create("true")

    def begin_as_nobody(_: PodRun) -> object:
        stranger = PodRun(
            project.governance, project.name, run, ClusterApi(nobody), project.settings, project.said.append
        )
        return stranger.begin(CodeSource(str(project.code)))

    found = failed(project, run, begin_as_nobody)

    assert found.error_class == "platform"
    assert "does not allow to create pods" in found.cause


def test_a_lost_node_is_the_platforms(project: KubernetesProject, own: OwnCluster) -> None:
    run = begun(project, *SLEEP)
    node = int(project.pod(run)["spec"]["nodeName"].removeprefix("node"))
    own.kill_node(node)
    try:
        project.until_moved(run, 90)
        found = failed(project, run)
    finally:
        own.start_node(node)

    assert found.error_class == "platform"
    assert found.observed.node == f"node{node}"


@pytest.fixture
def store_down(project: KubernetesProject) -> Iterator[pytest.MonkeyPatch]:
    """An object store that nobody answers for, as the agent sees it, until it is undone."""
    with socket.socket() as closed:
        closed.bind((project.plane.cluster.host, 0))
        port = closed.getsockname()[1]
    runs = type(project.governance.runs)
    grant = runs.grant_uploads

    def elsewhere(*arguments: object, **more: object) -> object:
        grants = grant(*arguments, **more)
        address = project.plane.s3.url
        moved = [
            g.model_copy(update={"url": g.url.replace(address, f"http://{project.plane.cluster.host}:{port}")})
            for g in grants.grants
        ]
        return grants.model_copy(update={"grants": moved})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "grant_uploads", elsewhere)
        yield patched


def test_a_cluster_that_stands_still_is_not_waited_for_forever(
    project: KubernetesProject, markers: Markers, own: OwnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.dataplane.kubernetes.dialogue._PING_S", 0.5)
    monkeypatch.setattr("holdfast.dataplane.kubernetes.dialogue._SILENCE_S", 5)
    run = ended_well(project, markers, "still")
    dialogue = project.cluster.dialogue(project.name, f"run-{run.id}", AGENT)
    order = {"outputs": run.outputs}
    assert dialogue.ask("collect", order)["files"]

    with own.apiserver_halted(), pytest.raises(Unavailable, match="has not answered for 5 s"):
        dialogue.ask("collect", order)

    assert dialogue.ask("collect", order)["files"]
    dialogue.close()


def test_an_order_that_takes_longer_than_the_cluster_may_be_silent_is_waited_for(
    project: KubernetesProject, markers: Markers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.dataplane.kubernetes.dialogue._PING_S", 0.2)
    monkeypatch.setattr("holdfast.dataplane.kubernetes.dialogue._SILENCE_S", 2)
    large = "import os; f = open(os.environ['HOLDFAST_OUTPUTS'] + '/out.txt', 'wb'); f.truncate(3 << 30)"
    run = begun(project, "python", "-c", large, outputs={"out": "out.txt"})
    project.until_moved(run)
    dialogue = project.cluster.dialogue(project.name, f"run-{run.id}", AGENT)

    began = time.monotonic()
    report = dialogue.ask("collect", {"outputs": run.outputs})

    assert time.monotonic() - began > 2
    assert report["files"][0]["size_bytes"] == 3 << 30
    dialogue.close()


def ended_well(project: KubernetesProject, markers: Markers, name: str) -> Run:
    run = begun(project, *markers.command(name), outputs={"out": "out.txt"})
    project.until_moved(run)
    return run


def test_what_a_store_that_is_down_cannot_take_is_stored_from_the_same_pod_once_it_answers(
    project: KubernetesProject, markers: Markers, store_down: pytest.MonkeyPatch
) -> None:
    run = ended_well(project, markers, "store down")
    first = project.pod_run(run)

    with pytest.raises(Unavailable, match=r"could not be stored.*keeps what was made until"):
        first.end()

    assert first.is_kept
    waiting = project.found(run)
    assert (waiting.state, waiting.fence) == ("running", project.pod(run)["metadata"]["uid"])
    store_down.undo()
    assert project.pod_run(run).end().state == "succeeded"
    assert markers.count("store down") == 1
    assert len(project.governance.artifacts.list(project.name, run=run.id).items) == 1


def test_a_store_that_is_down_for_longer_than_a_pod_keeps_its_outputs_is_the_platforms(
    project: KubernetesProject, markers: Markers, store_down: pytest.MonkeyPatch
) -> None:
    run = ended_well(project, markers, "store away")
    store_down.setattr("holdfast.dataplane.kubernetes.status.COLLECTION_S", 0)

    found = failed(project, run, PodRun.end)

    assert found.error_class == "platform"
    assert "could not be stored" in found.cause
