"""Which calls cost a connection its prepared statements: only those that fail after something was asked of the database on their behalf."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from holdfast.core.access import Caller, Unauthenticated
from holdfast.core.errors import NotFound, PolicyViolation
from holdfast.service.access import bearer_of, new_secret
from holdfast.service.governance import GovernanceService
from holdfast.settings import Platform
from holdfast.store.engine import open_engine, read_only
from tests.support.story import Story

WARM = 8  # psycopg prepares a statement that it has seen five times


@pytest.fixture
def engine(platform: Platform) -> Iterator[Engine]:
    """An engine with one connection, so that every call is made on it."""
    made = open_engine(platform.engine.url.render_as_string(hide_password=False), pool_size=1)
    yield made
    made.dispose()


def prepared(engine: Engine) -> set[str]:
    with read_only(engine) as connection:
        return set(connection.exec_driver_sql("SELECT name FROM pg_prepared_statements").scalars())


def on(engine: Engine, platform: Platform, caller: object) -> GovernanceService:
    governed = platform.governance(caller)  # type: ignore[arg-type]
    return GovernanceService(engine, governed.objects, governed.caller)


@pytest.fixture
def warm(engine: Engine, platform: Platform, story: Story) -> set[str]:
    mia = on(engine, platform, Caller("user:mia"))
    for _ in range(WARM):
        run = mia.runs.create(story.project, story.run_request())
        mia.runs.get(story.project, run.id)
    names = prepared(engine)
    assert len(names) > 5
    return names


def test_reading_and_changing_keep_the_prepared_statements(
    engine: Engine, platform: Platform, story: Story, warm: set[str]
) -> None:
    mia = on(engine, platform, Caller("user:mia"))
    mia.runs.get(story.project, mia.runs.create(story.project, story.run_request()).id)
    with pytest.raises(NotFound):
        mia.runs.list("nowhere")
    assert warm <= prepared(engine)


def test_who_is_not_let_in_cannot_make_the_database_plan_everything_anew(
    engine: Engine, platform: Platform, story: Story, warm: set[str]
) -> None:
    request, unknown = story.run_request(), bearer_of(new_secret(story.pipeline_run())[0], Caller(""))
    for caller, refusal in (
        (Caller("user:vera"), PolicyViolation),
        (Caller("user:nobody"), NotFound),
        (unknown, Unauthenticated),
    ):
        with pytest.raises(refusal):
            on(engine, platform, caller).runs.create(story.project, request, key=secrets.token_hex(8))
        assert warm <= prepared(engine), caller
