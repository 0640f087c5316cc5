"""The reconciler's decisions, over everything that may be known of a pod and a Run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.core.reconcile import (
    Action,
    Graces,
    PodFacts,
    PodStage,
    Rule,
    RunFacts,
    decide_pod,
    decide_run,
    lie_of,
)
from holdfast.core.run import ErrorClass, RunState, is_terminal

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
GRACES = Graces()
moments = st.integers(-3600, 7200).map(lambda s: NOW - timedelta(seconds=s))
runs = st.builds(
    RunFacts,
    id=st.sampled_from(["r1", "r2"]),
    state=st.sampled_from(RunState),
    since=moments,
    fence=st.sampled_from([None, "u1", "u2"]),
    superseded_by=st.sampled_from([None, "r9"]),
)
pods = st.builds(
    PodFacts,
    name=st.just("run-r1"),
    uid=st.sampled_from(["u1", "u2"]),
    changed_at=moments,
    run=st.sampled_from([None, "r1", "r2"]),
    forged=st.sampled_from([None, "its label names Run r7"]),
    is_of_project=st.booleans(),
    difference=st.sampled_from([None, "spec.containers[0].image is 'x', not 'y'"]),
    other_image=st.sampled_from([None, "sha256:beef"]),
    stage=st.sampled_from(PodStage),
    error_class=st.sampled_from([None, *ErrorClass]),
    cause=st.sampled_from(["", "it broke"]),
    is_going_away=st.booleans(),
    is_over=st.booleans(),
    quarantined_at=st.none() | moments,
)
TO_PODS = {Action.LEAVE, Action.QUARANTINE, Action.REMOVE}
TO_RUNS = {Action.LEAVE, Action.COMPLETE, Action.FAIL, Action.CANCEL}


def honest(**changes: Any) -> PodFacts:
    """Return a pod that is Run r1's own."""
    values: dict[str, Any] = {"name": "run-r1", "uid": "u1", "changed_at": NOW - timedelta(hours=1), "run": "r1"}
    return PodFacts(**{**values, **changes})


def a_run(**changes: Any) -> RunFacts:
    values: dict[str, Any] = {
        "id": "r1",
        "state": RunState.RUNNING,
        "since": NOW - timedelta(hours=1),
        "fence": "u1",
    }
    return RunFacts(**{**values, **changes})


@given(pods, st.none() | runs)
def test_every_pod_gets_one_answer_that_is_for_pods(pod: PodFacts, run: RunFacts | None) -> None:
    decision = decide_pod(pod, run, NOW, GRACES)
    assert decision.action in TO_PODS
    assert decision.rule.startswith("pod.")
    assert decision.why


@given(st.none() | pods, runs)
def test_every_run_gets_one_answer_that_is_for_runs(pod: PodFacts | None, run: RunFacts) -> None:
    decision = decide_run(run, pod, NOW, GRACES)
    assert decision.action in TO_RUNS
    assert decision.rule.startswith("run.")
    assert (decision.action is Action.FAIL) == (decision.error_class is not None)


@given(pods, runs)
@example(honest(), a_run(superseded_by="r9"))
@example(honest(quarantined_at=NOW - timedelta(hours=1)), a_run())
def test_the_own_pod_of_an_open_run_is_never_touched(pod: PodFacts, run: RunFacts) -> None:
    if lie_of(pod, run) is None and not is_terminal(run.state):
        assert decide_pod(pod, run, NOW, GRACES).action is Action.LEAVE


@given(pods, runs)
@example(honest(uid="u2", stage=PodStage.ENDED_WELL), a_run(state=RunState.UNKNOWN))
@example(honest(other_image="sha256:beef", stage=PodStage.ENDED_WELL), a_run(state=RunState.UNKNOWN))
@example(honest(forged="its label names Run r7", stage=PodStage.ENDED_WELL), a_run(state=RunState.UNKNOWN))
def test_a_pod_that_lies_completes_no_run(pod: PodFacts, run: RunFacts) -> None:
    lies = (
        pod.run != run.id
        or run.fence not in (None, pod.uid)
        or not pod.is_of_project
        or pod.forged is not None
        or pod.difference is not None
        or pod.other_image is not None
    )
    assert (lie_of(pod, run) is not None) == lies
    if lies:
        assert decide_run(run, pod, NOW, GRACES).action is not Action.COMPLETE
        assert decide_pod(pod, run, NOW, GRACES).rule is not Rule.POD_OF_ENDED_RUN


@given(st.none() | pods, runs)
def test_a_run_that_has_ended_is_left(pod: PodFacts | None, run: RunFacts) -> None:
    if is_terminal(run.state):
        assert decide_run(run, pod, NOW, GRACES).action is Action.LEAVE


@given(pods, st.none() | runs)
def test_nothing_is_removed_but_out_of_quarantine_or_after_its_run(pod: PodFacts, run: RunFacts | None) -> None:
    decision = decide_pod(pod, run, NOW, GRACES)
    if decision.action is Action.REMOVE:
        in_quarantine = pod.quarantined_at is not None and NOW - pod.quarantined_at >= GRACES.quarantine
        after_its_run = run is not None and is_terminal(run.state) and lie_of(pod, run) is None
        assert in_quarantine or after_its_run


@given(pods, st.none() | runs)
def test_a_time_of_quarantine_that_lies_ahead_protects_nothing(pod: PodFacts, run: RunFacts | None) -> None:
    if pod.quarantined_at is not None and pod.quarantined_at > NOW and not pod.is_going_away and lie_of(pod, run):
        assert decide_pod(pod, run, NOW, GRACES).action is Action.QUARANTINE


@given(st.none() | pods, runs, st.integers(0, 86400))
def test_a_run_that_is_ended_would_be_ended_later_as_well(pod: PodFacts | None, run: RunFacts, later_s: int) -> None:
    now = decide_run(run, pod, NOW, GRACES)
    later = decide_run(run, pod, NOW + timedelta(seconds=later_s), GRACES)
    if now.action is not Action.LEAVE:
        assert later == now


def test_the_task_of_a_run_is_given_time_to_end_it_unless_it_is_known_to_be_gone() -> None:
    for stage, action in ((PodStage.ENDED_WELL, Action.COMPLETE), (PodStage.BROKEN, Action.FAIL)):
        fresh = honest(stage=stage, changed_at=NOW - timedelta(minutes=4), cause="it broke")
        assert decide_run(a_run(), fresh, NOW, GRACES).action is Action.LEAVE
        assert decide_run(a_run(), fresh, NOW + timedelta(minutes=1), GRACES).action is action
        unknown = a_run(state=RunState.UNKNOWN, since=NOW)
        assert decide_run(unknown, fresh, NOW, GRACES).action is action
        # Somebody is at it, just now.
        reconciling = a_run(state=RunState.RECONCILING, since=NOW)
        assert decide_run(reconciling, fresh, NOW, GRACES).action is Action.LEAVE


def test_a_superseded_run_is_canceled_while_its_pod_goes_on_and_completed_where_it_ended_well() -> None:
    superseded = a_run(state=RunState.UNKNOWN, superseded_by="r9")
    assert decide_run(superseded, honest(), NOW, GRACES).rule is Rule.RUN_SUPERSEDED
    assert decide_run(superseded, None, NOW, GRACES).action is Action.CANCEL
    assert decide_run(superseded, honest(stage=PodStage.ENDED_WELL), NOW, GRACES).action is Action.COMPLETE
    going = honest(stage=PodStage.BROKEN, is_going_away=True)
    assert decide_run(superseded, going, NOW, GRACES).action is Action.CANCEL


def test_a_pod_is_told_by_its_worst_lie() -> None:
    run = a_run()
    assert decide_pod(honest(is_of_project=False, uid="u2"), run, NOW, GRACES).rule is Rule.POD_OF_ANOTHER_PROJECT
    assert decide_pod(honest(run="r2", uid="u2"), run, NOW, GRACES).rule is Rule.POD_OF_NO_RUN
    assert decide_pod(honest(uid="u2", difference="x"), run, NOW, GRACES).rule is Rule.POD_NOT_UNDER_THE_FENCE
    assert decide_pod(honest(forged="x", difference="x"), run, NOW, GRACES).rule is Rule.POD_WITH_FORGED_LABELS
    assert decide_pod(honest(other_image="x", difference="x"), run, NOW, GRACES).rule is Rule.POD_ON_ANOTHER_IMAGE
    assert decide_pod(honest(difference="x"), run, NOW, GRACES).rule is Rule.POD_NOT_AS_MADE


def test_a_pod_whose_run_has_just_ended_is_left_to_end_by_itself() -> None:
    ended = a_run(state=RunState.SUCCEEDED, since=NOW - timedelta(minutes=1))
    assert decide_pod(honest(), ended, NOW, GRACES).action is Action.LEAVE
    assert decide_pod(honest(is_over=True), ended, NOW, GRACES).action is Action.REMOVE
    assert decide_pod(honest(), ended, NOW + timedelta(minutes=5), GRACES).action is Action.REMOVE


def test_a_run_without_a_fence_and_a_pod_counts_as_never_started_after_its_grace() -> None:
    created = a_run(state=RunState.CREATED, fence=None, since=NOW - timedelta(minutes=9))
    assert decide_run(created, None, NOW, GRACES).action is Action.LEAVE
    decision = decide_run(created, None, NOW + timedelta(minutes=1), GRACES)
    assert (decision.action, decision.rule, decision.error_class) == (
        Action.FAIL,
        Rule.RUN_NEVER_STARTED,
        ErrorClass.PLATFORM,
    )
