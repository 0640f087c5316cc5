"""How soon a Run's agent is found: a pod that has a node is asked itself, a few times, and its cluster's word is waited for after that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.core.errors import Unavailable
from holdfast.dataplane.kubernetes import execution
from holdfast.dataplane.kubernetes.execution import PodExecution
from holdfast.dataplane.kubernetes.manifest import manifest_of
from holdfast.dataplane.kubernetes.status import Running, Stageable, Waiting
from holdfast.dataplane.plane import StepFailed
from tests.unit.test_pod_manifest import SETTINGS, run

RUN = run()
WAITS = {"name": "stage", "state": {"waiting": {"reason": "PodInitializing"}}}
RUNS = {"name": "stage", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}


class Simulated:
    """A cluster with one pod, whose agent answers after so many times that it was asked."""

    def __init__(self, answers_after: int, *, node: str | None = "node1", uid: str = "u") -> None:
        self.pod: dict[str, Any] | None = manifest_of(RUN, SETTINGS)
        self.pod["metadata"]["uid"] = uid
        self.pod["status"] = {"phase": "Pending", "initContainerStatuses": [WAITS]}
        if node:
            self.pod["spec"]["nodeName"] = node
        self.asked, self.answers_after, self.refusal = 0, answers_after, None

    def find_pod(self, *_: object) -> dict[str, Any] | None:
        return self.pod

    def watch_pod(self, *_: object) -> Iterator[dict[str, Any] | None]:
        yield self.pod

    def dialogue(self, *_: object) -> Simulated:
        return self

    def connect(self) -> None:
        self.asked += 1
        if self.refusal:
            raise self.refusal
        if self.asked <= self.answers_after:
            raise Unavailable("container 'stage' takes no order")

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_PAUSES_S", (0,) * 5)


def reach(cluster: Simulated, **more: Any) -> Any:
    with PodExecution(RUN.model_copy(update=more), cluster, SETTINGS) as made:  # type: ignore[arg-type]
        return made.reach(10)


def test_an_agent_that_answers_is_not_waited_for() -> None:
    cluster = Simulated(answers_after=2)

    pod, progress = reach(cluster)

    assert isinstance(progress, Stageable)
    assert (pod["metadata"]["uid"], cluster.asked) == ("u", 3)


def test_an_agent_that_does_not_answer_is_asked_no_more_after_a_while() -> None:
    cluster = Simulated(answers_after=100)

    _, progress = reach(cluster)

    assert isinstance(progress, Waiting)
    assert cluster.asked == 5


def test_a_pod_without_a_node_has_nobody_to_be_asked() -> None:
    cluster = Simulated(answers_after=0, node=None)

    _, progress = reach(cluster)

    assert isinstance(progress, Waiting)
    assert cluster.asked == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ({"initContainerStatuses": [RUNS]}, Stageable),
        (
            {
                "initContainerStatuses": [{"name": "stage", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [{"name": "user", "state": RUNS["state"]}],
            },
            Running,
        ),
        ({"initContainerStatuses": [{"name": "stage", "state": {"terminated": {"exitCode": 0}}}]}, Waiting),
    ],
)
def test_a_pod_that_is_known_to_have_begun_is_not_asked(status: dict[str, Any], kind: type) -> None:
    cluster = Simulated(answers_after=0)
    assert cluster.pod is not None
    cluster.pod["status"] |= status

    _, progress = reach(cluster)

    assert isinstance(progress, kind)
    assert cluster.asked == 0


def test_an_answer_of_a_pod_under_another_uid_gets_no_order() -> None:
    with pytest.raises(StepFailed, match="has UID another") as failure:
        reach(Simulated(answers_after=0, uid="another"), fence="u")
    assert failure.value.error_class == "policy"


def test_a_pod_that_is_gone_once_it_has_answered_is_gone() -> None:
    cluster = Simulated(answers_after=0)
    connect = cluster.connect

    def vanish() -> None:
        connect()
        cluster.pod = None

    cluster.connect = vanish  # type: ignore[method-assign]
    with pytest.raises(StepFailed, match="is gone"):
        reach(cluster)


def test_a_refusal_is_not_tried_again() -> None:
    cluster = Simulated(answers_after=0)
    cluster.refusal = StepFailed("platform", "may not create pods/exec", "Give it that right")  # type: ignore[arg-type,assignment]
    with pytest.raises(StepFailed, match="pods/exec"):
        reach(cluster)
    assert cluster.asked == 1
