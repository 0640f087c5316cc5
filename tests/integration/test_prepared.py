"""Prepared statements behave as SQLAlchemy's: values, transactions, errors, and a connection that is lost."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import ARRAY, BigInteger, Engine, Integer, LargeBinary, Text, Uuid, bindparam, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InvalidRequestError,
    MultipleResultsFound,
    NoResultFound,
    OperationalError,
)

from holdfast.settings import Platform
from holdfast.store.engine import open_engine, read_only
from holdfast.store.prepared import Prepared

NOW = datetime(2026, 11, 2, 9, 0, 0, 1, tzinfo=UTC)
VALUES: list[tuple[Any, Any]] = [
    (Text(), "plain"),
    (Text(), ""),
    (Text(), "quote ' backslash \\ brace { line\nend ü € 💡"),
    (Integer(), 0),
    (Integer(), -(2**31)),
    (BigInteger(), 2**53),
    (LargeBinary(), b""),
    (LargeBinary(), bytes(range(256))),
    (Uuid(), uuid4()),
    (ARRAY(Uuid()), [uuid4(), uuid4()]),
    (ARRAY(Text()), ["a,b", 'c"d', "", "NULL", "{}", "\\"]),
    (ARRAY(Text()), []),
    (JSONB(), {"a": [1, 1.5, "ü", None, True], "empty": {}}),
]


@pytest.fixture
def engine(platform: Platform) -> Iterator[Engine]:
    """An engine with one connection, so that everything is prepared on it."""
    made = open_engine(platform.engine.url.render_as_string(hide_password=False), pool_size=1)
    yield made
    made.dispose()


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_a_value_comes_back_as_it_went(engine: Engine, kind: Any, value: Any) -> None:
    statement = select(bindparam("given", type_=kind).label("found"))
    prepared = Prepared(statement)
    with engine.begin() as connection:
        for given in (value, None, value):
            found = prepared.one(connection, {"given": given}).found
            assert found == given
            assert found == connection.execute(statement, {"given": given}).one().found


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_a_value_comes_back_in_binary_form_as_it_went(engine: Engine, kind: Any, value: Any) -> None:
    prepared = Prepared(select(bindparam("given", type_=kind), literal("beside it")), binary=True)
    with engine.begin() as connection:
        for given in (value, None):
            assert prepared.all(connection, {"given": given}) == [(given, "beside it")]


def test_the_same_statement_takes_small_and_large_integers_in_any_order(engine: Engine) -> None:
    prepared = Prepared(select(bindparam("given", type_=BigInteger()).label("found")))
    with engine.begin() as connection:
        for value in (1, 2**15, 2**31, 2**62, -1, 0):
            assert prepared.scalar(connection, {"given": value}) == value


def test_rows_are_counted_as_asked(engine: Engine) -> None:
    some = Prepared(text("SELECT n FROM generate_series(1, :most) AS n").bindparams(bindparam("most", type_=Integer())))
    with engine.begin() as connection:
        assert [row.n for row in some.all(connection, {"most": 3})] == [1, 2, 3]
        assert some.all(connection, {"most": 0}) == []
        assert some.one_or_none(connection, {"most": 0}) is None
        assert some.scalar(connection, {"most": 0}) is None
        with pytest.raises(NoResultFound):
            some.one(connection, {"most": 0})
        with pytest.raises(MultipleResultsFound):
            some.one(connection, {"most": 2})


def test_it_is_part_of_the_transaction(engine: Engine) -> None:
    table = f"t_{secrets.token_hex(4)}"
    put = Prepared(text(f"INSERT INTO {table} (n) VALUES (:n)").bindparams(bindparam("n", type_=Integer())))
    count = Prepared(text(f"SELECT count(*) AS n FROM {table}"))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TEMPORARY TABLE {table} (n integer)"))
    with engine.begin() as connection:
        assert put.all(connection, {"n": 1}) == []
    with engine.connect() as connection:
        put.all(connection, {"n": 2})
        assert count.scalar(connection) == 2
        connection.rollback()
        assert count.scalar(connection) == 1
    with read_only(engine) as connection:
        assert count.scalar(connection) == 1


def test_all_of_a_transaction_sees_one_time(engine: Engine) -> None:
    now = Prepared(text("SELECT now() AS now"))
    with engine.begin() as connection:
        first = now.scalar(connection)
        assert isinstance(first, datetime)
        assert first.utcoffset() == timedelta(0)
        assert now.scalar(connection) == first == connection.scalar(text("SELECT now()"))


@pytest.mark.parametrize(
    ("sql", "kind", "value"),
    [
        ("SELECT 1 / :given", Integer(), 0),
        ("SELECT :given", Text(), "a\x00b"),
        ("SELECT :given", Integer(), 2**40),
        ("SELECT nowhere + :given", Integer(), 1),
        ("SELECT :given::jsonb", Text(), "{"),
    ],
)
def test_it_fails_as_sqlalchemy_fails_and_hides_what_was_given(
    engine: Engine, sql: str, kind: Any, value: object
) -> None:
    statement = text(sql.replace("::", r"\:\:")).bindparams(bindparam("given", type_=kind))
    raised = []
    for run in (Prepared(statement).all, lambda connection, values: connection.execute(statement, values)):
        with pytest.raises(DBAPIError) as failed, engine.begin() as connection:
            run(connection, {"given": value})
        raised.append(failed.value)
        assert "parameters hidden" in str(failed.value) or "parameters" not in str(failed.value)
    ours, theirs = raised
    assert type(ours) is type(theirs)
    assert getattr(ours.orig, "sqlstate", None) == getattr(theirs.orig, "sqlstate", None)


def test_after_a_failure_and_a_rollback_it_is_still_prepared(engine: Engine) -> None:
    divide = Prepared(text("SELECT 1 / :by AS found").bindparams(bindparam("by", type_=Integer())))
    names = "SELECT count(*) FROM pg_prepared_statements"
    with engine.begin() as connection:
        assert divide.scalar(connection, {"by": 1}) == 1
        before = connection.scalar(text(names))
    with pytest.raises(DataError), engine.begin() as connection:
        divide.all(connection, {"by": 0})
    with engine.begin() as connection:
        assert divide.scalar(connection, {"by": 1}) == 1
        assert connection.scalar(text(names)) == before == 1


def test_a_lost_connection_is_replaced(engine: Engine, owner_sql: Any) -> None:
    pid = Prepared(text("SELECT pg_backend_pid() AS pid"))
    with engine.begin() as connection:
        first = pid.scalar(connection)
    owner_sql.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
    with pytest.raises(OperationalError) as lost, engine.begin() as connection:
        pid.scalar(connection)
    assert lost.value.connection_invalidated or lost.value.orig.sqlstate == "57P01"
    with engine.begin() as connection:
        assert pid.scalar(connection) != first


def test_what_sqlalchemy_completes_for_each_execution_is_refused(engine: Engine) -> None:
    listed = select(literal(1)).where(bindparam("some", type_=Integer()).in_(bindparam("listed", expanding=True)))
    with engine.begin() as connection, pytest.raises(TypeError, match="for each execution"):
        Prepared(listed).all(connection, {"some": 1, "listed": [1]})


@pytest.mark.parametrize("values", [{}, {"given": 1, "more": 2}, {"gvien": 1}])
def test_a_parameter_that_is_missing_or_unknown_is_no_null(engine: Engine, values: dict[str, int]) -> None:
    prepared = Prepared(select(bindparam("given", type_=Integer())))
    with engine.begin() as connection, pytest.raises(InvalidRequestError, match="parameters"):
        prepared.all(connection, values)
