"""Maps every pod in a Project's namespace to a Run, and every open Run to a pod, and says what is to be done about what has no partner.

Nothing is changed here. Pods and Runs are looked at page by page, two Projects at a time, and the next page is fetched meanwhile; of an
open Run only its id is kept, and of a pod nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from holdfast.core.errors import HoldfastError, InvalidRequest
from holdfast.core.names import check_image
from holdfast.core.policy import DataPlaneKind
from holdfast.core.reconcile import Action, Decision, decide_pod, decide_run
from holdfast.dataplane.kubernetes.cluster import Cluster, Pod
from holdfast.dataplane.kubernetes.facts import pod_facts, run_facts, run_named
from holdfast.dataplane.kubernetes.manifest import PROJECT_LABEL, PodSettings
from holdfast.dataplane.plane import StepFailed
from holdfast.ops.reconcile.pace import one_ahead, sparing_collections
from holdfast.ports import MAX_LIMIT, Governance
from holdfast.wire.pod import RunIds, RunStanding
from holdfast.wire.project import Project
from holdfast.wire.reconcile import GracePeriods, PlanItem, PlannedProject, ReconcilePlan, Unread

Item = TypeVar("Item")
DEFAULT_LIMIT = 1000
_BESIDE = 2
Progress = Callable[[str, int, int], None]
"""Told a Project's name, and how many pods and open Runs have been looked at in it; from any thread."""


def plan(
    governance: Governance,
    cluster: Cluster,
    projects: Iterable[Project],
    now: datetime,
    *,
    agent_images: list[str],
    graces: GracePeriods,
    limit: int = DEFAULT_LIMIT,
    progress: Progress = lambda *_: None,
) -> ReconcilePlan:
    """Return what is to be done in some Projects.

    Args:
        governance: the record; only read.
        cluster: where the Projects' namespaces are; only read.
        projects: where to look; those that are not executed on Kubernetes are passed over.
        now: the time.
        agent_images: with which pods may have been made, the present one first, and during an upgrade the one before.
        graces: how long things are left alone.
        limit: most items that a plan holds; a mistake in the settings then does not reach everything at once.
        progress: told how far it is.

    Raises:
        InvalidRequest: no agent's image is given, or one by a tag.
    """
    if not agent_images:
        raise InvalidRequest("no agent's image is given", remedy="Give the one that Runs are started with, by digest")
    for image in agent_images:
        check_image(image)
    with sparing_collections() as after_page, ThreadPoolExecutor(_BESIDE) as beside:

        def look_at(project: Project) -> _Survey:
            survey = _Survey(governance, cluster, now, agent_images, graces, limit, progress, after_page)
            survey.look_at(project)
            return survey

        wanted = [each for each in projects if each.data_plane is DataPlaneKind.KUBERNETES and each.namespace]
        surveys = list(beside.map(look_at, wanted))
    items = [item for survey in surveys for item in survey.items]
    return ReconcilePlan(
        made_at=now,
        graces=graces,
        agent_images=agent_images,
        projects=[survey.place for survey in surveys if survey.place is not None],
        pods=sum(survey.pods for survey in surveys),
        runs=sum(survey.runs for survey in surveys),
        items=items[:limit],
        is_whole=len(items) <= limit and all(survey.is_whole for survey in surveys),
        unread=[survey.unread for survey in surveys if survey.unread is not None],
    )


def locate(cluster: Cluster, project: Project) -> PlannedProject:
    """Return where a Project's pods are.

    Raises:
        InvalidRequest: the namespace is not this Project's; whoever registers a Project with the namespace of something else must not have
            its pods removed.
        StepFailed: there is no such namespace, or it cannot be read.
        Unavailable: the cluster does not answer.
    """
    namespace = str(project.namespace)
    metadata = cluster.namespace(namespace)["metadata"]
    if (said := (metadata.get("labels") or {}).get(PROJECT_LABEL)) != project.name:
        whose = f"Project {said!r}'s" if said else "no Project's"
        raise InvalidRequest(
            f"namespace {namespace!r} is {whose}, and not Project {project.name!r}'s",
            remedy="Apply what `holdfast cluster manifests` prints for the Project",
        )
    return PlannedProject(name=project.name, id=project.id, namespace=namespace, namespace_uid=metadata["uid"])


def standings(governance: Governance, project: str, runs: Iterable[str]) -> dict[str, RunStanding]:
    """Return those of some Runs that a Project has on Kubernetes, by id."""
    found: dict[str, RunStanding] = {}
    for ids in pieces(runs, MAX_LIMIT):
        for standing in governance.runs.standings(project, RunIds(runs=[UUID(run) for run in ids])).items:
            if standing.run.data_plane == DataPlaneKind.KUBERNETES:
                found[str(standing.run.id)] = standing
    return found


def pieces(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of so many items at most."""
    left = iter(items)
    while piece := list(islice(left, size)):
        yield piece


class _Survey:
    """What is found in one Project."""

    def __init__(
        self,
        governance: Governance,
        cluster: Cluster,
        now: datetime,
        agent_images: list[str],
        graces: GracePeriods,
        limit: int,
        progress: Progress,
        after_page: Callable[[], None],
    ) -> None:
        self._governance, self._cluster, self._now = governance, cluster, now
        self._agent_images, self._graces, self._limit = agent_images, graces.as_graces(), limit
        self._progress, self._after_page = progress, after_page
        self.place: PlannedProject | None = None
        self.items: list[PlanItem] = []
        self.unread: Unread | None = None
        self.pods = self.runs = 0
        self.is_whole = True

    def look_at(self, project: Project) -> None:
        """Plan for one Project; where it cannot be looked at, that is noted, and nothing is planned for it."""
        try:
            place = locate(self._cluster, project)
            self._look_at(project, place)
        except (HoldfastError, StepFailed) as failure:
            self.items.clear()
            self.unread = Unread(project=project.name, why=str(failure))
            return
        self.place = place

    def _look_at(self, project: Project, place: PlannedProject) -> None:
        # Runs before pods: a Run that is open and has a fence had its pod before, so that one that is not there now is gone.
        pending = self._open_runs(project)
        self.runs = len(pending)
        for page, found in one_ahead(self._pages(project, place)):
            for pod in page:
                self._look_at_pod(project, place, pod, found.get(run_named(pod) or ""))
            for run in found:
                pending.pop(run, None)
            self.pods += len(page)
            self._progress(project.name, self.pods, self.runs)
            self._after_page()
        for ids in pieces(pending, MAX_LIMIT):
            for run, standing in standings(self._governance, project.name, ids).items():
                self._add(place, decide_run(run_facts(standing), None, self._now, self._graces), run, None)

    def _pages(self, project: Project, place: PlannedProject) -> Iterator[tuple[list[Pod], dict[str, RunStanding]]]:
        """Yield pods, and the Runs whose names they have, by id."""
        for page in self._cluster.pod_pages("", place.namespace):
            named = {run for pod in page if (run := run_named(pod))}
            yield page, standings(self._governance, project.name, named)

    def _look_at_pod(self, project: Project, place: PlannedProject, pod: Pod, standing: RunStanding | None) -> None:
        settings = [PodSettings(place.namespace, image) for image in self._agent_images]
        facts = pod_facts(pod, project.name, standing.run if standing else None, settings)
        run = run_facts(standing) if standing else None
        named = run.id if run else None
        self._add(place, decide_pod(facts, run, self._now, self._graces), named, pod)
        # The record of an archived Project never changes again.
        if run is not None and project.archived_at is None:
            self._add(place, decide_run(run, facts, self._now, self._graces), run.id, pod)

    def _open_runs(self, project: Project) -> dict[str, None]:
        """Return the ids of a Project's open Runs on Kubernetes."""
        found: dict[str, None] = {}
        if project.archived_at is not None:
            return found
        cursor = None
        while True:
            page = self._governance.runs.list_open(
                project.name, data_plane=DataPlaneKind.KUBERNETES, limit=MAX_LIMIT, cursor=cursor
            )
            found |= dict.fromkeys(str(run.id) for run in page.items)
            self._progress(project.name, 0, len(found))
            if (cursor := page.next) is None:
                return found

    def _add(self, place: PlannedProject, decision: Decision, run: str | None, pod: Pod | None) -> None:
        if decision.action is Action.LEAVE:
            return
        if len(self.items) >= self._limit:
            self.is_whole = False
            return
        self.items.append(_item(place, decision, run, pod))


def _item(place: PlannedProject, decision: Decision, run: str | None, pod: Pod | None) -> PlanItem:
    metadata: dict[str, Any] = pod["metadata"] if pod else {}
    return PlanItem(
        action=decision.action,
        rule=decision.rule,
        why=decision.why[:2000],
        project=place.name,
        namespace=place.namespace,
        pod=metadata.get("name"),
        uid=metadata.get("uid"),
        node=pod["spec"].get("nodeName") if pod else None,
        run=UUID(run) if run else None,
    )
