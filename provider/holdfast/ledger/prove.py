"""Makes proofs of events from a log's files and the events' rows, C2SP tlog-proof: one for each event, in one small file."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from holdfast.core.errors import InvalidRequest, NotFound, StateConflict
from holdfast.core.leaf import leaf_entry
from holdfast.core.merkle import Nodes, prove_inclusion
from holdfast.core.note import Checkpoint, encoded
from holdfast.core.tiles import CHECKPOINT, Tile, nodes_of
from holdfast.ledger.place import Place
from holdfast.store.prepared import Prepared
from holdfast.wire.canonical import event_bytes
from holdfast.wire.ledger import EventProofs

FIRST_LINE = "c2sp.org/tlog-proof@v1"
FORMAT = "holdfast.event-proof/1"
EVENTS_LIMIT = 1000


def prove_events(
    connection: Connection,
    log: Place,
    project: str | None,
    *,
    event: UUID | None = None,
    run: UUID | None = None,
    model_version: UUID | None = None,
) -> EventProofs:
    """Return the proofs of one event, or of every event about a Run or a ModelVersion, under the checkpoint that can be read now.

    About a Run are also those of its Artifacts; about a ModelVersion also those of the Run that made it, of its promotions, and of the
    aliases that moved to it.

    Args:
        connection: to the governance database.
        log: where the log is read.
        project: that the events are in; None for any.
        event: exactly one of these three.
        run: the same.
        model_version: the same.

    Raises:
        InvalidRequest: not exactly one is given, or there are more events than one file should hold.
        NotFound: there is no such event.
        StateConflict: one of them is not in the log yet.
    """
    asked = [
        (statement, what, identity)
        for statement, what, identity in (
            (_EVENT, "audit event", event),
            (_OF_RUN, "event about a Run", run),
            (_OF_MODEL_VERSION, "event about a ModelVersion", model_version),
        )
        if identity is not None
    ]
    if len(asked) != 1:
        raise InvalidRequest("one thing is proved at a time", remedy="Name an event, a Run or a ModelVersion")
    statement, what, identity = asked[0]
    rows = statement.all(connection, {"id": identity, "project": project, "limit": EVENTS_LIMIT + 1})
    if not rows:
        raise NotFound(
            f"there is no {what} {identity}",
            remedy="`holdfast audit list` shows them, and `holdfast ledger segments` what has gone",
        )
    if len(rows) > EVENTS_LIMIT:
        raise InvalidRequest(
            f"there are more than {EVENTS_LIMIT} events about {identity}", remedy="Prove them one by one, by their ids"
        )
    note = log.read(CHECKPOINT).decode()
    size = Checkpoint.unchecked(note).size
    for row in rows:
        if row.index is None or row.index >= size:
            raise StateConflict(
                f"audit event {row.id} is not in the log yet",
                remedy="Try again in a second; `holdfast ledger status` says whether a sequencer runs",
            )

    @cache
    def read(tile: Tile) -> bytes:
        return log.read(tile.path)

    nodes = nodes_of(read, size)
    return EventProofs(count=len(rows), size=size, text=_written(rows, nodes, size, note))


def _written(rows: Sequence[Any], nodes: Nodes, size: int, note: str) -> str:
    return "".join(_proof_of(row, nodes, size, note) for row in sorted(rows, key=lambda row: int(row.index)))


def _proof_of(row: Any, nodes: Nodes, size: int, note: str) -> str:
    evidence = {
        "content": row.content,
        "format": FORMAT,
        "leaf": leaf_entry(row.index, row.id, row.recorded_at, row.commitment).decode(),
        "salt": row.salt.hex() if row.content is not None else None,
    }
    path = prove_inclusion(row.index, size, nodes)
    lines = [FIRST_LINE, f"extra {encoded(event_bytes(evidence))}", f"index {row.index}", *map(encoded, path)]
    return "\n".join(lines) + "\n\n" + note


# Each by an index: what is looked for is put together first. A leaf is of one event: what has its id in another segment is not in the log.
_PROVED = """
    SELECT e.id, e.content, e.salt, e.recorded_at, e.commitment, l.index
    FROM ({found}) f JOIN audit_event e ON e.id = f.id LEFT JOIN ledger_leaf l ON l.event_id = e.id
    WHERE (CAST(:project AS text) IS NULL OR e.project = CAST(:project AS text)) AND (l.segment IS NULL OR l.segment = e.segment)
    ORDER BY e.id LIMIT :limit
"""
_ABOUT = "SELECT e.id FROM audit_event e WHERE e.target_id = ANY (ARRAY({targets}))"
_RUN = """
    SELECT CAST(:id AS uuid)::text UNION ALL SELECT a.id::text FROM artifact a WHERE a.run_id = CAST(:id AS uuid)
"""
_MODEL_VERSION = """
    SELECT CAST(:id AS uuid)::text
    UNION ALL SELECT p.id::text FROM promotion p WHERE p.model_version_id = CAST(:id AS uuid)
    UNION ALL SELECT v.source_run_id::text FROM model_version v WHERE v.id = CAST(:id AS uuid)
    UNION ALL SELECT a.id::text FROM model_version v JOIN artifact a ON a.run_id = v.source_run_id
    WHERE v.id = CAST(:id AS uuid)
"""
_MOVED = """
    SELECT e.id FROM model_version v JOIN audit_event e ON e.target_id = v.model_id::text
    WHERE v.id = CAST(:id AS uuid) AND e.action = 'alias.moved' AND e.content::json -> 'content' ->> 'after' = v.id::text
"""
_EVENT = Prepared(text(_PROVED.format(found="SELECT CAST(:id AS uuid) AS id")))
_OF_RUN = Prepared(text(_PROVED.format(found=_ABOUT.format(targets=_RUN))))
_OF_MODEL_VERSION = Prepared(text(_PROVED.format(found=f"{_ABOUT.format(targets=_MODEL_VERSION)} UNION ALL {_MOVED}")))
