"""Statements that stand in a module: compiled once, prepared once on each connection, and run by libpq itself.

For each execution SQLAlchemy makes a context, a result and a description of its columns, and psycopg a chain of generators that could as
well wait in an event loop. For the statements that every call goes through this costs several times the processor time of the
statement (`benchmarks/lifecycle`). They still use SQLAlchemy's SQL and pool and psycopg's conversions, and fail as SQLAlchemy's fail.
Whatever is put together for one call goes through SQLAlchemy as usual.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, cast

import psycopg
from psycopg import abc
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import Connection, Executable, LargeBinary
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, InvalidRequestError, MultipleResultsFound, NoResultFound
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from holdfast.wire.canonical import dumps_json

_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar", json_serializer=dumps_json)  # type: ignore[no-untyped-call]
_NONE: Mapping[str, Any] = {}
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED"
_BYTEA = psycopg.adapters.types["bytea"].oid
# As the numbers that libpq's wrapper gives: a look at a member of an enumeration costs as much as the comparison.
_DONE = frozenset((int(ExecStatus.TUPLES_OK), int(ExecStatus.COMMAND_OK)))
_IDLE = int(TransactionStatus.IDLE)
_numbers = count(1)


class Prepared:
    """A statement that is compiled at its first execution; its rows are named tuples, unless it is said otherwise.

    Args:
        statement: all that varies is in its parameters.
        binary: for many rows: they are plain tuples, and come in PostgreSQL's binary form, which costs less where there are bytes.
    """

    def __init__(self, statement: Executable, *, binary: bool = False) -> None:
        self._statement, self._binary = statement, binary
        self._compiled: _Compiled | None = None

    def all(self, connection: Connection, values: Mapping[str, Any] = _NONE) -> list[Any]:
        """Run it and return its rows; raises what SQLAlchemy would raise."""
        if (compiled := self._compiled) is None:
            compiled = self._compiled = _Compiled(self._statement, binary=self._binary)
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
    """The SQL of a statement, and how its parameters and its rows are converted; the same for all connections."""

    def __init__(self, statement: Executable, *, binary: bool) -> None:
        if not isinstance(statement, ClauseElement):
            raise TypeError(f"{statement!r} cannot be compiled")
        compiled = statement.compile(dialect=_DIALECT)
        if not isinstance(compiled, SQLCompiler) or compiled.literal_execute_params or compiled.post_compile_params:
            raise TypeError(f"{compiled} is a statement that SQLAlchemy completes for each execution")
        self.sql = str(compiled)
        self.name = b"holdfast_%d" % next(_numbers)
        self.result_format = int(Format.BINARY if binary else Format.TEXT)
        self._names = list(compiled.positiontup or ())
        self._fixed = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
        self._known = frozenset(self._names)
        # As text, whose type is what the statement says, and not what this execution's value would suggest.
        self.formats = [PyFormat.TEXT] * len(self._names)
        # SQLAlchemy casts every parameter but bytes, whose place in the statement would have to tell what they are.
        self.types = [_BYTEA if isinstance(compiled.binds[name].type, LargeBinary) else 0 for name in self._names]
        processors = (
            (name, bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)) for name, bind in compiled.binds.items()
        )
        self._processors = {name: processor for name, processor in processors if processor is not None}
        # A plain tuple of values without references is none of the garbage collector's business; one with names stays that.
        self._row: Callable[[Sequence[Any]], Any] | None = tuple if binary else None

    def run(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Run it and return its rows."""
        processors = self._processors
        whole = {**self._fixed, **values}
        if whole.keys() != self._known:
            raise InvalidRequestError(
                f"the statement's parameters are not {sorted(whole.keys() ^ self._known)}: {self.sql}"
            )
        given = [processors[name](whole[name]) if name in processors else whole[name] for name in self._names]
        proxied = connection.connection
        if (
            not connection.in_transaction()
            and not cast("psycopg.Connection[Any]", proxied.driver_connection).autocommit
        ):
            connection.begin()  # as SQLAlchemy does by itself for its own statements
        try:
            session: _Session | None = proxied.info.get(_Session)
            if session is None:
                session = proxied.info[_Session] = _Session(cast("psycopg.Connection[Any]", proxied.driver_connection))
            return session.run(self, given)
        except psycopg.Error as error:
            raise _translated(connection, self.sql, error) from error

    def row(self, result: PGresult) -> Callable[[Sequence[Any]], Any]:
        """Return what makes a row of a result: the columns are the same each time."""
        if self._row is None:
            names = [(result.fname(number) or b"").decode() for number in range(result.nfields)]
            made = cast("Any", namedtuple)("Row", names, rename=True)
            self._row = made._make
        return self._row


class _Session:
    """What is prepared on one connection. One thread at a time uses it, as it uses the connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._converters: dict[_Compiled, abc.Transformer] = {}

    def run(self, statement: _Compiled, given: Sequence[Any]) -> list[Any]:
        """Run a statement in the connection's transaction, which begins now where there is none; raises psycopg.Error."""
        connection = self._connection
        server = connection.pgconn
        if server.transaction_status == _IDLE and not connection.autocommit:
            self._check(server.exec_(_BEGIN))
        converter = self._converters.get(statement)
        if converter is None:
            self._check(server.prepare(statement.name, statement.sql.encode(), statement.types))
            converter = self._converters[statement] = Transformer(connection)
        dumped = cast("list[abc.Buffer]", converter.dump_sequence(given, statement.formats))
        result = server.exec_prepared(statement.name, dumped, result_format=statement.result_format)
        self._check(result)
        if not result.nfields:
            return []
        converter.set_pgresult(result)
        return converter.load_rows(0, result.ntuples, statement.row(result))

    def _check(self, result: PGresult) -> None:
        if result.status in _DONE:
            return
        if result.error_field(DiagnosticField.SQLSTATE) is None:
            # Not the server says so but libpq: it has lost the server, whether or not it calls the connection bad already.
            self._connection.close()
            raise psycopg.OperationalError(result.get_error_message())
        raise error_from_result(result)


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
