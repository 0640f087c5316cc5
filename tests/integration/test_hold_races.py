"""A hold and what would let go of what it covers, or would write beside it, at the same time: in every order the hold wins or came second."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from holdfast.core.errors import HoldfastError
from holdfast.service.governance import GovernanceService
from holdfast.service.refusals import translate
from holdfast.settings import Platform
from holdfast.wire.hold import HoldQuery, HoldRequest
from holdfast.wire.run import InputRef
from tests.support.holds import OFFICERS, bind_officers, hold_on, place
from tests.support.race import Gate, held_up
from tests.support.rows import multiply
from tests.support.story import Story

LET_GO = text("UPDATE holdfast.artifact SET state = 'expired' WHERE id = :id")


@pytest.fixture(scope="module")
def officers(story: Story) -> Story:
    bind_officers(story)
    return story


@pytest.fixture
def fresh(officers: Story) -> Story:
    return Story.begin(officers.act_as, officers.objects)


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


def racing(story: Story, platform: Platform, owner: Connection, engine: Engine, times: int) -> tuple[int, int]:
    """Race a hold and an expiry so many times, and return how often each came first; fail where both have won."""
    run = story.succeed()
    multiply(owner, "artifact", times, f"run_id = '{run.id}' AND name = 'model'")
    models = list(
        owner.scalars(text("SELECT id FROM artifact WHERE run_id = :run AND name LIKE 'model_%'"), {"run": run.id})
    )
    assert len(models) == times
    held_first = gone_first = 0
    for model in models:
        seen: dict[str, Any] = {}

        def let_go(model: UUID = model, seen: dict[str, Any] = seen) -> None:
            try:
                with translate(), engine.begin() as connection:
                    connection.execute(LET_GO, {"id": model})
                    seen["asked_at"] = connection.scalar(text("SELECT clock_timestamp()"))
                seen["gone"] = True
            except HoldfastError as refusal:
                seen["gone"] = False
                seen["refusal"] = str(refusal)

        def hold(model: UUID = model, seen: dict[str, Any] = seen) -> None:
            seen["hold"] = place(story, hold_on("artifact", model, is_expanded=False))
            with engine.connect() as connection:
                seen["state_then"] = connection.scalar(
                    text("SELECT state FROM holdfast.artifact WHERE id = :id"), {"id": model}
                )

        together(let_go, hold)
        # What was there when the hold was placed is there now.
        with engine.connect() as connection:
            state = connection.scalar(text("SELECT state FROM holdfast.artifact WHERE id = :id"), {"id": model})
        assert state == seen["state_then"], (model, seen)
        assert (state == "expired") == seen["gone"]
        assert seen["gone"] or "is under legal hold" in seen["refusal"]
        held_first, gone_first = held_first + (not seen["gone"]), gone_first + seen["gone"]
    return held_first, gone_first


@pytest.fixture
def engine(database: tuple[str, str]) -> Engine:
    return create_engine(database[1], pool_size=4)


def test_a_hold_placed_before_a_deletion_wins_in_every_order(
    fresh: Story, platform: Platform, owner_sql: Connection, engine: Engine
) -> None:
    held_first, gone_first = racing(fresh, platform, owner_sql, engine, 200)
    assert held_first >= 5
    assert gone_first >= 5


@pytest.mark.soak
def test_a_hold_placed_before_a_deletion_wins_in_thousands_of_orders(
    fresh: Story, platform: Platform, owner_sql: Connection, engine: Engine
) -> None:
    assert min(racing(fresh, platform, owner_sql, engine, 5000)) >= 100


def officer(story: Story) -> GovernanceService:
    found = story.act_as(OFFICERS[0])
    assert isinstance(found, GovernanceService)
    return found


def maintainer(story: Story) -> GovernanceService:
    found = story.mia
    assert isinstance(found, GovernanceService)
    return found


def test_a_deletion_waits_for_a_hold_that_is_about_to_commit_and_is_refused(fresh: Story, engine: Engine) -> None:
    model = fresh.artifact(fresh.succeed(), "model")
    gate, outcome = Gate("recorded"), {}

    def let_go() -> None:
        try:
            with translate(), engine.begin() as connection:
                connection.execute(LET_GO, {"id": model})
            outcome["gone"] = True
        except HoldfastError as refusal:
            outcome["refusal"] = str(refusal)

    placing = threading.Thread(
        target=replace(officer(fresh), probe=gate).holds.place, args=(hold_on("artifact", model),)
    )
    placing.start()
    assert gate.reached.wait(30)
    letting = threading.Thread(target=let_go)
    letting.start()
    letting.join(0.3)
    assert letting.is_alive()
    assert not outcome
    gate.opened.set()
    for thread in (placing, letting):
        thread.join(30)
    assert "is under legal hold" in outcome["refusal"]


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
