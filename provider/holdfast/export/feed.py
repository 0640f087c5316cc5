"""Reads events in the log's order: entries from the log as it is published, the events themselves from the database.

Only what lies under a published checkpoint is read, so that nothing is exported that the log could still lose. It takes no lock, and
never more events at once than are asked for, nor more bytes than a bound and one event.
"""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from holdfast.core.audit import commitment
from holdfast.core.errors import IntegrityViolation, NotFound, Unavailable
from holdfast.core.leaf import leaf_entry
from holdfast.core.merkle import leaf_hash
from holdfast.core.note import Checkpoint
from holdfast.core.tiles import CHECKPOINT, WIDTH, bundle_path, unpacked
from holdfast.export.record import ALTERED, ERASED, Record
from holdfast.ledger.place import Place
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
            with read_only(self._engine) as connection:
                root = _ROOT.scalar(connection, {"size": found.size})
            if root != found.root:
                raise IntegrityViolation(
                    f"the log is published with {found.size} events, and the database has no such checkpoint",
                    remedy="`holdfast audit verify` says what is not as it was; nothing is exported until then",
                )
            self._checked = found.size
        return found, note

    def leaf_hash_at(self, index: int, size: int) -> bytes:
        """Return the leaf hash at an index of a log that is published with a size."""
        return leaf_hash(self._entry(index, size))

    def read(self, log: Checkpoint, begin: int, end: int) -> list[Record]:
        """Return the records from one index to before another, or fewer, so that memory stays flat; at least one.

        Raises:
            Unavailable: the log or the database does not answer.
        """
        with read_only(self._engine) as connection:
            rows = _ROWS.all(connection, {"begin": begin, "end": end, "bytes": BATCH_BYTES})
        previous = leaf_hash(self._entry(begin - 1, log.size)) if begin else None
        records = []
        for index, row in enumerate(rows, begin):
            record = _record(log.origin, index, previous, self._entry(index, log.size), row)
            records.append(record)
            previous = record.leaf_hash
        return records

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
        return self._bundle[1][index % WIDTH]


def _record(log: str, index: int, previous: bytes | None, entry: bytes, row: Any) -> Record:
    """Return the record of an entry; its event is left out where it is not the one that the entry commits to."""
    hashed = leaf_hash(entry)
    if row.commitment is None or leaf_entry(index, row.event_id, row.recorded_at, row.commitment) != entry:
        leaf = json.loads(entry)
        recorded_at = datetime.fromisoformat(leaf["recorded_at"])
        return Record(
            log, index, previous, hashed, entry.decode(), UUID(leaf["event"]), recorded_at, None, None, ALTERED
        )
    found = Record(log, index, previous, hashed, entry.decode(), row.event_id, row.recorded_at, row.salt, row.content)
    if row.content is None:
        return found.without_content(ERASED)
    if commitment(row.salt, row.content.encode()) != row.commitment:
        return found.without_content(ALTERED)
    return found


_ROOT = Prepared(text("SELECT root FROM ledger_checkpoint WHERE size = :size"))
_RECORDED = Prepared(
    text("SELECT e.recorded_at FROM ledger_leaf l JOIN audit_event e ON e.id = l.event_id WHERE l.index = :index")
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
            LEFT JOIN audit_event e ON e.id = l.event_id
        ) found WHERE before < :bytes ORDER BY index
        """
    )
)
