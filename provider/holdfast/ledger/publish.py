"""Publishes a log as far as indexes were given: entries and tiles, then a checkpoint over them, and that everywhere.

Whatever breaks off is done again with the same bytes: what they are follows from the database alone. The checkpoint of a size is kept
in the database before anybody sees it, and there is one; so nobody ever sees another.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine, text

from holdfast.core.errors import IntegrityViolation, NotFound
from holdfast.core.leaf import leaf_entry
from holdfast.core.merkle import leaf_hash
from holdfast.core.note import Check, Checkpoint, open_checkpoint, signed
from holdfast.core.tiles import CHECKPOINT, WIDTH, Edge, bundle_path, packed
from holdfast.ledger.place import Place
from holdfast.ports import Signer
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared

AT_ONCE = 64 * WIDTH
"""Leaves under one checkpoint at most, so that memory stays flat however far the log is behind."""


class Publisher:
    """Brings a log's files up to what stands in the database.

    Args:
        engine: of the governance database.
        signer: the log's key; its name is the log's origin.
        check: judges signatures.
        log: where the log is read.
        copies: WORM locations and witnesses' folders, which get every checkpoint.
        probe: called at the named points; tests inject faults by it.
    """

    def __init__(
        self,
        engine: Engine,
        signer: Signer,
        check: Check,
        log: Place,
        copies: Sequence[Place] = (),
        probe: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._engine, self._signer, self._check = engine, signer, check
        self._log, self._copies, self._probe = log, copies, probe
        self._edge: Edge | None = None
        self._copied = 0  # the size up to which this process has seen every copy to have every checkpoint

    def publish(self) -> int:
        """Publish as far as indexes were given, and return the size of the log that can be read now.

        Raises:
            IntegrityViolation: what was published is not what stands in the database; nothing more is published.
            Unavailable: a place does not answer; what it lacks it gets the next time.
        """
        with read_only(self._engine) as connection:
            size, last = _SIZE.scalar(connection) or 0, _LAST.one_or_none(connection)
        shown = self._shown()
        edge = self._loaded(last)
        while edge.size < size:
            self._edge = None  # until what it says is published, it is only what somebody has begun
            self._extend(edge, min(size, edge.size + AT_ONCE))
            self._probe("tiles.written")
            self._keep(edge)
            self._probe("checkpoint.kept")
            self._edge = edge
            self._show()
        if last is not None and last.size == size and (shown != last.note or self._copied != size):
            self._show()
        return edge.size

    def _shown(self) -> str | None:
        """Return the note that can be read now, None where there is none; raises IntegrityViolation where another database published it."""
        try:
            note = self._log.read(CHECKPOINT).decode(errors="replace")
        except NotFound:
            return None
        shown = open_checkpoint(note, [self._signer.key], self._check)
        with read_only(self._engine) as connection:
            kept = _KEPT.one_or_none(connection, {"size": shown.size})
        if shown.size and (kept is None or kept.root != shown.root):
            raise IntegrityViolation(
                f"the log was published with {shown.size} events, and the database does not know that checkpoint: it is older than"
                " the log, or another",
                remedy="Restore a database that is at least as new as the log; nothing is published until then",
                details={"published_size": shown.size, "published_root": shown.root.hex()},
            )
        return note

    def _loaded(self, last: Any) -> Edge:
        if self._edge is not None and self._edge.size == (last.size if last else 0):
            return self._edge
        edge = Edge.load(lambda tile: self._log.read(tile.path), last.size) if last else Edge()
        if last is not None and edge.root() != last.root:
            raise IntegrityViolation(
                f"the tiles at the log's end are not those of its checkpoint of size {last.size}",
                remedy="Find out who changed them, and bring them back from a copy",
            )
        return edge

    def _extend(self, edge: Edge, size: int) -> None:
        """Write the entries and tiles that lead from one size to another, and take the edge there."""
        begin = edge.size - edge.size % WIDTH
        entries = self._entries(begin, size)
        for place, hashed in enumerate(edge.levels[0]):
            if leaf_hash(entries[place]) != hashed:
                raise IntegrityViolation(
                    f"event {begin + place} of the log is not in the database as it was published",
                    remedy="`holdfast audit verify` names every such event",
                    details={"index": begin + place},
                )
        for start in range(0, len(entries), WIDTH):
            bundle = entries[start : start + WIDTH]
            self._log.write(bundle_path((begin + start) // WIDTH, len(bundle)), packed(bundle))
        for entry in entries[edge.size - begin :]:
            for tile, content in edge.append(leaf_hash(entry)):
                self._log.write(tile.path, content)
        for tile, content in edge.partial():
            self._log.write(tile.path, content)

    def _entries(self, begin: int, end: int) -> list[bytes]:
        with read_only(self._engine) as connection:
            rows = _LEAVES.all(connection, {"begin": begin, "end": end})
        entries = [leaf_entry(row.index, row.id, row.recorded_at, row.commitment) for row in rows]
        if len(entries) != end - begin:
            missing = next(n for n, row in enumerate([*rows, None], begin) if row is None or row.index != n)
            raise IntegrityViolation(
                f"event {missing} of the log is gone from the database", details={"index": missing}
            )
        return entries

    def _keep(self, edge: Edge) -> None:
        """Keep the checkpoint of the edge's size in the database; raises IntegrityViolation where another one is there."""
        key, root = self._signer.key, edge.root()
        note = signed(str(Checkpoint(key.name, edge.size, root)), (key, self._signer.sign))
        with self._engine.begin() as connection:
            _KEEP.all(connection, {"size": edge.size, "root": root, "note": note})
        with read_only(self._engine) as connection:
            kept = _KEPT.one(connection, {"size": edge.size})
        if kept.root != root:
            raise IntegrityViolation(
                f"there is another checkpoint of size {edge.size} already, and the events are not those that it was made of",
                remedy="Find out who changed the database; nothing is published until then",
            )

    def _show(self) -> None:
        """Show the newest checkpoint that is kept: after a standstill it may be another sequencer's, and ours is history."""
        with read_only(self._engine) as connection:
            last = _LAST.one_or_none(connection)
        if last is None:
            return
        self._log.write(CHECKPOINT, last.note.encode())
        self._probe("checkpoint.published")
        for copy in self._copies:
            self._catch_up(copy)
        self._copied = last.size

    def _catch_up(self, copy: Place) -> None:
        """Give a copy every checkpoint that it lacks, the oldest first."""
        try:
            has = Checkpoint.unchecked(copy.read(CHECKPOINT).decode()).size
        except NotFound:
            has = 0
        while lacking := self._since(has):
            for row in lacking:
                copy.write(f"checkpoints/{row.size:020}", row.note.encode())
            copy.write(CHECKPOINT, lacking[-1].note.encode())
            has = lacking[-1].size

    def _since(self, size: int) -> list[Any]:
        with read_only(self._engine) as connection:
            return _SINCE.all(connection, {"size": size})


_SIZE = Prepared(text("SELECT size FROM ledger_head"))
_LAST = Prepared(text("SELECT size, root, note FROM ledger_checkpoint ORDER BY size DESC LIMIT 1"))
_KEPT = Prepared(text("SELECT size, root, note FROM ledger_checkpoint WHERE size = :size"))
_SINCE = Prepared(text("SELECT size, note FROM ledger_checkpoint WHERE size > :size ORDER BY size LIMIT 1000"))
_KEEP = Prepared(
    text(
        "INSERT INTO ledger_checkpoint (size, root, note) VALUES (:size, CAST(:root AS bytea), :note) ON CONFLICT DO NOTHING"
    )
)
_LEAVES = Prepared(
    text(
        "SELECT l.index, e.id, e.recorded_at, e.commitment FROM ledger_leaf l JOIN audit_event e ON e.id = l.event_id"
        " WHERE l.index >= :begin AND l.index < :end ORDER BY l.index"
    )
)
