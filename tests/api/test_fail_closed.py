"""No event, no change: with the disk of the events full, and with the connection cut; and what a sequencer that is down means, and does not."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, create_engine, text

from holdfast.settings import Platform
from tests.support.disk import events_on_a_small_disk
from tests.support.postgres import PostgresServer
from tests.support.server import serve
from tests.support.story import Story
from tests.support.trail import state_of

MOST_CALLS = 400
AS_SYSTEM = {"Authorization": "Bearer system:install"}


def keyed() -> dict[str, str]:
    return {**AS_SYSTEM, "Idempotency-Key": secrets.token_hex(8)}


def calls(story: Story) -> dict[str, Callable[[httpx.Client], httpx.Response]]:
    """Return some calls of each kind that succeed however often."""
    below = f"/projects/{story.project}"
    run = story.run_request().model_dump(mode="json")

    def post(path: str, body: Callable[[], dict[str, Any]]) -> Callable[[httpx.Client], httpx.Response]:
        return lambda http: http.post(path, json=body(), headers=keyed())

    return {
        "a Project": post("/projects", lambda: {"name": f"p{secrets.token_hex(6)}", "owner": "o"}),
        "a role": post("/bindings", lambda: {"subject": f"user:{secrets.token_hex(6)}", "role": "viewer"}),
        "a token": post(f"{below}/tokens", lambda: {"name": "t", "scope": ["project.read"]}),
        "a PipelineRun": post(f"{below}/pipeline-runs", lambda: {"dag_id": "d", "run_id": secrets.token_hex(6)}),
        "a Run": post(
            f"{below}/runs", lambda: {**run, "idempotency_key": secrets.token_hex(32), "task_id": secrets.token_hex(4)}
        ),
        "a read of tokens": lambda http: http.get(f"{below}/tokens", headers=AS_SYSTEM),
        "a denied call": lambda http: http.get("/audit-events", headers={"Authorization": "Bearer user:nobody"}),
    }


def check_refused(reply: httpx.Response, said: str) -> None:
    assert (reply.status_code, reply.headers["content-type"]) == (503, "application/problem+json"), reply.text
    assert said in reply.json()["detail"]
    assert reply.json()["remedy"]
    assert reply.headers["retry-after"]


def test_with_the_disk_of_the_events_full_nothing_is_done_and_then_it_goes_on(
    story: Story, http: httpx.Client, owner_sql: Connection, postgres: PostgresServer
) -> None:
    given = calls(story)
    with events_on_a_small_disk(postgres, owner_sql, 8 << 20) as disk:
        disk.fill()
        # What is left of the pages that there are is used up first: until one call of the first kind is refused.
        made = [given["a Project"](http)]
        while made[-1].status_code == 201 and len(made) < MOST_CALLS:
            made.append(given["a Project"](http))
        check_refused(made[-1], "no space left")
        owner_sql.execute(text("CHECKPOINT"))
        refused = 0
        for name, call in given.items():
            before = state_of(owner_sql)
            reply = call(http)
            if reply.status_code == 503:
                refused += 1
                check_refused(reply, "no space left")
                assert state_of(owner_sql) == before, name
        assert refused >= 2
        disk.free()
        for name, call in given.items():
            assert call(http).status_code in (200, 201, 403), name


def test_with_the_connection_cut_in_the_middle_nothing_is_done(
    story: Story, http: httpx.Client, owner_sql: Connection, database: tuple[str, str]
) -> None:
    login = create_engine(database[1]).url.username
    waiting = text(
        "SELECT pid FROM pg_stat_activity WHERE usename = :login AND wait_event_type = 'Lock' AND datname = current_database()"
    )
    engine = create_engine(database[0])
    for name, call in calls(story).items():
        before = state_of(owner_sql)
        replies: list[httpx.Response] = []
        with engine.begin() as other:
            # Everything is applied and nothing recorded yet when the wire breaks.
            other.execute(text("LOCK TABLE holdfast.audit_event IN SHARE MODE"))
            thread = threading.Thread(target=lambda call=call, replies=replies: replies.append(call(http)))
            thread.start()
            deadline = time.monotonic() + 30
            while not (found := owner_sql.scalars(waiting, {"login": login}).all()):
                assert time.monotonic() < deadline, name
                time.sleep(0.02)
            for pid in found:
                owner_sql.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            thread.join(60)
        check_refused(replies[0], "does not answer")
        assert state_of(owner_sql) == before, name
        assert call(http).status_code in (200, 201, 403), name
    engine.dispose()


@pytest.fixture
def impatient(platform: Platform) -> Iterator[httpx.Client]:
    """The API of an installation in which an event may wait for a second."""
    settings = platform.settings.model_copy(update={"proof_age_limit_s": 1})
    with serve(replace(platform, settings=settings)) as url, httpx.Client(base_url=url, headers=AS_SYSTEM) as client:
        yield client


def test_without_a_sequencer_changes_go_on_the_proof_age_rises_and_the_alert_condition_is_visible(
    story: Story, impatient: httpx.Client
) -> None:
    story.register_dataset()
    seen = [impatient.get("/ledger/status").json()]
    while not seen[-1]["is_behind"]:
        assert len(seen) < 100
        made = impatient.post("/projects", json={"name": f"p{secrets.token_hex(6)}", "owner": "o"}, headers=keyed())
        assert made.status_code == 201
        time.sleep(0.1)
        seen.append(impatient.get("/ledger/status").json())
    ages = [one["proof_age_s"] for one in seen]
    assert ages == sorted(ages)
    assert ages[-1] > 1
    assert seen[-1]["waiting"] > 0
    assert (seen[-1]["limit_s"], seen[-1]["size"]) == (1, 0)


def test_how_far_the_log_has_come_is_for_who_may_read_the_trail(http: httpx.Client) -> None:
    assert http.get("/ledger/status", headers=AS_SYSTEM).status_code == 200
    assert http.get("/ledger/status", headers={"Authorization": "Bearer user:vera"}).status_code == 403
