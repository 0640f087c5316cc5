"""A hold and a plan that lets go of what it covers, or what is written beside it, at the same time: in every order the hold wins or came second."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from holdfast.core.errors import PolicyViolation
from holdfast.service.governance import GovernanceService
from holdfast.service.refusals import translate
from holdfast.settings import Platform
from holdfast.wire.hold import HoldQuery, HoldRequest
from holdfast.wire.run import InputRef
from tests.support.disposal import approve_plan, begin, disposer_of, grow_old, make_plan
from tests.support.holds import OFFICERS, bind_officers, hold_on, place
from tests.support.postgres import PostgresServer
from tests.support.race import Gate, held_up
from tests.support.rows import multiply
from tests.support.story import Story

LET_GO = text("SELECT obstacle FROM begin_disposal(:plan, ARRAY[:index]::bigint[])")


@pytest.fixture(scope="module")
def officers(story: Story) -> Story:
    bind_officers(story)
    return story


@pytest.fixture
def fresh(officers: Story) -> Story:
    return Story.begin(officers.act_as, officers.objects)


@pytest.fixture
def due(officers: Story) -> Story:
    """A Project whose objects go after a day."""
    return begin(officers)


@pytest.fixture(scope="module")
def disposer(postgres: PostgresServer, database: tuple[str, str]) -> Iterator[Engine]:
    with disposer_of(postgres, database[0]) as engine:
        yield engine


def together(*calls: Callable[[], None]) -> None:
    """Make calls in threads of their own; each waits at the same barrier and then a few microseconds, another number each time."""
    barrier, failures = threading.Barrier(len(calls)), []

    def run(call: Callable[[], None], pause_s: float) -> None:
        barrier.wait(30)
        time.sleep(pause_s)
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - it is raised in the test's own thread
            failures.append(error)

    pauses = [random.random() * 0.004 for _ in calls]
    threads = [threading.Thread(target=run, args=each) for each in zip(calls, pauses, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def planned(story: Story, platform: Platform, owner: Connection) -> tuple[UUID, dict[UUID, int]]:
    """Return an approved plan of everything in a Project, and which item of it each object is."""
    grow_old(owner)
    plan = approve_plan(story, make_plan(story), platform.engine)
    items = owner.execute(
        text("SELECT object_id, index FROM retention_plan_item WHERE plan_id = :plan"), {"plan": plan.id}
    )
    return plan.id, {row.object_id: row.index for row in items}


def let_go(disposer: Engine, plan: UUID, index: int) -> str | None:
    """Begin to carry one item out, and return what was in its way."""
    with translate(), disposer.begin() as connection:
        return connection.scalars(LET_GO, {"plan": plan, "index": index}).one_or_none()


def state_of(owner: Connection, artifact: UUID) -> str:
    return str(owner.scalar(text("SELECT state FROM artifact WHERE id = :id"), {"id": artifact}))


def racing(story: Story, platform: Platform, owner: Connection, disposer: Engine, times: int) -> tuple[int, int]:
    """Race a hold and a plan so many times, and return how often each came first; fail where both have won."""
    run = story.succeed()
    multiply(owner, "artifact", times, f"run_id = '{run.id}' AND name = 'model'")
    plan, items = planned(story, platform, owner)
    models = list(
        owner.scalars(text("SELECT id FROM artifact WHERE run_id = :run AND name LIKE 'model_%'"), {"run": run.id})
    )
    assert len(models) == times
    held_first = gone_first = 0
    for model in models:
        seen: dict[str, Any] = {}

        def go(model: UUID = model, seen: dict[str, Any] = seen) -> None:
            seen["obstacle"] = let_go(disposer, plan, items[model])

        def hold(model: UUID = model, seen: dict[str, Any] = seen) -> None:
            seen["hold"] = place(story, hold_on("artifact", model, is_expanded=False))
            seen["state_then"] = state_of(owner, model)

        together(go, hold)
        # What was there when the hold was placed is there now.
        state, obstacle = state_of(owner, model), seen["obstacle"]
        assert state == seen["state_then"], (model, seen)
        assert (state == "expired") == (obstacle is None)
        assert obstacle is None or f"it is under legal hold {seen['hold'].name}" in obstacle.split("; ")
        held_first, gone_first = held_first + (obstacle is not None), gone_first + (obstacle is None)
    return held_first, gone_first


def test_a_hold_placed_before_a_deletion_wins_in_every_order(
    due: Story, platform: Platform, owner_sql: Connection, disposer: Engine
) -> None:
    held_first, gone_first = racing(due, platform, owner_sql, disposer, 200)
    assert held_first >= 5
    assert gone_first >= 5


@pytest.mark.soak
def test_a_hold_placed_before_a_deletion_wins_in_thousands_of_orders(
    due: Story, platform: Platform, owner_sql: Connection, disposer: Engine
) -> None:
    assert min(racing(due, platform, owner_sql, disposer, 5000)) >= 100


def officer(story: Story) -> GovernanceService:
    found = story.act_as(OFFICERS[0])
    assert isinstance(found, GovernanceService)
    return found


def maintainer(story: Story) -> GovernanceService:
    found = story.mia
    assert isinstance(found, GovernanceService)
    return found


def test_a_deletion_waits_for_a_hold_that_is_about_to_commit_and_keeps_what_it_covers(
    due: Story, platform: Platform, owner_sql: Connection, disposer: Engine
) -> None:
    model = due.artifact(due.succeed(), "model")
    plan, items = planned(due, platform, owner_sql)
    gate, outcome = Gate("recorded"), list[str | None]()
    placing = threading.Thread(target=replace(officer(due), probe=gate).holds.place, args=(hold_on("artifact", model),))
    placing.start()
    assert gate.reached.wait(30)
    letting = threading.Thread(target=lambda: outcome.append(let_go(disposer, plan, items[model])))
    letting.start()
    letting.join(0.3)
    assert letting.is_alive()
    assert not outcome
    gate.opened.set()
    for thread in (placing, letting):
        thread.join(30)
    [obstacle] = outcome
    assert obstacle is not None
    assert "it is under legal hold" in obstacle


def test_a_hold_waits_for_a_deletion_that_is_about_to_commit_and_keeps_it_from_its_end(
    due: Story, platform: Platform, owner_sql: Connection, disposer: Engine
) -> None:
    model = due.artifact(due.succeed(), "model")
    plan, items = planned(due, platform, owner_sql)
    with disposer.begin() as connection:
        assert connection.scalars(LET_GO, {"plan": plan, "index": items[model]}).one_or_none() is None
        placing = threading.Thread(target=officer(due).holds.place, args=(hold_on("artifact", model),))
        placing.start()
        placing.join(0.3)
        assert placing.is_alive()
    placing.join(30)
    assert state_of(owner_sql, model) == "expired"
    ending = text("SELECT end_disposal(:plan, ARRAY[:index]::bigint[], ARRAY['purged'], ARRAY[''])")
    with pytest.raises(PolicyViolation, match="is under legal hold"), translate(), disposer.begin() as connection:
        connection.execute(ending, {"plan": plan, "index": items[model]})


@pytest.mark.parametrize("order", ["the hold first", "the Run first"])
def test_a_run_that_is_created_while_a_hold_on_its_input_is_placed_is_covered(order: str, fresh: Story) -> None:
    data = fresh.register_dataset()
    request = fresh.run_request(inputs={"data": InputRef(dataset_version=data)})
    calls = (
        lambda governance: governance.holds.place(hold_on("dataset_version", data)),
        lambda governance: governance.runs.create(fresh.project, request),
    )
    if order == "the hold first":
        hold, run = held_up(*calls, officer(fresh), maintainer(fresh))
    else:
        run, hold = held_up(*reversed(calls), maintainer(fresh), officer(fresh))
    covered = fresh.act_as(OFFICERS[0]).holds.objects(hold.name).items
    assert {one.id for one in covered} == {data, run.id}


@pytest.mark.parametrize("order", ["the hold first", "the version first"])
def test_a_version_that_is_registered_while_a_query_is_placed_is_covered(order: str, fresh: Story) -> None:
    first = fresh.register_dataset()
    query = HoldQuery(type="dataset_version", project=fresh.project)
    calls = (
        lambda governance: governance.holds.place(HoldRequest(matter="m", reason="r", query=query)),
        lambda governance: governance.datasets.register(fresh.project, "others", fresh.dataset_request("7,8")),
    )
    if order == "the hold first":
        hold, version = held_up(*calls, officer(fresh), maintainer(fresh))
    else:
        version, hold = held_up(*reversed(calls), maintainer(fresh), officer(fresh))
    covered = fresh.act_as(OFFICERS[0]).holds.objects(hold.name).items
    assert {one.id: one.reached_by for one in covered} == {first: "scope", version.id: "scope"}
