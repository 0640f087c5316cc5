"""Statements that stand in a module: compiled once, and then run by psycopg itself.

SQLAlchemy makes a context, a result and a description of its columns for each execution, and a new cursor that finds out again how to
read them. For the few statements that every call goes through this costs more processor time than all the rest of the statement
(`benchmarks/lifecycle`). Whatever is put together for one call goes through SQLAlchemy as usual.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import psycopg
from psycopg import Cursor, RawCursor
from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, Executable, PoolProxiedConnection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from holdfast.wire.canonical import dumps_json

_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar", json_serializer=dumps_json)  # type: ignore[no-untyped-call]
_NONE: Mapping[str, Any] = {}


class Prepared:
    """A statement that is compiled at its first execution; its rows are named tuples.

    Args:
        statement: all that varies is in its parameters. An INSERT without VALUES gets the columns that its first execution gives.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._compiled: _Compiled | None = None

    def all(self, connection: Connection, values: Mapping[str, Any] = _NONE) -> list[Any]:
        """Run it and return its rows; raises what SQLAlchemy would raise."""
        if (compiled := self._compiled) is None:
            compiled = self._compiled = _Compiled(self._statement, values)
        return compiled.run(connection, values)

    def one(self, connection: Connection, values: Mapping[str, Any] = _NONE) -> Any:
        """Run it and return its only row; raises NoResultFound, MultipleResultsFound."""
        if (row := self.one_or_none(connection, values)) is None:
            raise NoResultFound("no row was found where one is required")
        return row

    def one_or_none(self, connection: Connection, values: Mapping[str, Any] = _NONE) -> Any | None:
        """Run it and return its only row, None where there is none; raises MultipleResultsFound."""
        rows = self.all(connection, values)
        if len(rows) > 1:
            raise MultipleResultsFound("more than one row was found where one at most is expected")
        return rows[0] if rows else None

    def scalar(self, connection: Connection, values: Mapping[str, Any] = _NONE) -> Any | None:
        """Run it and return the first column of its first row, None where there is none."""
        rows = self.all(connection, values)
        return rows[0][0] if rows else None


class _Compiled:
    __slots__ = ("_given", "_processors", "_sql")

    def __init__(self, statement: Executable, values: Mapping[str, Any]) -> None:
        if not isinstance(statement, ClauseElement):
            raise TypeError(f"{statement!r} cannot be compiled")
        compiled = statement.compile(dialect=_DIALECT, column_keys=list(values))
        if not isinstance(compiled, SQLCompiler) or compiled.literal_execute_params or compiled.post_compile_params:
            raise TypeError(f"{compiled} is a statement that SQLAlchemy completes for each execution")
        self._sql = str(compiled)
        fixed = compiled.params
        self._given = [(name, fixed[name]) for name in compiled.positiontup or ()]
        processors = (
            (name, bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)) for name, bind in compiled.binds.items()
        )
        self._processors = {name: processor for name, processor in processors if processor is not None}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        processors = self._processors
        given = [
            processors[name](values.get(name, fixed)) if name in processors else values.get(name, fixed)
            for name, fixed in self._given
        ]
        try:
            cursor = self._cursor(connection.connection)
            cursor.execute(self._sql, given, prepare=True)
            return cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else []
        except psycopg.Error as error:
            raise _translated(connection, self._sql, error) from error

    def _cursor(self, connection: PoolProxiedConnection) -> Cursor[Any]:
        """Return the statement's own cursor of a connection: one that runs its last statement again knows already how to read the columns."""
        cursor: Cursor[Any] | None = connection.info.get(self)
        if cursor is None:
            cursor = RawCursor(cast("psycopg.Connection[Any]", connection.driver_connection), row_factory=_remembered())
            connection.info[self] = cursor
        return cursor


def _remembered() -> Callable[[Cursor[Any]], Callable[[Sequence[Any]], Any]]:
    """Return a row factory for one statement, whose rows have the same columns each time."""
    make: Callable[[Sequence[Any]], Any] | None = None

    def rows_of(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], Any]:
        nonlocal make
        if make is None and cursor.pgresult and cursor.pgresult.nfields:
            make = namedtuple_row(cursor)
        return make or namedtuple_row(cursor)

    return rows_of


def _translated(connection: Connection, sql: str, error: psycopg.Error) -> Exception:
    """Return an error as SQLAlchemy would raise it; after the loss of a connection the others are made anew, too."""
    is_lost = cast("psycopg.Connection[Any]", connection.connection.driver_connection).closed
    if is_lost:
        connection.invalidate(error)
        connection.engine.dispose(close=False)
    return DBAPIError.instance(
        sql,
        None,
        error,
        psycopg.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=_DIALECT,
    )
