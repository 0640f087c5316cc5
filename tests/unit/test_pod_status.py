"""What a pod's status means to its Run: every way to wait, to run and to end, as the kubelet and the scheduler write them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidRequest
from holdfast.core.run import ErrorClass
from holdfast.dataplane.kubernetes.refusal import refusal_of
from holdfast.dataplane.kubernetes.status import (
    Broken,
    Ended,
    Running,
    Stageable,
    Waiting,
    is_staged,
    kept_until,
    not_started,
    observe,
    progress_of,
    running_since,
    uid_of,
)
from holdfast.dataplane.plane import StepCanceled, StepFailed
from holdfast.dataplane.record import ending_of

TIME = "2026-01-01T00:00:00Z"
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
RUNS = {"running": {"startedAt": TIME}}
WAITS = {"waiting": {"reason": "PodInitializing"}}


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def pod(stage: Any = None, user: Any = None, agent: Any = None, **status: Any) -> dict[str, Any]:
    metadata = {"uid": "u", "creationTimestamp": TIME, **status.pop("metadata", {})}
    limits = {"limits": {"memory": "64Mi"}}
    found: dict[str, Any] = {
        "metadata": metadata,
        "spec": {
            "nodeName": "node1",
            "containers": [{"name": "user", "command": ["launch", "train"], "resources": limits}, {"name": "agent"}],
        },
        "status": {"phase": "Running", **status},
    }
    if stage:
        found["status"]["initContainerStatuses"] = [{"name": "stage", "state": stage}]
    containers = [("user", user), ("agent", agent)]
    found["status"]["containerStatuses"] = [
        {"name": name, "state": state, "imageID": f"registry/x@sha256:{'a' * 64}"}
        for name, state in containers
        if state
    ]
    return found


def condition(kind: str, status: str, reason: str, message: str = "") -> list[dict[str, str]]:
    return [{"type": kind, "status": status, "reason": reason, "message": message}]


@pytest.mark.parametrize(
    ("found", "progress"),
    [
        (pod(phase="Pending"), Waiting),
        (pod(WAITS, phase="Pending"), Waiting),
        (pod(RUNS, WAITS, WAITS, phase="Pending"), Stageable),
        (pod(DONE, WAITS, WAITS, phase="Pending"), Waiting),
        (pod(DONE, RUNS, WAITS), Running),
        (pod(DONE, RUNS, RUNS), Running),
        (pod(DONE, DONE, RUNS), Ended),
        (pod(DONE, DONE), Running),
    ],
)
def test_a_pod_that_is_well_is_somewhere_on_its_way(found: dict[str, Any], progress: type) -> None:
    assert isinstance(progress_of(found), progress)


BROKEN = [
    (pod(DONE, ended(7), RUNS), "user", "exit code 7"),
    (pod(DONE, ended(137, "OOMKilled"), RUNS), "environment", "limit of 64Mi"),
    (pod(DONE, ended(126, message='{"not_started": "No such file"}'), RUNS), "user", "'train' could not be started"),
    (pod(DONE, ended(126), RUNS), "user", "exit code 126"),
    (pod(DONE, ended(143), RUNS, reason="DeadlineExceeded"), "environment", "longer than its deadline"),
    (pod(DONE, DONE, ended(137, "OOMKilled")), "platform", "OOMKilled"),
    (pod(ended(1)), "platform", "could not be laid out"),
    (pod(ended(137, "OOMKilled")), "platform", "agent needed more memory"),
    (pod(phase="Failed", reason="Evicted", message="low on memory"), "platform", "low on memory"),
    *(
        (pod(phase="Failed", reason="Evicted", message=message), "environment", '"ephemeral-storage"')
        for message in (
            'Usage of EmptyDir volume "outputs" exceeds the limit "10Gi". ',
            "Pod ephemeral local storage usage exceeds the total limit of containers 10496Mi. ",
            'Container user exceeded its local ephemeral storage limit "10Gi". ',
        )
    ),
    (
        pod(phase="Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage. "),
        "platform",
        "The node was low",
    ),
    (pod(DONE, RUNS, RUNS, phase="Failed", reason="NodeLost"), "platform", "node1 was lost"),
    (pod(phase="Failed", message="Pod was rejected"), "platform", "Pod was rejected"),
    (pod(DONE, RUNS, RUNS, metadata={"deletionTimestamp": TIME}), "platform", "was deleted"),
    (
        pod(
            DONE,
            RUNS,
            RUNS,
            metadata={"deletionTimestamp": TIME},
            conditions=condition("Ready", "False", "NodeStatusUnknown"),
        ),
        "platform",
        "node1 was lost",
    ),
    (
        pod(DONE, RUNS, RUNS, conditions=condition("DisruptionTarget", "True", "EvictionByEvictionAPI", "drained")),
        "platform",
        "drained",
    ),
    (pod({"waiting": {"reason": "InvalidImageName", "message": "x"}}), "environment", "InvalidImageName"),
    (pod(DONE, {"waiting": {"reason": "ErrImageNeverPull"}}), "environment", "ErrImageNeverPull"),
    (
        pod(DONE, {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "bank" not found'}}),
        "environment",
        'secret "bank" not found',
    ),
    (pod(DONE, {"waiting": {"reason": "ErrImagePull", "message": "x: not found"}}), "environment", "x: not found"),
]


@pytest.mark.parametrize(("found", "error_class", "said"), BROKEN)
def test_every_bad_end_has_its_class_and_says_what_it_was(found: dict[str, Any], error_class: str, said: str) -> None:
    progress = progress_of(found)
    assert isinstance(progress, Broken)
    assert (progress.failure.error_class, said in str(progress.failure)) == (error_class, True)


def test_a_registry_that_does_not_answer_is_waited_for() -> None:
    pulling = {"waiting": {"reason": "ImagePullBackOff", "message": "connection refused"}}
    found = pod(DONE, pulling, phase="Pending")
    assert isinstance(progress_of(found), Waiting)
    assert not_started(found, 600).error_class is ErrorClass.ENVIRONMENT


def test_a_pod_that_fits_nowhere_says_what_the_scheduler_says() -> None:
    found = pod(phase="Pending", conditions=condition("PodScheduled", "False", "Unschedulable", "0/2 nodes"))
    failure = not_started(found, 600)
    assert (failure.error_class, "0/2 nodes" in str(failure), "600 s" in str(failure)) == ("platform", True, True)


def test_what_is_observed_is_what_the_cluster_says_and_the_launcher_counted() -> None:
    message = '{"peak_memory_bytes": 1024, "cpu_seconds": 0.5}'
    found = pod(DONE, ended(0, message=message), RUNS)
    seen = observe(found)
    assert (uid_of(found), seen.node, seen.image_digest) == ("u", "node1", f"sha256:{'a' * 64}")
    assert (seen.peak_memory_bytes, seen.cpu_seconds) == (1024, 0.5)


@given(st.one_of(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(str)))
def test_whatever_a_command_leaves_as_its_message_is_survived(message: str) -> None:
    for text in (message, json.dumps({"peak_memory_bytes": message}), json.dumps({"cpu_seconds": True}), "[1]", "-1"):
        seen = observe(pod(DONE, ended(0, message=text), RUNS))
        assert (seen.peak_memory_bytes, seen.cpu_seconds) == (None, None)


@pytest.mark.parametrize("number", [-1, 2**60, float("inf"), float("nan")])
def test_an_amount_that_cannot_be_is_none(number: float) -> None:
    text = json.dumps({"peak_memory_bytes": number, "cpu_seconds": number})
    seen = observe(pod(DONE, ended(0, message=text), RUNS))
    assert (seen.peak_memory_bytes, seen.cpu_seconds) == (None, None)


def test_only_a_laid_out_run_is_staged_and_only_a_running_one_runs_since() -> None:
    assert [is_staged(pod(RUNS)), is_staged(pod(ended(1))), is_staged(pod(DONE))] == [False, False, True]
    assert running_since(pod(DONE)) is None
    assert running_since(pod(DONE, RUNS)) is not None


REFUSALS = [
    (403, "pods is forbidden: exceeded quota: holdfast", "platform", "no room"),
    (403, 'violates PodSecurity "restricted:latest": privileged', "policy", "admission"),
    (422, "ValidatingAdmissionPolicy 'holdfast-pods' denied request", "policy", "admission"),
    (403, 'admission webhook "x" denied the request: no', "policy", "admission"),
    (403, 'User "x" cannot create resource "pods"', "platform", "the right to create pods"),
    (403, "unable to create: namespace x is being terminated", "platform", "being removed"),
    (404, 'namespaces "oncology" not found', "platform", "there is no namespace"),
    (401, "Unauthorized", "platform", "Renew the credentials"),
    (422, "Pod is invalid: spec.x", "user", "spec.x"),
    (500, "etcdserver: request timed out", "platform", "etcdserver"),
    (None, "", "platform", "failed"),
]


@pytest.mark.parametrize(("status", "message", "error_class", "said"), REFUSALS)
def test_every_refusal_of_a_cluster_has_its_class_and_a_way_out(
    status: int | None, message: str, error_class: str, said: str
) -> None:
    for body in (json.dumps({"message": message}), json.dumps({"message": message}).encode(), message):
        failure = refusal_of(status, body, "create pods", "oncology")
        assert (failure.error_class, said in str(failure)) == (error_class, True), str(failure)


@pytest.mark.parametrize("message", ["[" * 4000, '{"not_started": "a\\u0000b"}', '{"not_started": "a\\ud800b"}'])
def test_a_termination_message_by_the_command_itself_leaves_a_cause_that_can_be_recorded(message: str) -> None:
    found = pod(DONE, ended(126, message=message), RUNS)
    progress = progress_of(found)
    assert isinstance(progress, Broken)
    assert ending_of(progress.failure).cause == str(progress.failure)
    assert observe(found).peak_memory_bytes is None


@pytest.mark.parametrize("said", ["a\x00b", "a\ud800b"])
def test_a_cause_that_quotes_what_cannot_be_recorded_is_recorded_without_it(said: str) -> None:
    for error in (StepFailed(ErrorClass.USER, said), StepCanceled(said), InvalidRequest(said)):
        cause = ending_of(error).cause or ""
        assert cause.encode().decode() == cause
        assert "\x00" not in cause
        assert cause.startswith("a")


@pytest.mark.parametrize(
    ("ended_after_s", "active_s", "kept_s"),
    [(10, 90_000, 3610), (86_400, 90_000, 90_000), (86_400, 86_400 + 60, 86_460)],
)
def test_outputs_are_kept_for_an_hour_after_the_command_and_never_longer_than_their_pod(
    ended_after_s: int, active_s: int, kept_s: int
) -> None:
    began = datetime.fromisoformat(TIME)
    done = {"terminated": {"exitCode": 0, "finishedAt": (began + timedelta(seconds=ended_after_s)).isoformat()}}
    found = pod(DONE, done, RUNS, startTime=TIME)
    found["spec"]["activeDeadlineSeconds"] = active_s
    assert kept_until(found) == began + timedelta(seconds=kept_s)
