"""Compares what the database says has gone, is sealed, or may go, with the events that say so, which themselves never go.

What an event says is read here and not in the database: whoever owns that can write what is no event.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, text

from holdfast.core.audit import AuditAction
from holdfast.core.digest import text_of
from holdfast.core.merkle import Frontier
from holdfast.ledger.segments import rule_of
from holdfast.wire.ledger import AuditRetention

Found = Callable[[int | None, str], None]


@dataclass(frozen=True, slots=True)
class Erased:
    """An event whose content has gone, as its row shows it.

    Attributes:
        index: in the log.
        event: its id.
        shows: its columns, by their names.
    """

    index: int
    event: UUID
    shows: dict[str, str | None]


def rule_content(identity: UUID, rule: AuditRetention) -> dict[str, object]:
    """Return what the event says that puts a rule of retention on record."""
    return {
        "rule": str(identity),
        "period_days": rule.period_days,
        "quota": rule.quota,
        "defined_at": rule.defined_at.isoformat(),
    }


def compare_erased(engine: Engine, erased: Sequence[Erased], found: Found) -> None:
    """Tell erased events of which no other event says so, or which show something else than it says."""
    with _snapshot(engine) as connection:
        records = defaultdict[str, list[dict[str, Any]]](list)
        for row in connection.execute(_ERASURES, {"events": [str(one.event) for one in erased]}):
            records[row.target_id].append(_said(row.content))
    for one in erased:
        what = f"event {one.index}, {one.event},"
        if not (said := records[str(one.event)]):
            found(one.index, f"{what} has no content, and no event says that it was erased")
            continue
        for record in said:
            content = {
                **_content(record),
                "project": record.get("project"),
                "initiator": "erased",
                "target_id": "erased",
            }
            wrong = [name for name, value in one.shows.items() if content.get(name) != value]
            if wrong or content.get("index") != one.index:
                columns = ", ".join(wrong) or "index"
                found(one.index, f"{what} shows something else than the event of its erasure says: {columns}")
                break


def disposed_of(engine: Engine) -> frozenset[int]:
    """Return the segments whose events have gone by now."""
    with _snapshot(engine) as connection:
        return frozenset(row.segment for row in connection.execute(_SEALED) if row.is_disposed)


def compare_segments(
    engine: Engine, gone: Mapping[int, Frontier], before: frozenset[int], found: Found, bad: Sequence[int] = ()
) -> None:
    """Tell segments that are something else than what is certified, or of which nothing is certified.

    Args:
        engine: of the governance database.
        gone: the tree over the log's leaves of each segment that is said to be disposed of.
        before: those that were disposed of before the first leaf was looked at: the trees of others are not whole.
        found: told the index and what does not fit.
        bad: indexes that are known to be bad; where one lies in a segment it, and not the segment's first, is what is bad.
    """
    with _snapshot(engine) as connection:
        rows = connection.execute(_SEALED).all()
        statements = defaultdict[str, list[tuple[str, UUID, tuple[Any, Any]]]](list)
        actions = [AuditAction.AUDIT_SEGMENT_SEALED.value, AuditAction.AUDIT_SEGMENT_DISPOSED.value]
        for one in _disposal_events(connection, actions):
            content = _content(_said(one.content))
            statements[one.target_id].append((one.action, one.id, (content.get("count"), content.get("root"))))
    for row in rows:
        holds, said = (row.size, text_of(row.root)), statements[str(row.segment)]
        what = f"segment {row.segment}, which is said to be {'disposed of' if row.is_disposed else 'sealed'},"
        index = None if any(row.first_index <= one <= row.last_index for one in bad) else row.first_index
        if row.is_disposed:
            tree = gone.get(row.segment, Frontier())
            if row.segment in before and (tree.size, tree.root()) != (row.size, row.root):
                found(index, f"{what} has held other events than its row says")
            certified = (AuditAction.AUDIT_SEGMENT_DISPOSED, row.certificate, holds) in said
        else:
            certified = any(one[0] == AuditAction.AUDIT_SEGMENT_SEALED for one in said)
        if not certified:
            found(index, f"{what} has no event that certifies this")
        elif any(claim != holds for _, _, claim in said):
            found(index, f"{what} is something else than an event has said of it")


def compare_rules(engine: Engine, found: Found) -> None:
    """Tell rules of retention that no event has put on record as they are, and those on record that are not there any more."""
    with _snapshot(engine) as connection:
        rows = [
            (row.event_class, row.reason, row.defined_by, rule_content(row.id, rule_of(row)))
            for row in connection.execute(_RULES)
        ]
        events = _disposal_events(connection, [AuditAction.AUDIT_RETENTION_DEFINED.value])
        said = [
            (one.target_id, record.get("reason"), record.get("initiator"), _content(record))
            for one in events
            for record in [_said(one.content)]
        ]
    for event_class, _, _, content in (one for one in rows if one not in said):
        found(None, f"rule {content['rule']} for events of class {event_class} is not as an event has put it on record")
    for event_class, _, _, content in (one for one in said if one not in rows):
        found(
            None, f"rule {content.get('rule')} for events of class {event_class} is on record, and not there as it says"
        )


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """Yield a connection whose statements all see one moment: what is done meanwhile is no contradiction."""
    with engine.connect() as opened:
        connection = opened.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


def _disposal_events(connection: Connection, actions: Sequence[str]) -> Sequence[Any]:
    # Two statements: numbers that are known beforehand let the planner leave out the partitions of all other events.
    segments = list(connection.scalars(_DISPOSAL))
    return connection.execute(_SAID, {"segments": segments, "actions": list(actions)}).all()


def _said(content: str | None) -> dict[str, Any]:
    try:
        said = orjson.loads(content or "")
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _content(said: Mapping[str, Any]) -> dict[str, Any]:
    content = said.get("content")
    return content if isinstance(content, dict) else {}


_ERASURES = text(
    """
    SELECT target_id, content FROM audit_event WHERE target_id = ANY(:events) AND target_type = 'audit_event'
    AND action = 'audit_event.erased' AND outcome = 'succeeded'
    """
)
_SEALED = text(
    """
    SELECT segment, first_index, last_index, count AS size, root, certificate, disposed_at IS NOT NULL AS is_disposed
    FROM audit_segment WHERE sealed_at IS NOT NULL ORDER BY segment
    """
)
_DISPOSAL = text("SELECT segment FROM audit_segment WHERE class = 'disposal'")
# That each is in the log, and says there what it says here, is seen where its own row is compared.
_SAID = text(
    """
    SELECT id, action, target_id, content FROM audit_event
    WHERE segment = ANY(:segments) AND action = ANY(:actions) AND outcome = 'succeeded'
    """
)
_RULES = text(
    "SELECT id, class AS event_class, period_days, quota, reason, defined_by, defined_at FROM audit_retention"
)
