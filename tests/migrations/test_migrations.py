"""Up, rows, down, up; and a database that is not what it should be is said to be so."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from holdfast.core.access import Caller
from holdfast.core.audit import AuditAction
from holdfast.core.errors import InvalidRequest, StateConflict, Unavailable
from holdfast.settings import Platform, Settings
from holdfast.store import migrate
from tests.support.disposal import approve_plan, begin, disposer_of, grow_old, make_plan
from tests.support.postgres import PostgresServer
from tests.support.story import Story


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    name = f"m_{secrets.token_hex(6)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


def execute(url: str, statement: str) -> object:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        found = connection.execute(text(statement))
        value = found.scalar() if found.returns_rows else None
    engine.dispose()
    return value


def test_up_rows_down_and_up_again(empty: str, settings: Settings, postgres: PostgresServer) -> None:
    head = migrate.upgrade(empty)
    platform = Platform.open(settings.model_copy(update={"database_url": settings.database_url.__class__(empty)}))
    Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects).register_model()
    platform.close()
    assert execute(empty, "SELECT count(*) FROM holdfast.run") == 1
    assert migrate.downgrade(empty, "0001") == "0001"
    assert execute(empty, "SELECT count(*) FROM holdfast.run") == 1
    assert migrate.upgrade(empty) == head
    assert migrate.check(empty) == []
    assert migrate.downgrade(empty, "base") is None
    assert execute(empty, "SELECT to_regclass('holdfast.run') IS NULL") is True
    assert migrate.upgrade(empty) == head
    assert migrate.upgrade(empty) == head


# Functions, triggers, constraints and privileges, as PostgreSQL's own catalogue has them; later revisions make objects in another order.
PICTURE = """
    SELECT p.oid::regprocedure::text AS name, pg_get_functiondef(p.oid) || COALESCE(p.proacl::text, '') AS its
    FROM pg_proc p WHERE p.pronamespace = 'holdfast'::regnamespace AND p.proname <> 'class_of_action'
    UNION ALL SELECT tgrelid::regclass || ' ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'holdfast'::regnamespace
    UNION ALL SELECT c.relname || '.' || COALESCE(a.attname, ''), concat(c.relacl::text, a.attacl::text) FROM pg_class c
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relnamespace = 'holdfast'::regnamespace
"""


def picture(url: str) -> dict[str, str]:
    """Return what a schema holds beside its rows, and of which class each action's events are."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {str(row.name): str(row.its) for row in connection.execute(text(PICTURE))}
        for action in AuditAction:
            statement = text("SELECT holdfast.class_of_action(:action)")
            found[f"class of {action}"] = str(connection.scalar(statement, {"action": action}))
    engine.dispose()
    return found


def test_the_way_back_from_retention_plans_leaves_what_was_before_them(empty: str) -> None:
    migrate.upgrade(empty, "0009")
    before = picture(empty)
    migrate.upgrade(empty, "0010")
    after = picture(empty)
    assert {name for name in before if name.startswith("class of ") and after[name] != before[name]} == {
        "class of artifact.purged",
        "class of dataset_version.purged",
        "class of retention_plan.certified",
    }
    migrate.downgrade(empty, "0009")
    assert picture(empty) == before


def test_there_is_no_way_back_while_a_retention_plan_is_being_carried_out(
    empty: str, settings: Settings, postgres: PostgresServer
) -> None:
    head = migrate.upgrade(empty)
    platform = Platform.open(settings.model_copy(update={"database_url": settings.database_url.__class__(empty)}))
    story = begin(Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects))
    story.succeed()
    with create_engine(empty).connect() as owner:
        owner.execute(text("SET search_path = holdfast"))
        grow_old(owner)
    plan = approve_plan(story, make_plan(story), platform.engine)
    platform.close()
    with disposer_of(postgres, empty) as engine, engine.begin() as connection:
        connection.execute(text("SELECT begin_disposal(:plan, '{0}')"), {"plan": plan.id})
    with pytest.raises(StateConflict, match="is being carried out"):
        migrate.downgrade(empty, "0009")
    assert migrate.current(empty) == head
    assert execute(empty, "SELECT count(*) FROM holdfast.retention_plan_item WHERE state = 'purging'") == 1


def test_the_tables_are_what_the_models_say(database: tuple[str, str]) -> None:
    assert migrate.check(database[0]) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE holdfast.run ADD COLUMN note text", "note"),
        ("DROP TRIGGER audit_event_guard ON holdfast.audit_event", "audit_event has lost its guard"),
        ("ALTER TABLE holdfast.run DISABLE TRIGGER run_guard", "run has lost its guard"),
        (
            "CREATE OR REPLACE FUNCTION holdfast.guard_update_of_run() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
            "run has lost its guard: column seal can be changed",
        ),
        ("DROP INDEX holdfast.run_state_ix", "run_state_ix"),
    ],
)
def test_a_database_that_was_changed_by_hand_is_noticed(empty: str, change: str, named: str) -> None:
    migrate.upgrade(empty)
    execute(empty, change)
    assert named in "\n".join(migrate.check(empty))


def test_a_database_behind_its_version_says_what_to_run(empty: str) -> None:
    migrate.upgrade(empty, "0001")
    assert "holdfast db upgrade" in migrate.check(empty)[0]


def test_two_migrations_at_once_do_not_mix(empty: str) -> None:
    engine = create_engine(empty)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrate._RUNNER_LOCK})
        with pytest.raises(StateConflict, match="another migration"):
            migrate.upgrade(empty)
    engine.dispose()
    assert migrate.current(empty) is None


def test_a_login_without_the_privilege_is_told_which(empty: str, postgres: PostgresServer) -> None:
    login = f"l_{secrets.token_hex(6)}"
    postgres.execute(f"CREATE ROLE {login} LOGIN")
    with pytest.raises(InvalidRequest, match="lacks a privilege"):
        migrate.upgrade(empty.replace("postgres@", f"{login}@"))


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        migrate.upgrade("postgresql+psycopg://nobody@127.0.0.1:1/nothing")


def test_a_revision_that_is_not_there_is_named(empty: str) -> None:
    with pytest.raises(InvalidRequest, match="9999"):
        migrate.upgrade(empty, "9999")
