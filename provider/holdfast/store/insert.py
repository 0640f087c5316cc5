"""Inserts several rows, or a row and its parts, in one round trip.

SQLAlchemy compiles an INSERT of several rows anew each time, and psycopg's executemany costs more than a round trip. So the statements are
written out here, once for each number of rows up to a few; PostgreSQL plans each of them once, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Insert, TextClause, bindparam, insert, text

from holdfast.store.prepared import Prepared
from holdfast.store.tables.base import Table

TOGETHER = 8
"""More rows than this go by executemany."""


def inserting(table: type[Table], columns: Iterable[str]) -> Insert:
    """Return the INSERT of a row with these columns, each a parameter of its name."""
    return insert(table).values({name: bindparam(name, type_=table.__table__.c[name].type) for name in columns})


def insert_row(connection: Connection, table: type[Table], row: dict[str, Any]) -> Any:
    """Insert a row and return it as it stands."""
    return _row(table, tuple(row)).one(connection, row)


def insert_rows(connection: Connection, table: type[Table], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, all with the same columns, in their order."""
    if 0 < len(rows) <= TOGETHER:
        _rows(table, tuple(rows[0]), len(rows)).all(connection, numbered(rows))
    elif rows:
        connection.execute(insert(table), rows)


def copy_rows(
    connection: Connection, table: type[Table], columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert any number of rows by COPY, a tenth of the cost of as many INSERTs; their triggers see all of them at once."""
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection has gone")
    names = ", ".join(columns)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.__table__} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def insert_whole(
    connection: Connection, table: type[Table], row: dict[str, Any], part: type[Table], parts: Sequence[dict[str, Any]]
) -> Any:
    """Insert a row and the rows that belong to it, and return it as it stands."""
    if 0 < len(parts) <= TOGETHER:
        statement = _whole(table, tuple(row), part, tuple(parts[0]), len(parts))
        return statement.one(connection, {**numbered([row], "whole"), **numbered(parts)})
    made = insert_row(connection, table, row)
    insert_rows(connection, part, parts)
    return made


def numbered(rows: Sequence[dict[str, Any]], prefix: str = "row") -> dict[str, Any]:
    """Return the values of rows by the names of their parameters in `written_out`."""
    return {f"{prefix}{number}_{name}": value for number, row in enumerate(rows) for name, value in row.items()}


def written_out(
    table: type[Table],
    columns: tuple[str, ...],
    count: int,
    prefix: str = "row",
    computed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the INSERT of so many rows with these columns, and more whose values are SQL; `{row}` there begins a row's parameters."""
    rows = []
    for row in (f"{prefix}{number}" for number in range(count)):
        values = [*(f":{row}_{name}" for name in columns), *(sql.format(row=row) for sql in computed.values())]
        rows.append(f"({', '.join(values)})")
    names = ", ".join((*columns, *computed))
    return f"INSERT INTO {table.__table__} ({names}) VALUES {', '.join(rows)}"  # noqa: S608 - our own names


@cache
def _row(table: type[Table], columns: tuple[str, ...]) -> Prepared:
    return Prepared(inserting(table, columns).returning(*table.__table__.c))


@cache
def _rows(table: type[Table], columns: tuple[str, ...], count: int) -> Prepared:
    return Prepared(_typed(text(written_out(table, columns, count)), table, columns, count, "row"))


@cache
def _whole(
    table: type[Table], columns: tuple[str, ...], part: type[Table], part_columns: tuple[str, ...], count: int
) -> Prepared:
    found = ", ".join(column.name for column in table.__table__.c)
    whole, parts = written_out(table, columns, 1, "whole"), written_out(part, part_columns, count)
    sql = f"WITH whole AS ({whole} RETURNING {found}), parts AS ({parts}) SELECT {found} FROM whole"  # noqa: S608 - our own names
    return Prepared(_typed(_typed(text(sql), table, columns, 1, "whole"), part, part_columns, count, "row"))


def _typed(statement: TextClause, table: type[Table], columns: tuple[str, ...], count: int, prefix: str) -> TextClause:
    types = {name: table.__table__.c[name].type for name in columns}
    names = [(f"{prefix}{number}_{name}", types[name]) for number in range(count) for name in columns]
    return statement.bindparams(*(bindparam(name, type_=its_type) for name, its_type in names))
