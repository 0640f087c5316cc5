"""A pass over the real record and a simulated cluster, for what a real one cannot be made to do: pages on demand, at a chosen moment."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from holdfast.core.access import Caller
from holdfast.core.errors import Unavailable
from holdfast.dataplane.kubernetes.manifest import PROJECT_LABEL, PodSettings, manifest_of
from holdfast.ops.reconcile.plan import plan
from holdfast.wire.project import ProjectRequest
from holdfast.wire.reconcile import GracePeriods, ReconcilePlan
from holdfast.wire.run import EnvironmentRequest, Run, RunRequest, RunStart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.dataplane.kubernetes.cluster import Cluster, Pod
    from holdfast.service.governance import GovernanceService
    from holdfast.settings import Platform
    from holdfast.wire.project import Project

AGENT = "registry.example/agent@sha256:" + "a" * 64
IMAGE = "registry.example/python@sha256:" + "b" * 64


@dataclass
class SimulatedCluster:
    """Namespaces, and pods in pages; before a page is given, something may happen."""

    project: str
    pages: list[list[Pod]]
    before: dict[int, Callable[[], object]] = field(default_factory=dict)

    def namespace(self, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": "n", "labels": {PROJECT_LABEL: self.project}}}

    def pod_pages(self, selector: str, namespace: str | None = None) -> Iterator[list[Pod]]:
        for number, page in enumerate(self.pages):
            self.before.get(number, lambda: None)()
            yield page


@dataclass
class Clusters:
    """One cluster with the namespaces of several Projects."""

    parts: list[SimulatedCluster]

    def namespace(self, name: str) -> dict[str, Any]:
        return self._part(name).namespace(name)

    def pod_pages(self, selector: str, namespace: str | None = None) -> Iterator[list[Pod]]:
        return self._part(namespace).pod_pages(selector, namespace)

    def _part(self, name: str | None) -> SimulatedCluster:
        return next(part for part in self.parts if part.project == name)


@dataclass
class Site:
    governance: GovernanceService
    project: Project

    def run(self) -> Run:
        request = RunRequest(
            idempotency_key=secrets.token_hex(32), task_id="step", environment="python", command=["true"]
        )
        return self.governance.runs.create(self.project.name, request)

    def started(self) -> tuple[Run, Pod]:
        """Return a Run that was started, and its pod."""
        run = self.run()
        pod = pod_of(run)
        fence = RunStart(fence=pod["metadata"]["uid"])
        return self.governance.runs.start(self.project.name, run.id, fence), pod

    def plan(self, cluster: SimulatedCluster) -> ReconcilePlan:
        return plan(
            self.governance,
            cast("Cluster", cluster),
            [self.project],
            datetime.now(UTC) + timedelta(hours=1),
            agent_images=[AGENT],
            graces=GracePeriods(start_s=1, settle_s=1, quarantine_s=1),
        )


def pod_of(run: Run) -> Pod:
    made = manifest_of(run, PodSettings("pods", AGENT))
    made["metadata"] |= {"uid": str(uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**made, "status": {"phase": "Pending"}}


def site_of(platform: Platform) -> Site:
    governance, name = platform.governance(Caller("system:install")), f"p{secrets.token_hex(5)}"
    request = ProjectRequest(name=name, owner="a team", data_plane="kubernetes", namespace=name)
    project = governance.projects.create(request)
    governance.runs.lock_environment(name, EnvironmentRequest(name="python", kind="image", reference=IMAGE))
    return Site(governance, project)


@pytest.fixture
def site(platform: Platform) -> Site:
    return site_of(platform)


def done(made: ReconcilePlan) -> set[tuple[str, str | None]]:
    return {(item.rule, str(item.run) if item.run else item.pod) for item in made.items}


def test_every_pod_of_every_page_maps_to_its_run_and_every_open_run_to_a_pod(site: Site) -> None:
    started = [site.started() for _ in range(5)]
    lost, never = site.started()[0], site.run()
    stranger = {**pod_of(never.model_copy(update={"id": uuid4()}))}
    pods = [*(pod for _, pod in started), stranger]
    made = site.plan(SimulatedCluster(site.project.name, [pods[:2], pods[2:4], [], pods[4:]]))

    assert (made.pods, made.runs) == (6, 7)
    assert made.unread == []
    assert done(made) == {
        ("run.pod-gone", str(lost.id)),
        ("run.never-started", str(never.id)),
        ("pod.of-no-run", stranger["metadata"]["name"]),
    }


@pytest.mark.parametrize("page", [0, 1])
def test_a_run_that_starts_while_the_pods_are_listed_is_not_taken_for_one_without_a_pod(site: Site, page: int) -> None:
    _, pod = site.started()
    cluster = SimulatedCluster(site.project.name, [[pod], []])
    # Open, with a fence, and its pod is on no page any more: it came after the Runs had been looked at.
    cluster.before[page] = site.started
    assert done(site.plan(cluster)) == set()


def test_a_run_that_ends_while_the_pods_are_listed_is_left(site: Site) -> None:
    from holdfast.wire.run import RunFinish

    run, _ = site.started()

    def end() -> None:
        site.governance.runs.finish(site.project.name, run.id, RunFinish(state="canceled"))

    assert done(site.plan(SimulatedCluster(site.project.name, [[]], {0: end}))) == set()


def test_nothing_is_planned_where_a_later_page_cannot_be_read(site: Site) -> None:
    def away() -> None:
        raise Unavailable("the cluster does not answer", remedy="Try again")

    stranger = pod_of(site.run().model_copy(update={"id": uuid4()}))
    made = site.plan(SimulatedCluster(site.project.name, [[stranger], [], []], {2: away}))

    assert made.items == []
    assert [(unread.project, unread.why) for unread in made.unread] == [
        (site.project.name, "the cluster does not answer. Try again")
    ]


def test_projects_come_in_their_order_and_the_limit_is_one_for_all(platform: Platform) -> None:
    sites = [site_of(platform) for _ in range(3)]
    never = [str(each.run().id) for each in sites for _ in range(2)]

    def made(limit: int) -> ReconcilePlan:
        return plan(
            sites[0].governance,
            cast("Cluster", Clusters([SimulatedCluster(each.project.name, [[]]) for each in sites])),
            [each.project for each in sites],
            datetime.now(UTC) + timedelta(hours=1),
            agent_images=[AGENT],
            graces=GracePeriods(start_s=1, settle_s=1, quarantine_s=1),
            limit=limit,
        )

    whole, cut = made(6), made(3)
    assert [place.name for place in whole.projects] == [each.project.name for each in sites]
    assert [item.project for item in whole.items] == [each.project.name for each in sites for _ in range(2)]
    assert {str(item.run) for item in whole.items} == set(never)
    assert (whole.is_whole, cut.is_whole) == (True, False)
    assert [item.project for item in cut.items] == [item.project for item in whole.items[:3]]
    assert (cut.runs, cut.pods) == (6, 0)
