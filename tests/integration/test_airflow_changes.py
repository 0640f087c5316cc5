"""Rows of Airflow's database, watched through SQLAlchemy: on tables of the same names, by every way in which code changes rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, ForeignKey, Table, create_engine, delete, insert, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from holdfast.core.access import Caller
from holdfast.core.errors import Unavailable
from holdfast.settings import Platform
from holdfast_plugins.airflow_changes.changes import WATCH
from holdfast_plugins.airflow_changes.recorder import CAUSE, Cause, Recorder
from tests.support.postgres import PostgresServer
from tests.support.trail import no_events


class Base(DeclarativeBase):
    pass


class Pool(Base):
    __tablename__ = "slot_pool"

    id: Mapped[int] = mapped_column(primary_key=True)
    pool: Mapped[str] = mapped_column(unique=True)
    slots: Mapped[int]


class Variable(Base):
    __tablename__ = "variable"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    _val: Mapped[str] = mapped_column("val")


class DagRun(Base):
    __tablename__ = "dag_run"

    id: Mapped[int] = mapped_column(primary_key=True)
    dag_id: Mapped[str]
    run_id: Mapped[str]
    state: Mapped[str]


USER_ROLE = Table(
    "ab_user_role",
    Base.metadata,
    Column("user_id", ForeignKey("ab_user.id"), primary_key=True),
    Column("role_id", ForeignKey("ab_role.id"), primary_key=True),
)


class Role(Base):
    __tablename__ = "ab_role"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class User(Base):
    __tablename__ = "ab_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    login_count: Mapped[int] = mapped_column(default=0)
    roles: Mapped[list[Role]] = relationship(secondary=USER_ROLE)


@pytest.fixture(scope="module")
def airflow(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.create_database("like_airflow")
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    engine.dispose()
    yield url
    postgres.drop_database("like_airflow")


@pytest.fixture
def session(airflow: str, platform: Platform) -> Iterator[Session]:
    recorder = Recorder(platform.settings, platform.engine)
    WATCH.begin(lambda: recorder)
    cause = Cause(Caller("user:ada"), "PATCH /some/path")
    token = CAUSE.set(cause)
    engine = create_engine(airflow)
    try:
        with Session(engine) as session:
            yield session
    finally:
        CAUSE.reset(token)
        WATCH.begin(lambda: None)
        engine.dispose()


@pytest.fixture
def since(owner_sql: Connection) -> Callable[[], list[dict[str, Any]]]:
    """What was recorded since the test began."""
    begun = owner_sql.scalar(text("SELECT count(*) FROM audit_event")) or 0

    def read() -> list[dict[str, Any]]:
        rows = owner_sql.execute(text(f"SELECT content FROM audit_event ORDER BY xid, id OFFSET {begun}"))
        return [json.loads(row.content) for row in rows]

    return read


def told(events: list[dict[str, Any]]) -> list[tuple[str, Any, Any]]:
    """Return (change of what, before, after) of what was announced."""
    return [
        (f"{event['content']['change']} {event['target']['id']}", event["content"]["before"], event["content"]["after"])
        for event in events
        if event["action"] == "airflow_change.announced"
    ]


def ends(events: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(e["outcome"], e["content"]["changes"]) for e in events if e["action"] == "airflow_change.ended"]


def slots(pool: str, before: int | None, after: int | None) -> tuple[str, Any, Any]:
    if before is None:
        return f"created {pool}", None, {"pool": pool, "slots": after}
    if after is None:
        return f"deleted {pool}", {"pool": pool, "slots": before}, None
    return f"changed {pool}", {"slots": before}, {"slots": after}


def relevant(told: list[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    """Leave out the columns that these tables do not have."""

    def known(values: Any) -> Any:
        return {k: v for k, v in values.items() if v is not None} if values is not None else None

    return [(what, known(before), known(after)) for what, before, after in told]


def test_instances_are_told_before_they_are_committed(session: Session, since: Callable[..., Any]) -> None:
    session.add(pool := Pool(pool="a", slots=1))
    session.commit()
    pool.slots = 2
    session.flush()
    assert len(since()) == 2  # the announcement comes with the commit
    session.commit()
    session.expire_all()
    pool.slots = 3
    session.commit()
    session.delete(pool)
    session.commit()
    events = since()
    assert relevant(told(events)) == [slots("a", None, 1), slots("a", 1, 2), slots("a", 2, 3), slots("a", 3, None)]
    assert ends(events) == [("succeeded", 1)] * 4
    assert {event["initiator"] for event in events} == {"user:ada"}
    assert [event["action"] for event in events][:2] == ["airflow_change.announced", "airflow_change.ended"]


def test_statements_are_told_row_by_row(session: Session, since: Callable[..., Any]) -> None:
    session.execute(insert(Pool), [{"pool": "s1", "slots": 1}, {"pool": "s2", "slots": 2}])
    session.execute(insert(Pool).values([{"pool": "s3", "slots": 3}]))
    session.execute(update(Pool).where(Pool.pool.in_(["s1", "s2"])).values(slots=Pool.slots + 10))
    session.execute(
        upsert(Pool).values(pool="s3", slots=30).on_conflict_do_update(index_elements=["pool"], set_={"slots": 30})
    )
    session.query(Pool).filter(Pool.pool == "s1").delete()
    session.execute(delete(Pool).where(Pool.pool.like("s%")))
    session.commit()
    assert sorted(relevant(told(since())), key=str) == sorted(
        [
            slots("s1", None, 1),
            slots("s2", None, 2),
            slots("s3", None, 3),
            slots("s1", 1, 11),
            slots("s2", 2, 12),
            ("changed s3", {"pool": "s3", "slots": 3}, {"pool": "s3", "slots": 30}),
            slots("s1", 11, None),
            slots("s2", 12, None),
            slots("s3", 30, None),
        ],
        key=str,
    )


def test_what_is_rolled_back_was_never_told_and_what_fails_in_the_commit_is_told_as_refused(
    session: Session, since: Callable[..., Any]
) -> None:
    session.add(Pool(pool="gone", slots=1))
    session.flush()
    session.rollback()
    assert since() == []
    session.execute(
        text("CREATE OR REPLACE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")
    )
    session.execute(
        text(
            "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON slot_pool DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION no()"
        )
    )
    session.commit()
    session.add(Pool(pool="deferred", slots=1))
    with pytest.raises(Exception, match="no"):
        session.commit()
    session.rollback()
    session.execute(text("DROP TRIGGER no ON slot_pool"))
    session.commit()
    events = since()
    assert relevant(told(events)) == [slots("deferred", None, 1)]
    assert ends(events) == [("refused", 1)]


def test_a_savepoint_that_is_rolled_back_is_not_told(session: Session, since: Callable[..., Any]) -> None:
    session.add(Pool(pool="kept", slots=1))
    session.flush()
    nested = session.begin_nested()
    session.add(Pool(pool="dropped", slots=1))
    session.flush()
    nested.rollback()
    with session.begin_nested():
        session.add(Pool(pool="kept too", slots=1))
    session.commit()
    assert {what for what, _, _ in told(since())} == {"created kept", "created kept too"}


def test_roles_are_told_by_name_and_what_nobody_asked_about_is_not_told(
    session: Session, since: Callable[..., Any]
) -> None:
    viewer, admin = Role(name="Viewer"), Role(name="Admin")
    session.add(user := User(username="ada", roles=[viewer]))
    session.commit()
    user.login_count += 1
    session.commit()
    user.roles = [admin]
    session.commit()
    session.execute(delete(USER_ROLE).where(USER_ROLE.c.user_id == user.id))
    session.commit()
    found = [one for one in relevant(told(since())) if "ada" in one[0] or "/" in one[0]]
    assert found[0][2]["roles"] == ["Viewer"]
    assert found[1] == ("changed ada", {"roles": ["Viewer"]}, {"roles": ["Admin"]})
    assert found[2][0] == f"deleted {user.id}/{admin.id}"
    assert len(found) == 3


def test_equal_secrets_are_equal_and_not_in_clear(session: Session, since: Callable[..., Any]) -> None:
    session.add(Variable(key="one", _val="a secret"))
    session.add(Variable(key="two", _val="a secret"))
    session.add(Variable(key="three", _val="another"))
    session.commit()
    found = {after["key"]: after["val"] for _, _, after in told(since())}
    one, two, three = found["one"], found["two"], found["three"]
    assert one == two != three
    assert one.startswith("hmac-sha256:")
    assert "a secret" not in json.dumps(since())


def test_airflows_own_doing_is_not_told_but_that_of_people_is(session: Session, since: Callable[..., Any]) -> None:
    session.add(run := DagRun(dag_id="d", run_id="r", state="queued"))
    session.commit()
    assert [what for what, _, _ in told(since())] == ["created d/r"]
    for cause in (None, Cause(Caller("system:task"), "a heartbeat", is_machine=True)):
        token = CAUSE.set(cause)
        run.state = f"{run.state} and on"
        session.add(Pool(pool=f"by {cause and cause.what}", slots=1))
        session.commit()
        CAUSE.reset(token)
    assert [what for what, _, _ in told(since())][1:] == ["created by None", "created by a heartbeat"]
    assert [event["initiator"] for event in since()][2::2] == ["system:airflow", "system:task"]


def test_a_statement_about_very_many_rows_is_one_event(session: Session, since: Callable[..., Any]) -> None:
    session.execute(text("INSERT INTO slot_pool (pool, slots) SELECT 'many' || n, n FROM generate_series(1, 2000) n"))
    session.execute(delete(Pool).where(Pool.pool.like("many%")))
    session.commit()
    assert [what for what, _, _ in told(since())] == ["deleted *"]


def test_what_cannot_be_told_is_not_committed(
    session: Session, owner_sql: Connection, since: Callable[..., Any]
) -> None:
    session.add(Pool(pool="untold", slots=1))
    with no_events(owner_sql), pytest.raises(Unavailable, match="cannot be recorded"):
        session.commit()
    session.rollback()
    cause = CAUSE.get()
    assert cause is not None
    assert isinstance(cause.failure, Unavailable)
    assert session.query(Pool).filter(Pool.pool == "untold").count() == 0
    assert since() == []


_CRASH = """
import os, sys
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session
from holdfast.core.access import Caller
from holdfast.settings import RecordSettings
from holdfast_plugins.airflow_changes.changes import WATCH
from holdfast_plugins.airflow_changes.recorder import Recorder
from tests.integration.test_airflow_changes import Pool
recorder = Recorder.open(RecordSettings.load())
WATCH.begin(lambda: recorder)
event.listen(Session, "before_commit", lambda session: os._exit(9))  # after ours: the announcement is made
with Session(create_engine(sys.argv[1])) as session:
    session.add(Pool(pool="crashed", slots=1))
    session.commit()
"""


def test_a_crash_between_announcement_and_commit_leaves_a_trace_rather_than_nothing(
    airflow: str, session: Session, platform_env: dict[str, str], since: Callable[..., Any], here: Path
) -> None:
    environment = {**os.environ, **platform_env, "PYTHONPATH": str(here)}
    done = subprocess.run([sys.executable, "-c", _CRASH, airflow], env=environment, check=False, cwd=here)
    assert done.returncode == 9
    events = since()
    assert relevant(told(events)) == [slots("crashed", None, 1)]
    assert ends(events) == []
    assert session.query(Pool).filter(Pool.pool == "crashed").count() == 0
