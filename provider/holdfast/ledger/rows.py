"""Compares events' rows with the log's entries: the row is what was committed to, and what its columns show is what it says."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Engine, text

from holdfast.core.audit import class_of
from holdfast.core.leaf import FORMAT
from holdfast.core.merkle import leaf_hash
from holdfast.ledger.disposals import Erased
from holdfast.ledger.order import EVENT_OF_LEAF
from holdfast.ledger.segments import disposed_between
from holdfast.store.prepared import Prepared

Found = Callable[[int | None, str], None]
AT_ONCE = 4096
"""Entries, and rows, in a part."""
_AHEAD = 2
"""Parts that are read before they are compared."""


@dataclass(slots=True)
class Rows:
    """What was seen of a chunk's rows.

    Attributes:
        count: how many were compared.
        gone: hashes of the leaves whose events have gone with their segment, in order, by the segment.
        erased: events whose content has gone, with their indexes: another event has to say so.
    """

    count: int = 0
    gone: dict[int, list[bytes]] = field(default_factory=dict)
    erased: list[Erased] = field(default_factory=list)


def compare_rows(engine: Engine, begin: int, end: int, parts: Iterable[Sequence[bytes]], found: Found) -> Rows:
    """Compare the rows of a range of indexes with the log's entries.

    The rows of the next parts are read while this one is compared: PostgreSQL works on another core then.

    Args:
        engine: of the governance database.
        begin: index of the first entry.
        end: index after the last one.
        parts: the log's entries, one after the other, AT_ONCE in each but the last; they may end before.
        found: told the index and what does not fit.
    """
    seen = Rows()
    with ThreadPoolExecutor(1) as reader:
        coming = (
            reader.submit(_read, engine, start, min(start + AT_ONCE, end)) for start in range(begin, end, AT_ONCE)
        )
        ahead = deque(islice(coming, _AHEAD))
        for number, entries in enumerate(parts):
            disposed, rows = ahead.popleft().result()
            ahead.extend(islice(coming, 1))
            _compare(begin + number * AT_ONCE, entries, rows, disposed, seen, found)
    return seen


def _read(engine: Engine, begin: int, end: int) -> tuple[dict[int, int], list[Any]]:
    with engine.connect() as connection, connection.begin():
        # No segment goes between the look at what has gone and the look at the rows.
        connection.execute(_STAY)
        return disposed_between(connection, begin, end), _ROWS.all(connection, {"begin": begin, "end": end})


def _compare(
    begin: int,
    entries: Sequence[bytes],
    rows: Sequence[Any],
    disposed: Mapping[int, int],
    seen: Rows,
    found: Found,
) -> None:
    by_index = {row[0]: row for row in rows}
    for index, entry in enumerate(entries, begin):
        row, segment = by_index.get(index), disposed.get(index)
        if segment is not None:
            seen.gone.setdefault(segment, []).append(leaf_hash(entry))
            if row is not None:
                found(index, f"event {index} is in the database, and its segment {segment} is said to be disposed of")
            continue
        if row is None or row[1] is None:
            found(index, f"event {index} is not in the database")
            continue
        _, its_entry, content, salt, its_class = row[:_SHOWN]
        identity, shown = its_entry[_IDENTITY].decode(), row[_SHOWN:]
        if its_entry != entry:
            found(index, f"event {index}, {identity}, is in the database with another time, commitment or id")
        elif content is None:
            seen.erased.append(Erased(index, UUID(identity), dict(zip(_COLUMNS, shown, strict=True))))
            if class_of(shown[1]) != its_class:
                found(index, f"event {index}, {identity}, has columns unlike its content: segment")
        elif salt is None or sha256(salt + content).hexdigest().encode() != entry[_COMMITMENT]:
            found(index, f"event {index}, {identity}, has another content than the one that was committed to")
        elif wrong := _columns_unlike(content, identity, its_class, shown):
            found(index, f"event {index}, {identity}, has columns unlike its content: {', '.join(wrong)}")
    seen.count += bisect_left(rows, begin + len(entries), key=itemgetter(0))


_SHOWN = 5
"""Place of the first of these columns in a row that is read."""
_COLUMNS = ("project", "action", "initiator", "target_type", "target_id", "outcome")


def _columns_unlike(content: bytes, identity: str, its_class: str | None, shown: tuple[Any, ...]) -> list[str]:
    """Return the columns of an event that say something else than its content, by which lists find and show it."""
    try:
        said = orjson.loads(content)
        target = said["target"]
        meant = said["project"], said["action"], said["initiator"], target["type"], target["id"], said["outcome"]
        its_id = said["id"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ["all: it says nothing that is an event"]
    if meant == shown and its_id == identity and class_of(said["action"]) == its_class:
        return []
    wrong = [name for name, one, other in zip(_COLUMNS, meant, shown, strict=True) if one != other]
    return wrong or ["id" if its_id != identity else "segment"]


_STAY = text("LOCK TABLE audit_event IN ACCESS SHARE MODE")
_BEFORE_COMMITMENT, _BEFORE_IDENTITY = '{"commitment":"sha256:', '","event":"'
_COMMITMENT = slice(len(_BEFORE_COMMITMENT), len(_BEFORE_COMMITMENT) + 64)
_IDENTITY = slice(_COMMITMENT.stop + len(_BEFORE_IDENTITY), _COMMITMENT.stop + len(_BEFORE_IDENTITY) + 36)
# `core.leaf.leaf_entry` as PostgreSQL writes it: a text costs less on its way into Python than the values it is made of.
_ENTRY = f"""
    '{_BEFORE_COMMITMENT}' || encode(e.commitment, 'hex') || '{_BEFORE_IDENTITY}' || e.id || '","format":"{FORMAT}","index":' || l.index
    || ',"recorded_at":"' || to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || 'Z"}}'
"""
# By libpq itself, which leaves Python to the other thread until all rows are there; psycopg would want it back for every few of them.
_ROWS = Prepared(
    text(
        f"""
        SELECT l.index, convert_to({_ENTRY}, 'UTF8') AS entry, convert_to(e.content, 'UTF8') AS content, e.salt, s.class,
        {", ".join(f"e.{name}" for name in _COLUMNS)}
        FROM ledger_leaf l LEFT JOIN {EVENT_OF_LEAF} ON true LEFT JOIN audit_segment s ON s.segment = l.segment
        WHERE l.index >= :begin AND l.index < :end ORDER BY l.index
        """  # noqa: S608 - our own names
    ),
    binary=True,
)
