"""Compares events' rows with the log's entries: the row is what was committed to, and what its columns show is what it says."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import Engine

from holdfast.core.leaf import leaf_entry
from holdfast.store.engine import read_only

Found = Callable[[int | None, str], None]
AT_ONCE = 8192
"""Rows in memory at a time."""


def compare_rows(engine: Engine, begin: int, entries: Sequence[bytes], found: Found) -> int:
    """Compare the rows of the indexes from begin on with the log's entries, and return how many there are.

    Args:
        engine: of the governance database.
        begin: index of the first entry.
        entries: the log's, one after the other.
        found: told the index and what does not fit.
    """
    count = 0
    with read_only(engine) as connection:
        driver = connection.connection.driver_connection
        if driver is None:
            raise RuntimeError("the connection is open")
        with driver.cursor(binary=True) as cursor:
            for start in range(0, len(entries), AT_ONCE):
                part = entries[start : start + AT_ONCE]
                cursor.execute(_ROWS, (begin + start, begin + start + len(part)))
                count += _compare(begin + start, part, cursor.fetchall(), found)
    return count


def _compare(begin: int, entries: Sequence[bytes], rows: list[Any], found: Found) -> int:
    by_index = {row[0]: row for row in rows}
    for index, entry in enumerate(entries, begin):
        row = by_index.get(index)
        if row is None or row[1] is None:
            found(index, f"event {index} is not in the database")
            continue
        _, identity, recorded_at, commitment, content, salt = row[:6]
        if leaf_entry(index, identity, recorded_at, commitment) != entry:
            found(index, f"event {index}, {identity}, is in the database with another time, commitment or id")
        elif content is not None:
            if sha256(salt + content).digest() != commitment:
                found(index, f"event {index}, {identity}, has another content than the one that was committed to")
            elif wrong := _columns_unlike(content, str(identity), row[6:]):
                found(index, f"event {index}, {identity}, has columns unlike its content: {', '.join(wrong)}")
    return len(rows)


_COLUMNS = ("project", "action", "initiator", "target_type", "target_id", "outcome")


def _columns_unlike(content: bytes, identity: str, shown: tuple[Any, ...]) -> list[str]:
    """Return the columns of an event that say something else than its content, by which lists find and show it."""
    said = orjson.loads(content)
    target = said["target"]
    meant = said["project"], said["action"], said["initiator"], target["type"], target["id"], said["outcome"]
    if meant == shown and said["id"] == identity:
        return []
    wrong = [name for name, one, other in zip(_COLUMNS, meant, shown, strict=True) if one != other]
    return wrong or ["id"]


_ROWS = f"""
    SELECT l.index, e.id, e.recorded_at, e.commitment, convert_to(e.content, 'UTF8'), e.salt, {", ".join(f"e.{name}" for name in _COLUMNS)}
    FROM ledger_leaf l LEFT JOIN audit_event e ON e.id = l.event_id WHERE l.index >= %s AND l.index < %s ORDER BY l.index
"""  # noqa: S608 - our own names
