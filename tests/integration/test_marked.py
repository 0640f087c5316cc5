"""A task instance that a person has marked: its Run ends once, whoever else is about to end it, and no other try's Run does."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.core.access import Caller
from holdfast.core.errors import StateConflict
from holdfast.dataplane.record import RunRecord
from holdfast.service.marked import TaskTry, cancel_runs_of
from holdfast.service.transaction import Transactions
from holdfast.wire.project import Reason
from holdfast.wire.run import Run, RunFinish, RunTransition
from tests.support.race import held_up, overtaken

if TYPE_CHECKING:
    from holdfast.service.governance import GovernanceService
    from holdfast.settings import Platform
    from tests.support.story import Story

CAUSE = "user:mia marked its task as failed"


@pytest.fixture
def airflow(platform: Platform) -> GovernanceService:
    return platform.governance(Caller("system:airflow", request_id="a call of mia's"))


@pytest.fixture
def dag_run() -> str:
    return f"manual__{secrets.token_hex(6)}"


def mark(governance: GovernanceService, dag_run: str, try_number: int = 1, map_index: int = -1) -> None:
    marked = TaskTry("tumour_classifier", dag_run, "train", map_index, try_number)
    cancel_runs_of(Transactions(governance.engine, governance.caller, governance.probe), marked, CAUSE)


def found(story: Story, run: Run) -> Run:
    return story.mia.runs.get(story.project, run.id)


def changes(story: Story, run: Run) -> list[tuple[str, str, str]]:
    """Return action, state after it and initiator of what has happened to a Run since it was created."""
    events = story.mia.audit.list(story.project, target=str(run.id), limit=100).items
    return [(e.action, e.content["after"], e.initiator) for e in events if e.action in ("run.changed", "run.finished")]


@pytest.mark.parametrize("state", ["created", "queued", "running", "unknown", "reconciling"])
def test_the_run_of_a_marked_task_is_canceled_wherever_it_was(
    story: Story, airflow: GovernanceService, dag_run: str, state: str
) -> None:
    pipeline_run = story.pipeline_run(run_id=dag_run)
    if state in ("created", "queued"):
        run = story.mia.runs.create(story.project, story.run_request(pipeline_run=pipeline_run))
    else:
        run = story.start_run(pipeline_run=pipeline_run)
    for step in {"queued": ["queued"], "unknown": ["unknown"], "reconciling": ["unknown", "reconciling"]}.get(
        state, []
    ):
        story.mia.runs.change(story.project, run.id, RunTransition(state=step, cause="lost", owner="reconciler"))
    before = len(changes(story, run))

    mark(airflow, dag_run)

    ended = found(story, run)
    assert (ended.state, ended.cause, ended.error_class) == ("canceled", CAUSE, None)
    own = changes(story, run)[: len(changes(story, run)) - before]
    on_the_way = [("run.changed", "reconciling", "system:airflow")] if state == "unknown" else []
    # Events of one transaction have no order among themselves.
    assert sorted(own) == [*on_the_way, ("run.finished", "canceled", "system:airflow")]
    finished = next(
        e for e in story.mia.audit.list(story.project, target=str(run.id)).items if e.action == "run.finished"
    )
    assert (finished.reason, finished.request_id) == (CAUSE, "a call of mia's")


@pytest.mark.parametrize("state", ["succeeded", "failed", "canceled"])
def test_a_run_that_has_ended_stays_as_it_ended(
    story: Story, airflow: GovernanceService, dag_run: str, state: str
) -> None:
    run = story.start_run(pipeline_run=story.pipeline_run(run_id=dag_run))
    more: dict[str, Any] = {"error_class": "user"} if state == "failed" else {}
    story.finish_run(run, state=state, **more)
    before = found(story, run), changes(story, run)

    mark(airflow, dag_run)

    assert (found(story, run), changes(story, run)) == before


def test_no_run_of_another_try_or_task_instance_is_touched(
    story: Story, airflow: GovernanceService, dag_run: str
) -> None:
    pipeline_run = story.pipeline_run(run_id=dag_run)
    others = [
        story.start_run(pipeline_run=pipeline_run, task_id="evaluate"),
        story.start_run(pipeline_run=pipeline_run, map_index=1),
        story.start_run(pipeline_run=story.pipeline_run(run_id=f"{dag_run}b")),
        story.start_run(pipeline_run=None),
        story.start_run(pipeline_run=pipeline_run, try_number=2),
    ]
    run = story.start_run(pipeline_run=pipeline_run, map_index=0)

    mark(airflow, dag_run, try_number=1)
    mark(airflow, dag_run, try_number=3)
    mark(airflow, dag_run, map_index=0)

    assert [found(story, other).state for other in others] == ["running"] * len(others)
    assert found(story, run).state == "canceled"


def test_a_run_that_was_taken_up_is_of_the_try_that_goes_on_with_it(
    story: Story, airflow: GovernanceService, dag_run: str
) -> None:
    run = story.start_run(pipeline_run=story.pipeline_run(run_id=dag_run))
    RunRecord(story.mia, story.project, run, lambda _: None).take_up(2, f"try 2 {run.id}")

    mark(airflow, dag_run, try_number=1)
    assert found(story, run).state == "running"

    mark(airflow, dag_run, try_number=2)
    assert found(story, run).state == "canceled"


def test_a_try_that_takes_a_run_up_while_the_one_before_is_marked_keeps_it(
    story: Story, airflow: GovernanceService, dag_run: str
) -> None:
    run = story.start_run(pipeline_run=story.pipeline_run(run_id=dag_run))
    record = RunRecord(story.mia, story.project, run, lambda _: None)

    overtaken(lambda _: record.take_up(2, f"try 2 {run.id}"), lambda governance: mark(governance, dag_run), airflow)

    assert (found(story, run).state, found(story, run).owner) == ("running", "try 2")


@pytest.mark.parametrize("race", [overtaken, held_up])
@pytest.mark.parametrize("is_mark_first", [True, False])
def test_a_mark_and_the_end_that_its_execution_reports_have_one_winner(
    story: Story, airflow: GovernanceService, dag_run: str, race: Any, is_mark_first: bool
) -> None:
    run = story.start_run(pipeline_run=story.pipeline_run(run_id=dag_run))
    failed = RunFinish(state="failed", fence="pod-1", error_class="user", cause="exit code 3")

    def marking(governance: GovernanceService) -> None:
        mark(governance, dag_run)

    def ending(governance: GovernanceService) -> Run:
        return governance.runs.finish(story.project, run.id, failed)

    first, second = race(*((marking, ending) if is_mark_first else (ending, marking)), airflow)

    ended = found(story, run)
    assert [after for _, after, _ in changes(story, run)] == [ended.state]
    if is_mark_first:
        assert (ended.state, ended.cause) == ("canceled", CAUSE)
        assert isinstance(second, StateConflict)
    else:
        assert (ended.state, ended.cause) == ("failed", "exit code 3")
        assert (first.state, second) == ("failed", None)


def test_an_execution_whose_run_a_mark_has_ended_says_so_and_changes_nothing(
    story: Story, airflow: GovernanceService, dag_run: str
) -> None:
    run = story.start_run(pipeline_run=story.pipeline_run(run_id=dag_run))
    said: list[str] = []
    record = RunRecord(story.mia, story.project, run, said.append)
    mark(airflow, dag_run)

    record.fail(RuntimeError("killed"), "pod-1")

    assert found(story, run).cause == CAUSE
    assert "is canceled and cannot become failed" in said[0]


def test_the_record_of_an_archived_project_is_left(
    story: Story, airflow: GovernanceService, platform: Platform, dag_run: str
) -> None:
    from tests.support.story import Story

    act_as, objects = story.act_as, story.objects
    closing = Story.begin(act_as, objects)
    run = closing.start_run(pipeline_run=closing.pipeline_run(run_id=dag_run))
    lost = RunTransition(state="unknown", cause="lost", owner="reconciler")
    closing.mia.runs.change(closing.project, run.id, lost)
    platform.governance(Caller("system:install")).projects.archive(closing.project, Reason(reason="over"))
    here = story.start_run(pipeline_run=story.pipeline_run(run_id=dag_run))

    mark(airflow, dag_run)

    assert found(closing, run).state == "unknown"
    assert found(story, here).state == "canceled"
