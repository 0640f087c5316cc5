"""What is said of pods, and how Runs stand to each other: the same for both implementations."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from holdfast.core.access import Role
from holdfast.core.errors import NotFound, PolicyViolation, StateConflict
from holdfast.ports import Governance
from holdfast.wire.pod import PodRequest, RunIds
from holdfast.wire.project import ProjectRequest, Reason, RoleBindingRequest
from holdfast.wire.run import RunFinish, RunTransition
from tests.support.story import Story


@pytest.fixture
def sre(story: Story) -> Governance:
    """Somebody who looks after the Project's installation."""
    binding = RoleBindingRequest(subject="user:sigrid", role=Role.SRE)
    story.act_as("system:install").projects.bind_role(story.project, binding)
    return story.act_as("user:sigrid")


def request(**changes: Any) -> PodRequest:
    values: dict[str, Any] = {
        "namespace": "oncology",
        "name": "miner",
        "node": "node1",
        "rule": "pod.of-no-run",
        "reason": "there is no such Run",
    }
    return PodRequest(**{**values, **changes})


def test_a_pod_is_on_record_with_what_was_about_to_be_done_to_it_and_why(story: Story, sre: Governance) -> None:
    uid, run = str(uuid4()), story.start_run()

    quarantined = sre.pods.quarantine(story.project, uid, request())
    removed = sre.pods.remove(story.project, uid, request(rule="pod.quarantine-over", run=run.id))

    events = {event.action: event for event in sre.audit.list(story.project, target=uid).items}
    assert set(events) == {"pod.quarantined", "pod.removed"}
    first, second = events["pod.quarantined"], events["pod.removed"]  # type: ignore[index]
    assert (first.target_type, first.initiator, first.reason) == ("pod", "user:sigrid", "there is no such Run")
    assert first.content == {
        "namespace": "oncology",
        "name": "miner",
        "node": "node1",
        "rule": "pod.of-no-run",
        "run": None,
    }
    assert second.content["run"] == str(run.id)
    assert (quarantined.action, removed.action) == ("pod.quarantined", "pod.removed")
    assert quarantined.recorded_at <= removed.recorded_at


def test_a_pod_is_quarantined_once_and_keeps_the_time_of_the_first(story: Story, sre: Governance) -> None:
    uid = str(uuid4())
    first = sre.pods.quarantine(story.project, uid, request())
    again = sre.pods.quarantine(story.project, uid, request(reason="another pass"))
    assert abs((again.recorded_at - first.recorded_at).total_seconds()) < 1
    assert sre.pods.quarantine(story.project, uid, request()) == again
    assert len(sre.audit.list(story.project, target=uid).items) == 1


def test_two_reconcilers_at_a_time_record_one_event(story: Story, sre: Governance) -> None:
    uid = str(uuid4())
    with ThreadPoolExecutor(8) as beside:
        list(beside.map(lambda _: sre.pods.remove(story.project, uid, request()), range(8)))
    assert len(sre.audit.list(story.project, target=uid).items) == 1


def test_the_pods_of_two_projects_are_two(story: Story, sre: Governance) -> None:
    other, uid = Story.begin(story.act_as, story.objects), str(uuid4())
    sre.pods.quarantine(story.project, uid, request())
    with pytest.raises(NotFound):
        sre.pods.quarantine(other.project, uid, request())
    other.act_as("system:install").pods.quarantine(other.project, uid, request())
    assert len(other.mia.audit.list(other.project, target=uid).items) == 1


def test_who_does_not_reconcile_says_nothing_of_pods(story: Story) -> None:
    for caller in (story.mia, story.vera, story.olaf):
        with pytest.raises(PolicyViolation):
            caller.pods.remove(story.project, str(uuid4()), request())


def test_the_pods_of_an_archived_project_can_still_be_removed(story: Story) -> None:
    name, install = f"p{secrets.token_hex(5)}", story.act_as("system:install")
    install.projects.create(ProjectRequest(name=name, owner="a team"))
    install.projects.archive(name, Reason(reason="it has ended"))
    assert install.pods.remove(name, str(uuid4()), request()).project == name


def test_who_reconciles_ends_runs_and_neither_creates_nor_starts_any(story: Story, sre: Governance) -> None:
    run = story.start_run()
    lost = RunTransition(state="unknown", cause="its worker is gone", owner="reconciler")
    assert sre.runs.change(story.project, run.id, lost).state == "unknown"
    found = RunTransition(state="reconciling", cause="its pod is gone", owner="reconciler")
    sre.runs.change(story.project, run.id, found)
    ending = RunFinish(state="failed", fence="pod-1", error_class="platform", cause="its pod is gone")
    assert sre.runs.finish(story.project, run.id, ending).state == "failed"
    with pytest.raises(PolicyViolation):
        sre.runs.create(story.project, story.run_request())
    with pytest.raises(StateConflict):
        sre.runs.finish(story.project, run.id, ending.model_copy(update={"cause": "another"}))


def test_a_run_says_which_newer_try_of_its_task_instance_there_is(story: Story) -> None:
    pipeline_run = story.pipeline_run(secrets.token_hex(4))
    tries = [
        story.mia.runs.create(story.project, story.run_request(pipeline_run=pipeline_run, try_number=number))
        for number in (1, 2, 3)
    ]
    other = story.mia.runs.create(
        story.project, story.run_request(pipeline_run=pipeline_run, try_number=4, map_index=7)
    )

    asked = RunIds(runs=[*(run.id for run in tries), other.id, uuid4()])
    found = {standing.run.id: standing for standing in story.vera.runs.standings(story.project, asked).items}

    assert set(found) == {*(run.id for run in tries), other.id}
    newest = tries[-1].id
    assert [found[run.id].superseded_by for run in tries] == [newest, newest, None]
    assert found[other.id].superseded_by is None
    assert found[newest].run == story.vera.runs.get(story.project, newest)


def test_the_open_runs_of_a_project_are_listed_page_by_page_and_no_others(story: Story) -> None:
    here = Story.begin(story.act_as, story.objects)
    runs = [here.start_run(pipeline_run=None) for _ in range(5)]
    ended = here.finish_run(runs.pop(), state="canceled")
    lost = RunTransition(state="unknown", cause="its worker is gone", owner="reconciler")
    here.mia.runs.change(here.project, runs[0].id, lost)
    story.start_run()

    found, cursor = [], None
    while True:
        page = here.vera.runs.list_open(here.project, limit=3, cursor=cursor)
        found += page.items
        if (cursor := page.next) is None:
            break

    assert [run.id for run in found] == [run.id for run in reversed(runs)]
    assert [run.state for run in found] == ["running", "running", "running", "unknown"]
    assert ended.id not in {run.id for run in found}
    assert here.vera.runs.list_open(here.project, data_plane="kubernetes").items == []


def test_a_run_of_another_project_has_no_standing_here(story: Story) -> None:
    other = Story.begin(story.act_as, story.objects)
    run = other.start_run()
    assert story.mia.runs.standings(story.project, RunIds(runs=[run.id])).items == []
