"""Reads events in the log's order: entries from the log as it is published, the events themselves from the database.

Only what lies under a published checkpoint is read, so that nothing is exported that the log could still lose. It takes no lock, and
never more events at once than are asked for, nor more bytes than a bound and one event.
"""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Engine, text

from holdfast.core.audit import commitment
from holdfast.core.errors import IntegrityViolation, NotFound, Unavailable
from holdfast.core.leaf import leaf_entry
from holdfast.core.merkle import HASH_BYTES, leaf_hash
from holdfast.core.note import Checkpoint
from holdfast.core.tiles import CHECKPOINT, WIDTH, Tile, bundle_path, unpacked
from holdfast.export.record import ALTERED, DISPOSED, ERASED, MALFORMED, Record, is_event
from holdfast.ledger.place import Place
from holdfast.ledger.segments import disposed_between
from holdfast.ledger.shown import root_kept
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared

BATCH_BYTES = 8 << 20


class Feed:
    """The log as a stream; for one reader.

    Args:
        engine: of the governance database.
        log: where the log is read.
    """

    def __init__(self, engine: Engine, log: Place) -> None:
        self._engine, self._log = engine, log
        self._bundle: tuple[str, list[bytes]] = ("", [])
        self._checked = -1

    def published(self) -> tuple[Checkpoint, str]:
        """Return the checkpoint that can be read now, and its note; one of size 0 where there is none yet.

        Raises:
            IntegrityViolation: the database knows another checkpoint of that size, or none.
            Unavailable: the log does not answer.
        """
        try:
            note = self._log.read(CHECKPOINT).decode(errors="replace")
        except NotFound:
            return Checkpoint("", 0, bytes(32)), ""
        found = Checkpoint.unchecked(note)
        if found.size not in (0, self._checked):
            if root_kept(self._engine, found.size) != found.root:
                raise IntegrityViolation(
                    f"the log is published with {found.size} events, and the database has no such checkpoint",
                    remedy="`holdfast audit verify` says what is not as it was; nothing is exported until then",
                )
            self._checked = found.size
        return found, note

    def read(self, log: Checkpoint, begin: int, end: int) -> list[Record]:
        """Return the records from one index to before another, or fewer, so that memory stays flat; at least one.

        Raises:
            Unavailable: the log or the database does not answer.
        """
        with read_only(self._engine) as connection:
            rows = _ROWS.all(connection, {"begin": begin, "end": end, "bytes": BATCH_BYTES})
            is_lacking = any(row.event_id is None for row in rows)
            disposed = disposed_between(connection, begin, begin + len(rows)) if is_lacking else {}
        self._bundle = ("", [])  # what was damaged may have been mended
        previous = leaf_hash(self._entry(begin - 1, log.size)) if begin else None
        records = []
        for index, row in enumerate(rows, begin):
            record = _record(log.origin, index, previous, self._entry(index, log.size), row)
            if record.left_out == ALTERED and row.event_id is None and index in disposed:
                record = record.without_content(DISPOSED)
            elif record.left_out == ALTERED:
                self._check_entry(index, log.size, record.leaf_hash)
            records.append(record)
            previous = record.leaf_hash
        return records

    def _check_entry(self, index: int, size: int, hashed: bytes) -> None:
        """Return where an entry is the one of its tile, and so not the log but the database was altered; raises IntegrityViolation."""
        number, place = divmod(index, WIDTH)
        tile = Tile(0, number, min(WIDTH, size - number * WIDTH))
        if self._log.read(tile.path)[place * HASH_BYTES :][:HASH_BYTES] != hashed:
            raise IntegrityViolation(
                f"entry {index} of the log is not the one of its tile",
                remedy="`holdfast audit verify` says what else is not as it was; nothing is exported until then",
            )

    def recorded_at(self, index: int) -> datetime | None:
        """Return when the event at an index was recorded, None where its row is gone."""
        with read_only(self._engine) as connection:
            found: datetime | None = _RECORDED.scalar(connection, {"index": index})
        return found

    def _entry(self, index: int, size: int) -> bytes:
        number = index // WIDTH
        path = bundle_path(number, min(WIDTH, size - number * WIDTH))
        if self._bundle[0] != path:
            try:
                self._bundle = (path, unpacked(self._log.read(path)))
            except NotFound:
                # Somebody keeps only the bundles of the newest checkpoint, which is another by now, or the log is damaged.
                raise Unavailable(
                    f"the log has no {path}", remedy="`holdfast audit verify` says whether anything is lost"
                ) from None
        if index % WIDTH >= len(self._bundle[1]):
            raise IntegrityViolation(
                f"{path} of the log lacks entry {index}",
                remedy="`holdfast audit verify` says what else is not as it was",
            )
        return self._bundle[1][index % WIDTH]


def _record(log: str, index: int, previous: bytes | None, entry: bytes, row: Any) -> Record:
    """Return the record of an entry; its event is left out where it is not the one that the entry commits to, or none.

    Raises:
        IntegrityViolation: the entry is none, and the database has another.
    """
    hashed = leaf_hash(entry)
    if row.commitment is None or leaf_entry(index, row.event_id, row.recorded_at, row.commitment) != entry:
        try:
            leaf = json.loads(entry)
            event, recorded_at = UUID(leaf["event"]), datetime.fromisoformat(leaf["recorded_at"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise IntegrityViolation(
                f"entry {index} of the log is not an entry",
                remedy="`holdfast audit verify` says what else is not as it was",
            ) from None
        return Record(log, index, previous, hashed, entry.decode(), event, recorded_at, None, None, {}, ALTERED)
    reason, document = _event_of(row)
    salt, content = (None, None) if reason else (row.salt, row.content)
    return Record(
        log, index, previous, hashed, entry.decode(), row.event_id, row.recorded_at, salt, content, document, reason
    )


def _event_of(row: Any) -> tuple[str | None, dict[str, Any]]:
    """Return why a row has no event to be exported, None where it has, and the event."""
    if row.content is None:
        return ERASED, {}
    content = row.content.encode()
    if commitment(row.salt, content) != row.commitment:
        return ALTERED, {}
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return MALFORMED, {}
    # Only what is written in the one canonical form is embedded as it is: it cannot end the record and begin another.
    if not is_event(document, row.event_id) or orjson.dumps(document, option=orjson.OPT_SORT_KEYS) != content:
        return MALFORMED, {}
    return None, document


_RECORDED = Prepared(
    text(
        "SELECT e.recorded_at FROM ledger_leaf l JOIN audit_event e ON e.id = l.event_id AND e.segment = l.segment WHERE l.index = :index"
    )
)
# Every index has its row, whatever is gone; what is before an event in the batch is weighed, so that one at least is read.
_ROWS = Prepared(
    text(
        """
        SELECT event_id, recorded_at, commitment, salt, content FROM (
            SELECT n.index, l.event_id, e.recorded_at, e.commitment, e.salt, e.content,
            sum(COALESCE(octet_length(e.content), 0)) OVER (ORDER BY n.index) - COALESCE(octet_length(e.content), 0) AS before
            FROM generate_series(CAST(:begin AS bigint), CAST(:end AS bigint) - 1) AS n (index)
            LEFT JOIN ledger_leaf l ON l.index = n.index AND l.index >= :begin AND l.index < :end
            LEFT JOIN audit_event e ON e.id = l.event_id AND e.segment = l.segment
        ) found WHERE before < :bytes ORDER BY index
        """
    )
)
