"""The segments of the audit trail as they are, and what one holds: compared with the log, entry by entry, before it is sealed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from holdfast.core.audit import EventClass
from holdfast.core.digest import text_of
from holdfast.core.errors import IntegrityViolation, NotFound, Unavailable
from holdfast.core.leaf import leaf_entry
from holdfast.core.merkle import HASH_BYTES, Frontier, leaf_hash
from holdfast.core.note import Checkpoint
from holdfast.core.segments import Decision, Rule, Segment, decide
from holdfast.core.tiles import CHECKPOINT, WIDTH, Tile
from holdfast.ledger.place import Place
from holdfast.store.prepared import Prepared
from holdfast.wire.ledger import AuditRetention, AuditSegment, AuditSegments

_AT_ONCE = 8192


def segments_of(connection: Connection) -> AuditSegments:
    """Return the segments with what happens to each next, and how long each class is kept."""
    rows, retention = _SEGMENTS.all(connection), retention_of(connection)
    decisions = {one.number: one for one in _decided(connection, rows, retention)}
    return AuditSegments(segments=[_shown(row, decisions.get(row.segment)) for row in rows], retention=retention)


def retention_of(connection: Connection) -> list[AuditRetention]:
    """Return how long each class is kept that has a rule."""
    return [rule_of(row) for row in _RETENTION.all(connection)]


def rule_of(row: Any) -> AuditRetention:
    """Return the rule that a row of `audit_retention` is."""
    return AuditRetention(**{name: getattr(row, name) for name in AuditRetention.model_fields})


def disposed_between(connection: Connection, begin: int, end: int) -> dict[int, int]:
    """Return the segments of the events from one index to before another that have gone, by their indexes."""
    runs = _DISPOSED.all(connection, {"begin": begin, "end": end})
    return {index: run.segment for run in runs for index in range(run.first, run.end)}


def leaves_of(connection: Connection, log: Place, number: int) -> tuple[int, bytes]:
    """Return how many events a segment holds, and the root over their leaves; each is the one that the log has at its index.

    Args:
        connection: in a transaction; it reads neither contents nor salts.
        log: where the log is read.
        number: of the segment.

    Raises:
        IntegrityViolation: an event is not the one that is in the log, which names its index. Nothing may be disposed of that shows it.
    """
    tree, tile, hashes = Frontier(), -1, b""
    size = _size_of(log)
    after = -1
    while rows := _LEAVES.all(connection, {"segment": number, "after": after, "limit": _AT_ONCE}):
        for row in rows:
            if row.index // WIDTH != tile:
                tile = row.index // WIDTH
                hashes = _hashes(log, tile, size)
            found = leaf_hash(leaf_entry(row.index, row.id, row.recorded_at, row.commitment))
            if hashes[row.index % WIDTH * HASH_BYTES :][:HASH_BYTES] != found:
                raise IntegrityViolation(
                    f"event {row.index}, {row.id}, of segment {number} is not the one in the log",
                    remedy="`holdfast audit verify` says what else is not as it was; the segment stays until then",
                    details={"index": row.index},
                )
            tree.extend([found])
        after = rows[-1].index
    return tree.size, tree.root()


def _size_of(log: Place) -> int:
    try:
        return Checkpoint.unchecked(log.read(CHECKPOINT).decode(errors="replace")).size
    except NotFound:
        raise Unavailable(
            f"there is no log in {log}: nothing can be compared with it", remedy="HOLDFAST_LEDGER_LOG says where it is"
        ) from None


def _hashes(log: Place, tile: int, size: int) -> bytes:
    width = min(WIDTH, size - tile * WIDTH)
    return log.read(Tile(0, tile, width).path) if width > 0 else b""


def _decided(connection: Connection, rows: Sequence[Any], retention: Sequence[AuditRetention]) -> list[Decision]:
    at, published = _NOW.one(connection)
    sinks = {row.name: row.cursor for row in _SINKS.all(connection)}
    rules = {one.event_class: Rule(one.period_days, one.quota) for one in retention}
    return decide([_segment(row) for row in rows], rules, at, published, sinks)


def _segment(row: Any) -> Segment:
    newest: datetime | None = row.newest_at
    return Segment(
        number=row.segment,
        event_class=EventClass(row.event_class),
        opened_at=row.opened_at,
        count=row.count,
        is_closed=row.closed_at is not None,
        last_index=row.last_index,
        newest_at=newest,
        is_disposed=row.disposed_at is not None,
    )


def _shown(row: Any, decision: Decision | None) -> AuditSegment:
    return AuditSegment(
        segment=row.segment,
        event_class=EventClass(row.event_class),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        sealed_at=row.sealed_at,
        count=row.count,
        first_index=row.first_index,
        last_index=row.last_index,
        oldest_at=row.oldest_at,
        newest_at=row.newest_at,
        root=text_of(row.root) if row.root is not None else None,
        disposed_at=row.disposed_at,
        certificate=row.certificate,
        next=decision.step if decision else None,
        why=decision.why if decision else "its events have gone",
        until=decision.until if decision else None,
    )


_NOW = Prepared(text("SELECT now() AS at, (SELECT COALESCE(max(size), 0) FROM ledger_checkpoint) AS published"))
_SINKS = Prepared(text("SELECT name, cursor FROM export_sink"))
# What is sealed has been counted; what is not lies in a partition of its own.
_SEGMENTS = Prepared(
    text(
        """
        SELECT s.segment, s.class AS event_class, s.opened_at, s.closed_at, s.sealed_at, s.first_index, s.last_index, s.oldest_at,
        s.newest_at, s.root, s.disposed_at, s.certificate,
        COALESCE(s.count, (SELECT count(*) FROM audit_event e WHERE e.segment = s.segment)) AS count
        FROM audit_segment s ORDER BY s.segment
        """
    )
)
_RETENTION = Prepared(
    text(
        "SELECT DISTINCT ON (class) class AS event_class, period_days, quota, reason, defined_by, defined_at"
        " FROM audit_retention ORDER BY class, defined_at DESC, id DESC"
    )
)
_DISPOSED = Prepared(
    text(
        """
        SELECT s.segment, lower(run) AS first, upper(run) AS end
        FROM audit_segment s, unnest(s.indexes * int8multirange(int8range(:begin, :end))) AS run
        WHERE s.disposed_at IS NOT NULL AND s.first_index < :end AND s.last_index >= :begin
        """
    )
)
_LEAVES = Prepared(
    text(
        "SELECT l.index, e.id, e.recorded_at, e.commitment FROM ledger_leaf l"
        " JOIN audit_event e ON e.id = l.event_id AND e.segment = l.segment"
        " WHERE l.index > :after AND l.segment = :segment ORDER BY l.index LIMIT :limit"
    )
)
