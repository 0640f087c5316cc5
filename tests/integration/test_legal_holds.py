"""Legal holds on a real database: what they cover, that it cannot go, and how one ends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from holdfast.core.errors import InvalidRequest, NotFound, PolicyViolation, StateConflict
from holdfast.service.refusals import translate
from holdfast.settings import Platform
from holdfast.store.tables import Table
from holdfast.wire.hold import HoldQuery, HoldRequest, HoldScope
from holdfast.wire.run import InputRef
from tests.integration.test_database_guards import refusal
from tests.support.holds import OFFICERS, ask, bind_officers, cool_off, decide, hold_on, no_plan_needed, place, release
from tests.support.postgres import PostgresServer
from tests.support.story import Story


@pytest.fixture(scope="module")
def held(story: Story) -> Story:
    bind_officers(story)
    return story


@pytest.fixture
def fresh(held: Story) -> Story:
    """Another Project, so that no hold of another test covers what is in it."""
    return Story.begin(held.act_as, held.objects)


@pytest.fixture
def thief(database: tuple[str, str]) -> Iterator[Connection]:
    engine = create_engine(database[1], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET search_path = holdfast"))
        yield connection
    engine.dispose()


def query(story: Story, **more: object) -> HoldRequest:
    found = HoldQuery(**{"type": "artifact", "project": story.project, **more})
    return HoldRequest(matter="Doe v. Clinic", reason="a letter of counsel", query=found)


def covered(story: Story, name: str) -> dict[UUID, str]:
    """Return how each object was reached that a hold covers."""
    page = story.act_as(OFFICERS[0]).holds.objects(name, limit=500)
    return {one.id: one.reached_by.value for one in page.items}


EXPIRE = "UPDATE {table} SET state = 'expired' WHERE id = :id"


def test_what_is_held_is_neither_expired_nor_purged_by_the_service(
    fresh: Story, thief: Connection, owner_sql: Connection
) -> None:
    run = fresh.succeed()
    model, metrics = fresh.artifact(run, "model"), fresh.artifact(run, "metrics")
    hold = place(fresh, hold_on("artifact", model, is_expanded=False))
    assert (hold.state, hold.objects, hold.placed_by) == ("placed", {"artifact": 1}, "user:sofia")
    assert refusal(thief, EXPIRE.format(table="artifact"), id=model) == "HF008"
    with pytest.raises(PolicyViolation, match=f"is under legal hold {hold.name} .matter Doe v. Clinic."), translate():
        thief.execute(text(EXPIRE.format(table="artifact")), {"id": model})
    with no_plan_needed(owner_sql, "artifact"):
        assert refusal(thief, EXPIRE.format(table="artifact"), id=model) == "HF008"
        thief.execute(text(EXPIRE.format(table="artifact")), {"id": metrics})


@pytest.mark.parametrize("table", ["artifact", "dataset_version"])
def test_what_was_expired_before_the_hold_is_not_purged_after_it(
    table: str, fresh: Story, thief: Connection, owner_sql: Connection
) -> None:
    run = fresh.succeed()
    its = fresh.artifact(run, "model") if table == "artifact" else run.inputs[0].dataset_version
    with no_plan_needed(owner_sql, table):
        thief.execute(text(EXPIRE.format(table=table)), {"id": its})
        place(fresh, hold_on(table, its))
        for connection in (thief, owner_sql):
            assert refusal(connection, f"UPDATE {table} SET state = 'purged' WHERE id = :id", id=its) == "HF008"


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("artifact", "run_id"),
        ("run", "id"),
        ("run_input", "run_id"),
        ("dataset_version", "id"),
        ("dataset_file", "dataset_version_id"),
        ("model_version", "id"),
        ("model_version_artifact", "model_version_id"),
    ],
)
def test_no_row_of_what_is_held_is_deleted_where_the_other_guards_sleep(
    table: str, column: str, fresh: Story, owner_sql: Connection
) -> None:
    version = fresh.register_model()
    data = fresh.mia.runs.get(fresh.project, version.source_run).inputs[0].dataset_version
    named = {"dataset_version": data, "dataset_file": data, "model_version": version.id}
    named |= {"model_version_artifact": version.id}
    place(fresh, hold_on("model_version", version.id))
    owner_sql.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_guard"))
    try:
        statement = f"DELETE FROM {table} WHERE {column} = :id"
        assert refusal(owner_sql, statement, id=named.get(table, version.source_run)) == "HF008"
    finally:
        owner_sql.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER {table}_guard"))


def test_nobody_takes_a_hold_away(
    fresh: Story, thief: Connection, owner_sql: Connection, database: tuple[str, str], postgres: PostgresServer
) -> None:
    hold = place(fresh, hold_on("run", fresh.succeed().id))
    here = f"WHERE id = '{hold.id}'"
    logins = {
        role: postgres.create_login(f"x{secrets.token_hex(4)}", member_of=role)
        for role in ("holdfast_disposer", "holdfast_reader", "holdfast_auditor")
    }
    name = str(make_url(database[0]).database)
    statements = {
        "DELETE FROM legal_hold " + here: "HF001",
        "DELETE FROM legal_hold_object": "HF001",
        "TRUNCATE legal_hold CASCADE": "HF001",
        "TRUNCATE legal_hold_object": "HF001",
        "TRUNCATE project CASCADE": "HF001",
        f"UPDATE legal_hold SET released_at = now() {here}": "HF009",
        f"UPDATE legal_hold SET matter = 'another' {here}": "HF001",
        f"UPDATE legal_hold SET cooling_off_s = 3600 {here}": "HF001",
        "UPDATE legal_hold_object SET object_id = gen_random_uuid()": "HF001",
        "UPDATE legal_hold_object SET lock_state = 'released', read_back_at = now() WHERE lock_state IS NOT NULL": "HF009",
    }
    for statement, state in statements.items():
        assert refusal(owner_sql, statement) == state, statement
    for statement in statements:
        assert refusal(thief, statement) in ("42501", "HF001", "HF009"), statement
    for statement in (
        "DROP TRIGGER artifact_hold_guard ON artifact",
        "ALTER TABLE artifact DISABLE TRIGGER ALL",
        "ALTER TABLE legal_hold DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION holdfast.guard_held() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        (
            "INSERT INTO legal_hold_object (hold_id, object_type, object_id, reached_by)"
            f" VALUES ('{hold.id}', 'run', gen_random_uuid(), 'scope')"
        ),
        "SELECT holdfast.lock_holds('{}', true)",
        f"SELECT holdfast.extend_hold('{hold.id}', 'run', '{{}}', 'scope', NULL, NULL, NULL)",
    ):
        assert refusal(thief, statement) == "42501", statement
    assert refusal(thief, f"SELECT place_hold('{hold.id}', '{{}}', '{{}}', NULL)") == "HF001"
    for login in logins.values():
        engine = create_engine(postgres.url(name, login), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("SET search_path = holdfast"))
            for statement in statements:
                assert refusal(connection, statement) == "42501", statement
        engine.dispose()


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_nothing_is_let_go_under_a_snapshot_that_may_be_older_than_a_hold(
    level: str, fresh: Story, database: tuple[str, str]
) -> None:
    model = fresh.artifact(fresh.succeed(), "model")
    engine = create_engine(database[1], isolation_level=level)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1 FROM holdfast.artifact"))
        place(fresh, hold_on("artifact", model))
        assert refusal(connection, "UPDATE holdfast.artifact SET state = 'expired' WHERE id = :id", id=model) == "HF008"
    engine.dispose()


def test_a_hold_is_expanded_to_what_came_of_it_and_all_that_went_into_that(fresh: Story) -> None:
    base = fresh.succeed(task_id="base")
    data = base.inputs[0].dataset_version
    other = fresh.mia.datasets.register(fresh.project, "others", fresh.dataset_request("7,8")).id
    inputs = {"base": InputRef(artifact=fresh.artifact(base, "model")), "more": InputRef(dataset_version=other)}
    tuned = fresh.succeed(inputs=inputs)
    version = fresh.register_model(tuned)
    beside = fresh.succeed(inputs={"data": InputRef(dataset_version=other)})

    hold = place(fresh, hold_on("dataset_version", data))

    found = covered(fresh, hold.name)
    made = {a.id for run in (base, tuned) for a in fresh.mia.artifacts.list(fresh.project, run=run.id).items}
    assert {one for one, how in found.items() if how == "scope"} == {data}
    assert {one for one, how in found.items() if how == "downstream"} == {base.id, tuned.id, version.id, *made}
    assert {one for one, how in found.items() if how == "upstream"} == {other}
    assert beside.id not in found
    page = fresh.act_as(OFFICERS[0]).holds.objects(hold.name, limit=500).items
    came = {one.id: (one.from_type, one.from_id) for one in page}
    assert came[base.id] == ("dataset_version", data)
    assert came[other] == ("run", tuned.id)
    assert hold.objects == {"artifact": 6, "dataset_version": 2, "model_version": 1, "run": 2}


def test_a_hold_on_a_model_version_goes_back_to_its_data_and_holds_its_runs_whole(fresh: Story) -> None:
    version = fresh.register_model()
    again = fresh.succeed(task_id="later")
    run = fresh.mia.runs.get(fresh.project, version.source_run)
    found = covered(fresh, place(fresh, hold_on("model_version", version.id)).name)
    made = {a.id for a in fresh.mia.artifacts.list(fresh.project, run=run.id).items}
    assert found == {version.id: "scope", **dict.fromkeys([run.id, run.inputs[0].dataset_version, *made], "upstream")}
    assert again.id not in found  # it read the same data, and nothing that is held came of it


def test_without_expansion_a_hold_covers_what_it_names_and_nothing_else(fresh: Story) -> None:
    run = fresh.succeed()
    hold = place(fresh, hold_on("run", run.id, is_expanded=False))
    assert covered(fresh, hold.name) == {run.id: "scope"}


def test_what_is_written_later_is_covered_and_has_its_event(fresh: Story) -> None:
    data = fresh.register_dataset()
    hold = place(fresh, hold_on("dataset_version", data))
    other = fresh.mia.datasets.register(fresh.project, "others", fresh.dataset_request("7,8")).id
    run = fresh.start_run(inputs={"data": InputRef(dataset_version=data), "more": InputRef(dataset_version=other)})
    assert covered(fresh, hold.name) == {data: "scope", run.id: "downstream", other: "upstream"}
    fresh.finish_run(run)
    version = fresh.register_model(run)
    made = {a.id for a in fresh.mia.artifacts.list(fresh.project, run=run.id).items}
    later = dict.fromkeys([run.id, version.id, *made], "downstream")
    assert covered(fresh, hold.name) == {data: "scope", other: "upstream", **later}
    events = [e for e in fresh.mia.audit.list(fresh.project, limit=500).items if e.action == "legal_hold.extended"]
    assert {(e.content["type"], e.content["count"]) for e in events} == {
        ("run", 2),
        ("artifact", 3),
        ("model_version", 1),
    }
    assert {e.target_id for e in events} == {str(hold.id)}
    assert all(e.initiator == "user:mia" for e in events)


def test_a_query_covers_what_there_is_and_what_comes(fresh: Story) -> None:
    first = fresh.artifact(fresh.succeed(), "model")
    hold = place(fresh, query(fresh, name="mod*"))
    assert covered(fresh, hold.name)[first] == "scope"
    second = fresh.succeed(task_id="again")
    found = covered(fresh, hold.name)
    assert found[fresh.artifact(second, "model")] == "scope"
    assert found[second.id] == found[fresh.artifact(second, "metrics")] == "upstream"
    shown = fresh.act_as(OFFICERS[0]).holds.get(hold.name)
    assert shown.query is not None
    assert (shown.query.project, shown.query.name, shown.query.type) == (fresh.project, "mod*", "artifact")


@pytest.mark.parametrize(
    ("given", "is_found"),
    [
        ({"label": "tumours"}, True),
        ({"label": "others"}, False),
        ({"kind": "file"}, True),
        ({"kind": "s3"}, False),
        ({"name": "tum?urs"}, True),
        ({"name": "tum%"}, False),
        ({"name": "tumour_"}, False),
        ({"created_after": datetime.now(UTC) - timedelta(days=1)}, True),
        ({"created_after": datetime.now(UTC) + timedelta(days=1)}, False),
        ({"created_before": datetime.now(UTC) - timedelta(days=1)}, False),
    ],
)
def test_a_query_says_what_it_means(given: dict[str, object], is_found: bool, fresh: Story) -> None:
    fresh.register_dataset()
    asked = query(fresh, type="dataset_version", **given)
    scope = HoldScope(query=asked.query)
    assert fresh.act_as(OFFICERS[0]).holds.coverage(scope).total == is_found
    if is_found:
        assert place(fresh, asked).objects == {"dataset_version": 1}
    else:
        with pytest.raises(InvalidRequest, match="on nothing"):
            place(fresh, asked)


def test_what_a_hold_would_cover_is_what_it_then_covers(fresh: Story) -> None:
    version = fresh.register_model()
    data = fresh.mia.runs.get(fresh.project, version.source_run).inputs[0].dataset_version
    asked = hold_on("dataset_version", data)
    scope = HoldScope(**asked.model_dump(include={"objects", "query", "is_expanded"}))
    said = fresh.act_as(OFFICERS[0]).holds.coverage(scope)
    assert said.objects == place(fresh, asked).objects
    assert said.total == 6


def test_a_hold_on_nothing_or_on_too_much_is_refused(fresh: Story) -> None:
    missing = uuid4()
    with pytest.raises(InvalidRequest, match=f"there is no artifact {missing} to hold"):
        place(fresh, hold_on("artifact", missing))
    with pytest.raises(InvalidRequest, match="there is no Project 'nowhere'"):
        place(fresh, query(fresh, project="nowhere"))
    data = fresh.succeed().inputs[0].dataset_version
    with pytest.raises(InvalidRequest, match="more than 3 objects"):
        place(fresh, hold_on("dataset_version", data, at_most=3))
    with pytest.raises(ValueError, match="name one of the two"):
        hold_on("artifact")
    with pytest.raises(ValueError, match="it says nothing"):
        hold_on("dataset_version", data, matter=" ")


def test_who_is_no_security_officer_of_the_platform_places_and_sees_no_hold(fresh: Story) -> None:
    asked = hold_on("run", fresh.succeed().id)
    hold = place(fresh, asked)
    for holds in (fresh.mia.holds, fresh.olaf.holds, fresh.vera.holds):
        for call in (partial(holds.place, asked), partial(holds.get, hold.name), holds.list):
            with pytest.raises(PolicyViolation, match="may not legal_hold"):
                call()
    with pytest.raises(NotFound, match="no legal hold LH-999999"):
        fresh.act_as(OFFICERS[0]).holds.get("LH-999999")
    with pytest.raises(InvalidRequest, match="names no legal hold"):
        fresh.act_as(OFFICERS[0]).holds.get("12")


def test_a_hold_is_released_by_two_people_after_it_has_cooled_off_and_nothing_goes_then(
    fresh: Story, thief: Connection, owner_sql: Connection
) -> None:
    model = fresh.artifact(fresh.succeed(), "model")
    hold = place(fresh, hold_on("artifact", model))
    asked = ask(fresh, hold)
    assert (asked.state, asked.cooling_off_s) == ("release_requested", 86400)
    assert asked.releases[0].approvable_at - asked.releases[0].requested_at == timedelta(days=1)
    with pytest.raises(StateConflict, match="cools off until"):
        decide(fresh, hold)
    cool_off(owner_sql, hold)
    with pytest.raises(PolicyViolation, match="asked for the release"):
        decide(fresh, hold, principal=OFFICERS[0])
    assert refusal(thief, EXPIRE.format(table="artifact"), id=model) == "HF008"
    released = decide(fresh, hold)
    assert (released.state, released.releases[0].decided_by) == ("released", "user:sam")
    assert fresh.mia.artifacts.get(fresh.project, model).state == "available"
    with pytest.raises(StateConflict, match="does not come back"):
        ask(fresh, hold)
    with no_plan_needed(owner_sql, "artifact"):
        thief.execute(text(EXPIRE.format(table="artifact")), {"id": model})
    events = fresh.act_as("system:install").audit.list(None, target=str(hold.id)).items
    assert [(e.action, e.outcome) for e in reversed(events)] == [
        ("legal_hold.placed", "succeeded"),
        ("legal_hold.release_requested", "succeeded"),
        ("legal_hold.released", "refused"),
        ("legal_hold.released", "refused"),
        ("legal_hold.released", "succeeded"),
        ("legal_hold.release_requested", "refused"),
    ]


def test_a_rejected_release_leaves_the_hold_and_another_may_be_asked_for(fresh: Story) -> None:
    hold = place(fresh, hold_on("run", fresh.succeed().id))
    ask(fresh, hold)
    with pytest.raises(StateConflict, match="release_requested"):
        ask(fresh, hold, OFFICERS[1])
    assert decide(fresh, hold, "reject").state == "placed"
    assert len(ask(fresh, hold, OFFICERS[1]).releases) == 2


def test_only_people_release(fresh: Story) -> None:
    hold = place(fresh, hold_on("run", fresh.succeed().id))
    with pytest.raises(PolicyViolation, match="is no person"):
        ask(fresh, hold, "system:install")
    ask(fresh, hold)
    with pytest.raises(PolicyViolation, match="is no person"):
        decide(fresh, hold, principal="system:install")


def test_the_database_holds_the_rules_of_a_release(fresh: Story, thief: Connection, owner_sql: Connection) -> None:
    hold = place(fresh, hold_on("run", fresh.succeed().id))
    ask(fresh, hold)
    decision = "UPDATE legal_hold_release SET decision = 'approve', decided_by = '{who}', decided_at = {at} WHERE hold_id = :id"
    assert refusal(thief, decision.format(who="user:sam", at="now()"), id=hold.id) == "HF009"
    cool_off(owner_sql, hold)
    assert refusal(thief, decision.format(who="user:sofia", at="now()"), id=hold.id) == "23514"
    assert refusal(thief, decision.format(who="token:x", at="now()"), id=hold.id) == "23514"
    assert refusal(thief, decision.format(who="user:sam", at="now() - interval '1 h'"), id=hold.id) == "HF001"
    second = "INSERT INTO legal_hold_release (id, hold_id, requested_by, reason) VALUES (gen_random_uuid(), :id, 'user:x', 'r')"
    assert refusal(thief, second, id=hold.id) == "23505"
    thief.execute(text(decision.format(who="user:sam", at="now()")), {"id": hold.id})
    # Approved before, and not now: the hold is released in the transaction of its approval or never.
    assert refusal(thief, "UPDATE legal_hold SET released_at = now() WHERE id = :id", id=hold.id) == "HF009"
    assert refusal(thief, decision.format(who="user:sam", at="now()"), id=hold.id) == "HF002"
    early = "INSERT INTO legal_hold (id, matter, custodians, reason, is_expanded, cooling_off_s, placed_by)"
    assert refusal(thief, f"{early} VALUES (gen_random_uuid(), 'm', '{{}}', 'r', true, 0, 'user:x')") == "23514"


def test_a_released_hold_covers_nothing_more(fresh: Story, owner_sql: Connection) -> None:
    data = fresh.register_dataset()
    hold = place(fresh, hold_on("dataset_version", data))
    by_query = place(fresh, query(fresh, type="dataset_version"))
    for one in (hold, by_query):
        release(fresh, one, owner_sql)
    fresh.succeed(inputs={"data": InputRef(dataset_version=data)})
    assert covered(fresh, hold.name) == covered(fresh, by_query.name) == {data: "scope"}


def test_what_two_holds_cover_stays_while_one_is_left(fresh: Story, thief: Connection, owner_sql: Connection) -> None:
    model = fresh.artifact(fresh.succeed(), "model")
    first, second = (place(fresh, hold_on("artifact", model, is_expanded=False)) for _ in range(2))
    release(fresh, first, owner_sql)
    with pytest.raises(PolicyViolation, match=f"under legal hold {second.name} "), translate():
        thief.execute(text(EXPIRE.format(table="artifact")), {"id": model})


def test_the_same_key_places_one_hold(fresh: Story) -> None:
    asked, key = hold_on("run", fresh.succeed().id), secrets.token_hex(8)
    holds = fresh.act_as(OFFICERS[0]).holds
    assert holds.place(asked, key=key) == holds.place(asked, key=key)


def test_every_table_that_may_lose_what_is_held_is_guarded(platform: Platform, owner_sql: Connection) -> None:
    with_state = {t.name for t in Table.metadata.sorted_tables if "state" in t.c and "expired" in str(t.constraints)}
    guarded = owner_sql.scalars(
        text("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE '%\\_hold\\_guard'")
    )
    assert with_state <= set(guarded)
