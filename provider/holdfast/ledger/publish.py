"""Publishes a log as far as indexes were given: entries and tiles, then a checkpoint over them.

Whatever breaks off is done again with the same bytes: what they are follows from the database alone. The checkpoint of a size is kept
in the database before anybody sees it, and there is one; so nobody ever sees another.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine, text

from holdfast.core.errors import IntegrityViolation
from holdfast.core.leaf import leaf_entry
from holdfast.core.merkle import leaf_hash
from holdfast.core.note import Check, Checkpoint, VerifierKey, signed
from holdfast.core.tiles import CHECKPOINT, WIDTH, Edge, bundle_path, packed
from holdfast.ledger.order import EVENT_OF_LEAF
from holdfast.ledger.place import Place
from holdfast.ledger.shown import root_kept, shown_at
from holdfast.ports import Signer
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared

AT_ONCE = 64 * WIDTH
"""Leaves under one checkpoint at most, so that memory stays flat however far the log is behind."""


class Publisher:
    """Brings a log's files up to what stands in the database.

    Args:
        engine: of the governance database.
        signers: the log's keys, which all sign; their name, one and the same, is the log's origin.
        check: judges signatures.
        log: where the log is read.
        probe: called at the named points; tests inject faults by it.
    """

    def __init__(
        self,
        engine: Engine,
        signers: Sequence[Signer],
        check: Check,
        log: Place,
        probe: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._engine, self._signers, self._check = engine, signers, check
        self._log, self._probe = log, probe
        self._edge: Edge | None = None

    @property
    def keys(self) -> list[VerifierKey]:
        """The public halves of the log's keys."""
        return [signer.key for signer in self._signers]

    def publish(self) -> int:
        """Publish as far as indexes were given, and return the size of the log that can be read now.

        Raises:
            IntegrityViolation: what was published is not what stands in the database; nothing more is published.
            Unavailable: a place does not answer; what it lacks it gets the next time.
        """
        with read_only(self._engine) as connection:
            size, last = _SIZE.scalar(connection) or 0, _LAST.one_or_none(connection)
        _, shown = shown_at(self._log, self._engine, self.keys, self._check)
        edge = self._loaded(last)
        while edge.size < size:
            self._edge = None  # until what it says is published, it is only what somebody has begun
            self._extend(edge, min(size, edge.size + AT_ONCE))
            self._probe("tiles.written")
            self._keep(edge)
            self._probe("checkpoint.kept")
            self._edge = edge
            self._show()
        if last is not None and last.size == size and shown != last.note:
            self._show()
        return edge.size

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
        files: dict[str, bytes] = {}
        for start in range(0, len(entries), WIDTH):
            bundle = entries[start : start + WIDTH]
            files[bundle_path((begin + start) // WIDTH, len(bundle))] = packed(bundle)
        full = edge.extend([leaf_hash(entry) for entry in entries[edge.size - begin :]])
        files.update((tile.path, content) for tile, content in [*full, *edge.partial()])
        self._log.write(files)

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
        root = edge.root()
        said = str(Checkpoint(self.keys[0].name, edge.size, root))
        note = signed(said, *((signer.key, signer.sign) for signer in self._signers))
        with self._engine.begin() as connection:
            _KEEP.all(connection, {"size": edge.size, "root": root, "note": note})
        if root_kept(self._engine, edge.size) != root:
            raise IntegrityViolation(
                f"there is another checkpoint of size {edge.size} already, and the events are not those that it was made of",
                remedy="Find out who changed the database; nothing is published until then",
            )

    def _show(self) -> None:
        """Show the newest checkpoint that is kept: after a standstill it may be another sequencer's, and ours is history."""
        with read_only(self._engine) as connection:
            last = _LAST.one_or_none(connection)
        if last is not None:
            self._log.write({CHECKPOINT: last.note.encode()})
            self._probe("checkpoint.published")


_SIZE = Prepared(text("SELECT size FROM ledger_head"))
_LAST = Prepared(text("SELECT size, root, note FROM ledger_checkpoint ORDER BY size DESC LIMIT 1"))
_KEEP = Prepared(
    text(
        "INSERT INTO ledger_checkpoint (size, root, note) VALUES (:size, CAST(:root AS bytea), :note) ON CONFLICT DO NOTHING"
    )
)
_LEAVES = Prepared(
    text(
        f"SELECT l.index, e.id, e.recorded_at, e.commitment FROM ledger_leaf l, {EVENT_OF_LEAF}"  # noqa: S608 - our own text
        " WHERE l.index >= :begin AND l.index < :end ORDER BY l.index"
    )
)
