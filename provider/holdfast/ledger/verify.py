"""Verifies a whole log: every entry, tile and checkpoint, and every event's row against them, in flat memory.

What does not fit is told with its index, and the look goes on where it can: the first bad index is the one that matters, but how much is
bad tells what has happened.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Engine, text

from holdfast.core.audit import commitment
from holdfast.core.digest import text_of
from holdfast.core.errors import IntegrityViolation, NotFound
from holdfast.core.leaf import leaf_entry
from holdfast.core.merkle import HASH_BYTES, leaf_hash
from holdfast.core.note import Check, Checkpoint, VerifierKey, opened_checkpoint
from holdfast.core.tiles import CHECKPOINT, WIDTH, Edge, Tile, bundle_path, unpacked
from holdfast.ledger.copies import DIRECTORY
from holdfast.ledger.place import Place
from holdfast.ledger.shown import size_at
from holdfast.ledger.status import status_of
from holdfast.store.engine import read_only
from holdfast.wire.ledger import LedgerFinding, LedgerVerification, SignedRange

BLOCK = 32 * WIDTH
"""Entries that are looked at together."""


class Verification:
    """One look at a log.

    Args:
        log: where it is read.
        keys: that are pinned.
        check: judges signatures.
        engine: of the governance database; without it the log is verified by itself.
        known: checkpoints from outside, by where they are from: this log has to have been what they say.
        copies: WORM locations and witnesses' folders; the log has to have been what each of their checkpoints says.
        progress: told after each block how many entries were looked at, of how many.
    """

    def __init__(
        self,
        log: Place,
        keys: Sequence[VerifierKey],
        check: Check,
        engine: Engine | None = None,
        known: Mapping[str, str] | None = None,
        copies: Sequence[Place] = (),
        progress: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> None:
        self._log, self._keys, self._check, self._engine = log, keys, check, engine
        self._known, self._copies, self._progress = known or {}, copies, progress
        self._held: dict[
            Place, tuple[int, int]
        ] = {}  # up to which size each copy claims to have checkpoints, and how many it has
        self._signed: dict[VerifierKey, tuple[int, int]] = {}  # the sizes between which each key has signed
        self.findings: list[LedgerFinding] = []

    def verify(self) -> LedgerVerification:
        """Look at everything and return what that was, together with what does not fit, which `findings` has as well.

        Raises:
            IntegrityViolation: there is no checkpoint that a pinned key has signed, so there is nothing to begin with.
            NotFound, Unavailable: the log or the database cannot be read.
        """
        latest = self._opened(self._log.read(CHECKPOINT).decode(errors="replace"))
        checkpoints = heapq.merge(
            [(latest.size, "the log's checkpoint", latest.root)],
            self._outside(),
            self._kept(),
            *(self._copied(place) for place in self._copies),
        )
        edge, rows, seen = Edge(), 0, 0
        due = next(checkpoints, None)
        while due is not None and due[0] == 0:
            due = next(checkpoints, None)
        for begin in range(0, latest.size, BLOCK):
            entries = self._entries(begin, min(begin + BLOCK, latest.size))
            rows += self._compare_rows(begin, entries)
            for entry in entries:
                for tile, content in edge.append(leaf_hash(entry)):
                    self._compare_tile(tile, content)
                while due is not None and due[0] == edge.size:
                    self._compare_root(due, edge)
                    seen, due = seen + 1, next(checkpoints, None)
            self._progress(edge.size, latest.size)
            if edge.size < min(begin + BLOCK, latest.size):
                break
        if edge.size == latest.size:
            for tile, content in edge.partial():
                self._compare_tile(tile, content)
        for size, what, _ in [due, *checkpoints] if due else ():
            self._found(edge.size, f"{what} is of {size} events, and the log has {edge.size}")
        self._compare_copies()
        self._find_strays()
        return LedgerVerification(
            size=edge.size,
            root=text_of(edge.root()),
            events=rows,
            checkpoints=seen,
            signed=[
                SignedRange(verifier_key=str(key), first=first, last=last)
                for key, (first, last) in sorted(self._signed.items(), key=lambda one: one[1])
            ],
            waiting=self._waiting(),
            first_bad_index=min((one.index for one in self.findings if one.index is not None), default=None),
            findings=self.findings,
        )

    def _found(self, index: int | None, what: str) -> None:
        self.findings.append(LedgerFinding(index=index, what=what))

    def _entries(self, begin: int, end: int) -> list[bytes]:
        """Return the entries that can be read, up to the first that cannot; each is the one of its index."""
        entries: list[bytes] = []
        for start in range(begin, end, WIDTH):
            path = bundle_path(start // WIDTH, min(WIDTH, end - start))
            try:
                bundle = unpacked(self._log.read(path))
            except (NotFound, IntegrityViolation) as error:
                self._found(start, f"{path}: {error.message}")
                return entries
            if len(bundle) != min(WIDTH, end - start):
                self._found(start + len(bundle), f"{path} has {len(bundle)} entries")
                return entries
            entries += bundle
        return entries

    def _compare_tile(self, tile: Tile, content: bytes) -> None:
        try:
            found = self._log.read(tile.path)
        except NotFound:
            found = b""
        if found == content:
            return
        what = f"{tile.path} is not the tile of the log's entries" if found else f"{tile.path} is not there"
        # Of a higher level, the entries themselves or the tiles below tell where.
        first = next(
            place
            for place in range(tile.width)
            if found[place * HASH_BYTES :][:HASH_BYTES] != content[place * HASH_BYTES :][:HASH_BYTES]
        )
        self._found(tile.index * WIDTH + first if tile.level == 0 else None, what)

    def _compare_root(self, due: tuple[int, str, bytes], edge: Edge) -> None:
        size, what, root = due
        if root != edge.root():
            self._found(None, f"{what} of {size} events has another root than the log's entries")

    def _compare_rows(self, begin: int, entries: list[bytes]) -> int:
        """Compare the rows of some indexes with the log's entries, and each content with its commitment."""
        if self._engine is None:
            return 0
        with read_only(self._engine) as connection:
            rows = {row.place: row for row in connection.execute(_ROWS, {"begin": begin, "end": begin + len(entries)})}
        for index, entry in enumerate(entries, begin):
            row = rows.get(index)
            if row is None or row.id is None:
                self._found(index, f"event {index} is not in the database")
            elif leaf_entry(index, row.id, row.recorded_at, row.commitment) != entry:
                self._found(index, f"event {index}, {row.id}, is in the database with another time, commitment or id")
            elif row.content is not None and commitment(row.salt, row.content.encode()) != row.commitment:
                self._found(index, f"event {index}, {row.id}, has another content than the one that was committed to")
            elif row.content is not None and (wrong := _columns_unlike(row)):
                self._found(index, f"event {index}, {row.id}, has columns unlike its content: {', '.join(wrong)}")
        return len(rows)

    def _find_strays(self) -> None:
        """Tell events that are in the database and were not there when their turn came: somebody has put them in later."""
        if self._engine is None:
            return
        with read_only(self._engine) as connection:
            for row in connection.execute(_STRAYS):
                self._found(
                    None, f"event {row.id} is in the database and can never be in the log: it was not there in time"
                )

    def _outside(self) -> list[tuple[int, str, bytes]]:
        """Return the checkpoints that were brought from outside, in order."""
        opened_ones = [(self._opened(note), name) for name, note in self._known.items()]
        return sorted((found.size, f"the checkpoint {name}", found.root) for found, name in opened_ones)

    def _kept(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield the checkpoints in the database, in order, page by page; each has to be signed as it stands there."""
        size = 0
        while self._engine is not None:
            with read_only(self._engine) as connection:
                page = connection.execute(_CHECKPOINTS, {"size": size}).all()
            for row in page:
                try:
                    noted = self._opened(row.note)
                    if (noted.size, noted.root) != (row.size, row.root):
                        self._found(
                            None, f"the checkpoint of {row.size} events in the database is not the one that was signed"
                        )
                except IntegrityViolation as error:
                    self._found(None, f"the checkpoint of {row.size} events in the database: {error.message}")
                yield row.size, "the database's checkpoint", row.root
                size = row.size
            if not page:
                return

    def _copied(self, place: Place) -> Iterator[tuple[int, str, bytes]]:
        """Yield the checkpoints in a copy, in order; each has to be signed, and of the size that its name says."""
        try:
            newest = size_at(place)
        except IntegrityViolation as error:
            self._found(None, f"the checkpoint in {place}: {error.message}")
            newest = 0
        sizes, last = 0, 0
        for name, content in place.below(DIRECTORY):
            what = f"the checkpoint {name} in {place}"
            try:
                found = self._opened(content.decode(errors="replace"))
            except IntegrityViolation as error:
                self._found(None, f"{what}: {error.message}")
                continue
            if name != f"{found.size:020}":
                self._found(None, f"{what} is one of {found.size} events")
                continue
            # A file that was written twice is there in two versions.
            sizes, last = sizes + (last < found.size <= newest), found.size
            yield found.size, what, found.root
        self._held[place] = newest, sizes

    def _compare_copies(self) -> None:
        """Tell which copies lack checkpoints that were signed; what a copy does not have yet is not lacking."""
        if self._engine is None:
            return
        for place, (newest, sizes) in self._held.items():
            with read_only(self._engine) as connection:
                kept = connection.scalar(_COUNT, {"size": newest})
            if kept != sizes:
                self._found(None, f"{place} holds {sizes} of the {kept} checkpoints up to {newest} events")

    def _opened(self, note: str) -> Checkpoint:
        """Return the checkpoint of a note, and remember which keys have signed it; raises IntegrityViolation."""
        found, by = opened_checkpoint(note, self._keys, self._check)
        for key in by:
            first, last = self._signed.get(key, (found.size, found.size))
            self._signed[key] = (min(first, found.size), max(last, found.size))
        return found

    def _waiting(self) -> int:
        if self._engine is None:
            return 0
        with read_only(self._engine) as connection:
            return status_of(connection).waiting


def _columns_unlike(row: Any) -> list[str]:
    """Return the columns of an event that say something else than its content, by which lists find and show it."""
    content = orjson.loads(row.content)
    target = content["target"]
    said = {
        "id": content["id"],
        "project": content["project"],
        "action": content["action"],
        "initiator": content["initiator"],
        "target_type": target["type"],
        "target_id": target["id"],
        "outcome": content["outcome"],
    }
    shown = {name: getattr(row, name) for name in said}
    return [name for name, value in said.items() if value != (str(shown[name]) if name == "id" else shown[name])]


_ROWS = text(
    "SELECT l.index AS place, e.id, e.recorded_at, e.commitment, e.content, e.salt, e.project, e.action, e.initiator,"
    " e.target_type, e.target_id, e.outcome FROM ledger_leaf l LEFT JOIN audit_event e ON e.id = l.event_id WHERE l.index >= :begin AND l.index < :end"
)
# In a database that was restored on another server, what was brought along still waits for its turn.
_STRAYS = text(
    """
    SELECT e.id FROM audit_event e, ledger_head h
    WHERE (e.xid, e.id) <= (h.cursor_xid, h.cursor_event) AND h.server = (SELECT system_identifier FROM pg_control_system())
    AND NOT EXISTS (SELECT FROM ledger_leaf l WHERE l.event_id = e.id) ORDER BY e.id LIMIT 100
    """
)
_COUNT = text("SELECT count(*) FROM ledger_checkpoint WHERE size <= :size")
_CHECKPOINTS = text("SELECT size, root, note FROM ledger_checkpoint WHERE size > :size ORDER BY size LIMIT 1000")
