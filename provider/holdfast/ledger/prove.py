"""Makes proofs of events from a log's files and the events' rows: one small file each, C2SP tlog-proof."""

from uuid import UUID

from sqlalchemy import Connection, text

from holdfast.core.errors import NotFound, StateConflict
from holdfast.core.leaf import leaf_entry
from holdfast.core.merkle import prove_inclusion
from holdfast.core.note import Checkpoint, encoded
from holdfast.core.tiles import CHECKPOINT, nodes_of
from holdfast.ledger.place import Place
from holdfast.store.prepared import Prepared
from holdfast.wire.canonical import event_bytes

FORMAT = "holdfast.event-proof/1"


def prove_event(connection: Connection, log: Place, event: UUID) -> str:
    """Return the proof that an event stands in the log as it can be read now.

    Raises:
        NotFound: there is no such event.
        StateConflict: it is not in the log yet.
    """
    row = _EVENT.one_or_none(connection, {"event": event})
    if row is None:
        raise NotFound(f"there is no audit event {event}", remedy="`holdfast audit list` shows them")
    note = log.read(CHECKPOINT).decode()
    size = Checkpoint.unchecked(note).size
    if row.index is None or row.index >= size:
        raise StateConflict(
            f"audit event {event} is not in the log yet",
            remedy="Try again in a second; `holdfast ledger status` says whether a sequencer runs",
        )
    path = prove_inclusion(row.index, size, nodes_of(lambda tile: log.read(tile.path), size))
    evidence = {
        "content": row.content,
        "format": FORMAT,
        "leaf": leaf_entry(row.index, event, row.recorded_at, row.commitment).decode(),
        "salt": row.salt.hex() if row.content is not None else None,
    }
    extra = encoded(event_bytes(evidence))
    lines = ["c2sp.org/tlog-proof@v1", f"extra {extra}", f"index {row.index}", *map(encoded, path)]
    return "\n".join(lines) + "\n\n" + note


_EVENT = Prepared(
    text(
        "SELECT e.content, e.salt, e.recorded_at, e.commitment, l.index FROM audit_event e"
        " LEFT JOIN ledger_leaf l ON l.event_id = e.id WHERE e.id = :event"
    )
)
