"""What becomes of a pod and of a Run, given what is known of both: two questions, one answer each, and why. Pure.

A pod that is not what its Run's record says it is counts as no pod at all, so that it cannot bring a Run to any end but failure.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from holdfast.core.run import ErrorClass, RunState, is_terminal


class Action(StrEnum):
    """What is done. The first three are done to a pod, the last three to a Run."""

    LEAVE = "leave"
    QUARANTINE = "quarantine"
    REMOVE = "remove"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"


class Rule(StrEnum):
    """The rule that decided."""

    POD_OF_NO_RUN = "pod.of-no-run"
    POD_OF_ANOTHER_PROJECT = "pod.of-another-project"
    POD_WITH_FORGED_LABELS = "pod.with-forged-labels"
    POD_NOT_UNDER_THE_FENCE = "pod.not-under-the-fence"
    POD_NOT_AS_MADE = "pod.not-as-made"
    POD_ON_ANOTHER_IMAGE = "pod.on-another-image"
    POD_QUARANTINE_OVER = "pod.quarantine-over"
    POD_OF_ENDED_RUN = "pod.of-ended-run"
    POD_AS_IT_SHOULD_BE = "pod.as-it-should-be"
    RUN_NEVER_STARTED = "run.never-started"
    RUN_POD_GONE = "run.pod-gone"
    RUN_POD_CHANGED = "run.pod-changed"
    RUN_ENDED_WELL = "run.ended-well"
    RUN_BROKEN = "run.broken"
    RUN_SUPERSEDED = "run.superseded"
    RUN_AS_IT_SHOULD_BE = "run.as-it-should-be"


class PodStage(StrEnum):
    """How far a pod is."""

    GOING = "going"
    ENDED_WELL = "ended-well"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Graces:
    """How long things are left alone.

    Attributes:
        start: a Run without a pod, until it counts as never started.
        settle: a pod that has ended, and a Run that has, for whoever works on them to do so.
        quarantine: a quarantined pod, for somebody to look at.
    """

    start: timedelta = timedelta(minutes=10)
    settle: timedelta = timedelta(minutes=5)
    quarantine: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is on record of a Run that is executed on Kubernetes.

    Attributes:
        id: the Run's.
        state: where it is.
        since: when it came there.
        fence: UID of the pod under which it was started.
        superseded_by: the Run of a newer try of the same task instance.
    """

    id: str
    state: RunState
    since: datetime
    fence: str | None = None
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What is seen of a pod in a Project's namespace.

    Attributes:
        name: its name.
        uid: what the cluster calls it, and nobody can choose.
        run: id of the Run whose name it has; None where it has no Run's name.
        forged: a label that is not what it must be; None where there is none.
        is_of_project: whether its label names the namespace's Project.
        difference: the first thing that is not as the Run's record says; None where there is none, or that was not looked at.
        other_image: digest of the image that it was seen to run, where that is not the one that the Run is bound to.
        stage: how far it is.
        error_class: of a broken one.
        cause: of a broken one.
        changed_at: when it last came further.
        is_going_away: whether its end has been asked for.
        is_over: whether nothing of it runs any more.
        quarantined_at: since when its labels say that it is in quarantine.
    """

    name: str
    uid: str
    changed_at: datetime
    run: str | None = None
    forged: str | None = None
    is_of_project: bool = True
    difference: str | None = None
    other_image: str | None = None
    stage: PodStage = PodStage.GOING
    error_class: ErrorClass | None = None
    cause: str = ""
    is_going_away: bool = False
    is_over: bool = False
    quarantined_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done, by which rule, and why."""

    action: Action
    rule: Rule
    why: str
    error_class: ErrorClass | None = None


def lie_of(pod: PodFacts, run: RunFacts | None) -> tuple[Rule, str] | None:
    """Return in what a pod is not what it pretends to be; None where it is its Run's own."""
    if not pod.is_of_project:
        return Rule.POD_OF_ANOTHER_PROJECT, "its label does not name the Project whose namespace it is in"
    if run is None or pod.run != run.id:
        return Rule.POD_OF_NO_RUN, f"there is no Run on Kubernetes in the Project that pod {pod.name} would be of"
    if run.fence is not None and run.fence != pod.uid:
        return Rule.POD_NOT_UNDER_THE_FENCE, f"Run {run.id} was started in pod {run.fence}, and this one is {pod.uid}"
    if pod.forged is not None:
        return Rule.POD_WITH_FORGED_LABELS, pod.forged
    if pod.other_image is not None:
        return Rule.POD_ON_ANOTHER_IMAGE, f"it runs image {pod.other_image}, to which Run {run.id} is not bound"
    if pod.difference is not None:
        return Rule.POD_NOT_AS_MADE, f"it is not as it is made for Run {run.id}: {pod.difference}"
    return None


def decide_pod(pod: PodFacts, run: RunFacts | None, now: datetime, graces: Graces) -> Decision:
    """Return what becomes of a pod: it is left, quarantined, or removed. The own pod of an open Run is always left."""
    if pod.is_going_away:
        return Decision(Action.LEAVE, Rule.POD_AS_IT_SHOULD_BE, "its end has been asked for")
    lie = lie_of(pod, run)
    is_owned_by_open = lie is None and run is not None and not is_terminal(run.state)
    if is_owned_by_open:
        return Decision(Action.LEAVE, Rule.POD_AS_IT_SHOULD_BE, "its Run is open")
    # A time that lies before us is nobody's honest mark: the pod is quarantined again, and gets the time on record.
    if pod.quarantined_at is not None and pod.quarantined_at <= now:
        if now - pod.quarantined_at < graces.quarantine:
            return Decision(Action.LEAVE, Rule.POD_AS_IT_SHOULD_BE, "it is in quarantine, for somebody to look at")
        why = f"it has been in quarantine for longer than {_spoken(graces.quarantine)}"
        return Decision(Action.REMOVE, Rule.POD_QUARANTINE_OVER, f"{why}; {lie[1]}" if lie else why)
    if lie is not None:
        return Decision(Action.QUARANTINE, *lie)
    if run is not None and not pod.is_over and now - run.since < graces.settle:
        return Decision(Action.LEAVE, Rule.POD_AS_IT_SHOULD_BE, "its Run has just ended, and it is about to")
    return Decision(Action.REMOVE, Rule.POD_OF_ENDED_RUN, f"Run {pod.run} has ended and is on record")


def decide_run(run: RunFacts, pod: PodFacts | None, now: datetime, graces: Graces) -> Decision:
    """Return what becomes of a Run: it is left, completed, failed, or canceled.

    Args:
        run: the Run.
        pod: the pod of its name; None where there is none.
        now: the time.
        graces: how long things are left alone.
    """
    if is_terminal(run.state):
        return _leave("it has ended")
    lie = lie_of(pod, run) if pod is not None else None
    if pod is None or lie is not None:
        return _without_pod(run, lie, now, graces)
    if run.superseded_by is not None and (pod.stage is PodStage.GOING or pod.is_going_away):
        return _superseded(run)
    is_ours_to_end = run.state is RunState.UNKNOWN or now - max(pod.changed_at, run.since) >= graces.settle
    if pod.stage is PodStage.GOING:
        return _leave(
            "its pod goes on" if run.state is not RunState.UNKNOWN else "its pod goes on, and how it ends it will say"
        )
    if not is_ours_to_end:
        return _leave("its pod has just ended, and its task is about to record that")
    if pod.stage is PodStage.ENDED_WELL:
        return Decision(
            Action.COMPLETE, Rule.RUN_ENDED_WELL, "its command ended with exit code 0, and nobody has recorded that"
        )
    return Decision(Action.FAIL, Rule.RUN_BROKEN, pod.cause, pod.error_class or ErrorClass.PLATFORM)


def _without_pod(run: RunFacts, lie: tuple[Rule, str] | None, now: datetime, graces: Graces) -> Decision:
    if run.fence is None:
        if now - run.since < graces.start:
            return _leave("its pod may still be made")
        why = f"it has had no pod for longer than {_spoken(graces.start)}: it was never started"
        return Decision(Action.FAIL, Rule.RUN_NEVER_STARTED, why, ErrorClass.PLATFORM)
    if run.superseded_by is not None and lie is None:
        return _superseded(run)
    if lie is None:
        why = "its pod is gone, and its outputs with it: its node was lost, or somebody removed it"
        return Decision(Action.FAIL, Rule.RUN_POD_GONE, why, ErrorClass.PLATFORM)
    if lie[0] is Rule.POD_NOT_UNDER_THE_FENCE:
        why = f"its pod is gone, and another pod has its name: {lie[1]}"
        return Decision(Action.FAIL, Rule.RUN_POD_GONE, why, ErrorClass.PLATFORM)
    return Decision(Action.FAIL, Rule.RUN_POD_CHANGED, f"somebody has changed its pod: {lie[1]}", ErrorClass.POLICY)


def _superseded(run: RunFacts) -> Decision:
    why = f"a newer try of the same task has Run {run.superseded_by}, and nobody waits for this one"
    return Decision(Action.CANCEL, Rule.RUN_SUPERSEDED, why)


def _leave(why: str) -> Decision:
    return Decision(Action.LEAVE, Rule.RUN_AS_IT_SHOULD_BE, why)


def _spoken(grace: timedelta) -> str:
    minutes, seconds = divmod(int(grace.total_seconds()), 60)
    return f"{minutes} min" if not seconds else f"{minutes * 60 + seconds} s"
