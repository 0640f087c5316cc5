"""Does what a plan of the reconciler says, and nothing else: each item is decided again by the same rules right before it is done.

Killed anywhere and repeated it comes to the same end: what is done to a pod is on record before, and what is recorded twice is recorded once.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from holdfast.core.errors import HoldfastError, IntegrityViolation, InvalidRequest, StateConflict, Unavailable
from holdfast.core.reconcile import Action, Decision, Rule, decide_pod, decide_run
from holdfast.core.run import ErrorClass, is_terminal
from holdfast.dataplane.kubernetes.cluster import Cluster, Pod
from holdfast.dataplane.kubernetes.execution import PodExecution
from holdfast.dataplane.kubernetes.facts import made_with, pod_facts, run_facts
from holdfast.dataplane.kubernetes.manifest import QUARANTINED_ANNOTATION, QUARANTINED_LABEL, PodSettings, pod_name
from holdfast.dataplane.kubernetes.status import Broken, observe, progress_of, uid_of
from holdfast.dataplane.plane import StepCanceled, StepFailed
from holdfast.dataplane.record import RunRecord
from holdfast.ops.reconcile.plan import locate, standings
from holdfast.ports import Governance
from holdfast.wire.pod import PodRequest, RunStanding
from holdfast.wire.reconcile import ItemOutcome, PlanItem, ReconcilePlan
from holdfast.wire.run import Run

DEFAULT_MAX_AGE = timedelta(minutes=30)
Probe = Callable[[str], None]
PROBE_POINTS = ("recorded", "touched")
"""Before a pod is touched, and after: tests inject faults there."""


def apply(
    governance: Governance,
    cluster: Cluster,
    plan: ReconcilePlan,
    now: datetime,
    *,
    max_age: timedelta = DEFAULT_MAX_AGE,
    probe: Probe = lambda _: None,
) -> Iterator[ItemOutcome]:
    """Yield what becomes of each item of a plan, as it becomes it; an item that fails does not keep the others from being done.

    Args:
        governance: the record.
        cluster: where the pods are.
        plan: what to do.
        now: the time.
        max_age: how old a plan may be.
        probe: called at the named points.

    Raises:
        StateConflict: the plan is too old; nothing was done.
        InvalidRequest: it is for another installation or another cluster; nothing was done.
        HoldfastError: a Project or its namespace cannot be read any more; nothing was done.
    """
    _check(governance, cluster, plan, now, max_age)
    applier = _Applier(governance, cluster, plan, now, probe)
    for item in plan.items:
        yield applier.do(item)


def _check(governance: Governance, cluster: Cluster, plan: ReconcilePlan, now: datetime, max_age: timedelta) -> None:
    if not timedelta(minutes=-1) <= now - plan.made_at <= max_age:
        raise StateConflict(
            f"the plan was made at {plan.made_at:%Y-%m-%dT%H:%M:%SZ}, and it is {now:%Y-%m-%dT%H:%M:%SZ} now",
            remedy="Make a new one with `holdfast reconcile plan`",
        )
    if beside := {item.project for item in plan.items} - {place.name for place in plan.projects}:
        raise InvalidRequest(f"the plan has items in {min(beside)!r}, where it has not looked")
    for planned in plan.projects:
        project = governance.projects.get(planned.name)
        if project.id != planned.id:
            raise InvalidRequest(
                f"the plan is for another installation: its Project {planned.name!r} is {planned.id}, and here it is {project.id}",
                remedy="Apply it where it was made",
            )
        try:
            found = locate(cluster, project)
        except StepFailed as failure:
            raise failure.as_error() from None
        if found != planned:
            raise InvalidRequest(
                f"the plan is for another cluster: namespace {planned.namespace!r} is {planned.namespace_uid} in it, "
                f"and {found.namespace!r} is {found.namespace_uid} here",
                remedy="Give the kubeconfig with which it was made",
            )
    if wrong := [
        item
        for item in plan.items
        if item.namespace not in {p.namespace for p in plan.projects if p.name == item.project}
    ]:
        raise InvalidRequest(f"the plan has an item in namespace {wrong[0].namespace!r}, which is not its Project's")


_TO_PODS = (Action.QUARANTINE, Action.REMOVE)


class _Moot(Exception):
    """What an item was about is not so any more."""


class _Applier:
    def __init__(
        self, governance: Governance, cluster: Cluster, plan: ReconcilePlan, now: datetime, probe: Probe
    ) -> None:
        self._governance, self._cluster, self._now, self._probe = governance, cluster, now, probe
        self._graces, self._images = plan.graces.as_graces(), plan.agent_images

    def do(self, item: PlanItem) -> ItemOutcome:
        """Do one item, whatever becomes of it."""
        try:
            says = self._do_to_pod(item) if item.action in _TO_PODS else self._do_to_run(item)
        except _Moot as moot:
            return ItemOutcome(item=item, became="moot", says=str(moot))
        except (HoldfastError, StepFailed) as failure:
            return self._failed(item, str(failure))
        return ItemOutcome(item=item, became="done", says=says)

    def _failed(self, item: PlanItem, says: str) -> ItemOutcome:
        """Return that an item could not be done, unless somebody else has ended its Run meanwhile."""
        with suppress(HoldfastError):
            standing = self._standing(item) if item.action not in _TO_PODS else None
            if standing is not None and is_terminal(standing.run.state):
                meanwhile = f"the Run has ended meanwhile: it is {standing.run.state}"
                return ItemOutcome(item=item, became="moot", says=meanwhile)
        return ItemOutcome(item=item, became="failed", says=says)

    def _do_to_pod(self, item: PlanItem) -> str:
        pod = self._cluster.find_pod(item.namespace, item.pod or "")
        if pod is None or uid_of(pod) != item.uid:
            raise _Moot("the pod is gone" if pod is None else "another pod has its name now")
        standing = self._standing(item)
        facts = pod_facts(pod, item.project, standing.run if standing else None, self._settings(item))
        decision = decide_pod(facts, run_facts(standing) if standing else None, self._now, self._graces)
        _check_same(item, decision)
        if item.action is Action.QUARANTINE:
            return self._quarantine(item, decision)
        if decision.rule is Rule.POD_QUARANTINE_OVER:
            # Labels can be forged; since when it is in quarantine, the record says, and it says so for every one that is removed.
            since = self._governance.pods.quarantine(item.project, item.uid, _request(item, decision)).recorded_at
            if self._now - since < self._graces.quarantine:
                self._mark(item, since)
                raise _Moot(f"it is in quarantine only since {since:%Y-%m-%dT%H:%M:%SZ}, whatever its labels said")
        return self._remove(item, decision)

    def _quarantine(self, item: PlanItem, decision: Decision) -> str:
        uid = str(item.uid)
        since = self._governance.pods.quarantine(item.project, uid, _request(item, decision)).recorded_at
        self._probe("recorded")
        if not self._mark(item, since):
            raise _Moot("the pod is gone")
        self._probe("touched")
        return f"in quarantine since {since:%Y-%m-%dT%H:%M:%SZ}"

    def _mark(self, item: PlanItem, since: datetime) -> bool:
        annotations = {QUARANTINED_ANNOTATION: since.isoformat(timespec="seconds")}
        return self._cluster.mark_pod(
            item.namespace, str(item.pod), str(item.uid), {QUARANTINED_LABEL: "true"}, annotations
        )

    def _remove(self, item: PlanItem, decision: Decision) -> str:
        uid = str(item.uid)
        self._governance.pods.remove(item.project, uid, _request(item, decision))
        self._probe("recorded")
        was_there = self._cluster.delete_pod(item.namespace, str(item.pod), uid)
        self._probe("touched")
        return "removed" if was_there else "it was gone already"

    def _do_to_run(self, item: PlanItem) -> str:
        standing = self._standing(item)
        if standing is None:
            raise _Moot("there is no such Run")
        run = standing.run
        pod = self._cluster.find_pod(item.namespace, pod_name(run))
        facts = pod_facts(pod, item.project, run, self._settings(item)) if pod else None
        decision = decide_run(run_facts(standing), facts, self._now, self._graces)
        _check_same(item, decision)
        match decision.action:
            case Action.COMPLETE if pod is not None:
                return self._complete(item, run, pod)
            case Action.CANCEL:
                if pod is not None:
                    named = item.model_copy(update={"pod": pod["metadata"]["name"], "uid": uid_of(pod)})
                    self._remove(named, decision)
                return self._end(item, run, StepCanceled(decision.why), pod)
            case _:
                failure = StepFailed(decision.error_class or ErrorClass.PLATFORM, decision.why)
                if decision.rule is Rule.RUN_BROKEN and pod is not None:
                    progress = progress_of(pod)
                    failure = progress.failure if isinstance(progress, Broken) else failure
                return self._end(item, run, failure, pod if decision.rule is Rule.RUN_BROKEN else None)

    def _complete(self, item: PlanItem, run: Run, pod: Pod) -> str:
        """Have the outputs of a Run stored, and it ended; whoever does the same at the same time comes to the same end."""
        settings = made_with(pod, run, self._settings(item))
        if settings is None:
            raise _Moot("its pod is another now")
        record = RunRecord(self._governance, item.project, run, lambda _: None)
        with PodExecution(run, self._cluster, settings) as execution:
            try:
                ended = record.succeed(uid_of(pod), 0, execution, observe(pod))
            except (StepFailed, InvalidRequest, IntegrityViolation) as failure:
                # What it has written cannot be registered. Every other refusal is about us, and says nothing about the Run.
                if isinstance(failure, StepFailed) and failure.error_class not in (ErrorClass.USER, ErrorClass.DATA):
                    raise
                return self._end(item, run, failure, pod)
            with suppress(Unavailable, StepFailed):
                execution.release()
        return str(ended.state)

    def _end(self, item: PlanItem, run: Run, ending: BaseException, pod: Pod | None) -> str:
        said: list[str] = []
        record = RunRecord(self._governance, item.project, run, said.append)
        record.fail(ending, run.fence, observe(pod) if pod is not None else None)
        if is_terminal(record.run.state):
            return f"{record.run.state}: {record.run.cause}"
        found = self._governance.runs.get(item.project, run.id)
        if is_terminal(found.state):
            raise _Moot(f"the Run has ended meanwhile: it is {found.state}")
        raise StateConflict(said[-1] if said else f"Run {run.id} is {found.state} still")

    def _standing(self, item: PlanItem) -> RunStanding | None:
        run = str(item.run) if item.run else None
        return standings(self._governance, item.project, [run]).get(run) if run else None

    def _settings(self, item: PlanItem) -> list[PodSettings]:
        return [PodSettings(item.namespace, image) for image in self._images]


def _check_same(item: PlanItem, decision: Decision) -> None:
    if (decision.action, decision.rule) != (item.action, item.rule):
        done = (
            "nothing is to be done"
            if decision.action is Action.LEAVE
            else f"{decision.rule} would {decision.action} it"
        )
        raise _Moot(f"{done} now: {decision.why}")


def _request(item: PlanItem, decision: Decision) -> PodRequest:
    return PodRequest(
        namespace=item.namespace,
        name=str(item.pod),
        node=item.node,
        rule=decision.rule,
        reason=decision.why[:2000],
        run=item.run,
    )
