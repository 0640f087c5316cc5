"""Verifies a whole log: every entry, tile and checkpoint, and every event's row against them, in flat memory.

What does not fit is told with its index, and the look goes on where it can: the first bad index is the one that matters, but how much is
bad tells what has happened.
"""

import heapq
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from sqlalchemy import Engine, text

from holdfast.core.digest import text_of
from holdfast.core.errors import IntegrityViolation, NotFound
from holdfast.core.merkle import Frontier
from holdfast.core.note import Check, Checkpoint, VerifierKey, opened_checkpoint
from holdfast.core.tiles import CHECKPOINT, Edge, Tile
from holdfast.ledger.chunk import CHUNK, Chunk, compare_tile, look_at
from holdfast.ledger.copies import DIRECTORY
from holdfast.ledger.disposals import compare_erased, compare_rules, compare_segments, disposed_of
from holdfast.ledger.place import Place
from holdfast.ledger.shown import size_at
from holdfast.ledger.status import status_of
from holdfast.store.engine import read_only
from holdfast.wire.ledger import CopyExtent, LedgerFinding, LedgerVerification, SignedRange

PARALLEL_FROM = 8 * CHUNK
"""Entries from which on it pays to start processes."""
_BEGUN = 32
"""Chunks that are begun, or seen and not yet told in their turn, for each core."""

Known = tuple[int, str, bytes]
"""A checkpoint: its size, where it is from, its root."""
Again = Callable[[], tuple[Place, Engine | None]]


class Verification:
    """One look at a log.

    Args:
        log: where it is read.
        keys: that are pinned.
        check: judges signatures.
        engine: of the governance database; without it the log is verified by itself.
        known: checkpoints from outside, by where they are from: this log has to have been what they say.
        copies: WORM locations and witnesses' folders; the log has to have been what each of their checkpoints says.
        progress: told after each chunk how many entries were looked at, of how many.
        again: opens the same log and database in another process, and can be sent there; with it, as many look as there are cores.
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
        again: Again | None = None,
    ) -> None:
        self._log, self._keys, self._check, self._engine = log, keys, check, engine
        self._known, self._copies, self._progress = known or {}, copies, progress
        self._again = again
        # Up to which size each copy claims to have checkpoints, and how many it has; the sizes between which each key has signed.
        self._held: dict[Place, tuple[int, int]] = {}
        self._signed: dict[VerifierKey, tuple[int, int]] = {}
        # The tree over the leaves of each segment whose events have gone.
        self._gone: dict[int, Frontier] = {}
        self.findings: list[LedgerFinding] = []

    def verify(self) -> LedgerVerification:
        """Look at everything and return what that was, together with what does not fit, which `findings` has as well.

        Raises:
            IntegrityViolation: there is no checkpoint that a pinned key has signed, so there is nothing to begin with.
            NotFound, Unavailable: the log or the database cannot be read.
        """
        latest = self._latest()
        before = disposed_of(self._engine) if self._engine is not None else frozenset()
        checkpoints = _Ahead(
            heapq.merge(
                [(latest.size, "the log's checkpoint", latest.root)],
                self._outside(),
                self._kept(),
                *(self._copied(place) for place in self._copies),
            )
        )
        checkpoints.up_to(0)
        edge, size, rows, seen, after = Edge(), 0, 0, 0, list[bytes]()
        for chunk, due in self._chunks(latest.size, checkpoints):
            self.findings += chunk.findings
            rows += chunk.rows.count
            self._go_on_disposed(chunk.rows.gone)
            if self._engine is not None and chunk.rows.erased:
                compare_erased(self._engine, chunk.rows.erased, self._found)
            for one in due:
                if one[0] in chunk.subtrees_at:
                    self._compare_root(one, edge.root(*chunk.subtrees_at[one[0]]))
                    seen += 1
                else:
                    self._lacks(one, chunk.begin + chunk.size)
            size = chunk.begin + chunk.size
            self._progress(size, latest.size)
            if chunk.size < CHUNK:
                after = chunk.subtrees
                break
            self._go_on(edge, chunk)
        root = edge.root(*after)
        self._compare_partial(edge, latest.size)
        for one in checkpoints:
            self._lacks(one, size)
        self._compare_copies()
        self._find_strays()
        if self._engine is not None:
            bad = [one.index for one in self.findings if one.index is not None]
            compare_segments(self._engine, self._gone, before, self._found, bad)
            compare_rules(self._engine, self._found)
        return LedgerVerification(
            size=size,
            root=text_of(root),
            events=rows,
            checkpoints=seen,
            signed=[
                SignedRange(verifier_key=str(key), first=first, last=last)
                for key, (first, last) in sorted(self._signed.items(), key=lambda one: one[1])
            ],
            copies=[
                CopyExtent(place=str(place), checkpoints=self._held[place][1], newest=self._held[place][0])
                for place in self._copies
            ],
            waiting=self._waiting(),
            first_bad_index=min((one.index for one in self.findings if one.index is not None), default=None),
            findings=self.findings,
        )

    def _chunks(self, size: int, checkpoints: "_Ahead") -> Iterator[tuple[Chunk, list[Known]]]:
        """Yield each chunk with the checkpoints that are due in it; several are looked at together where there are processes for it."""
        if self._again is None or size < PARALLEL_FROM:
            for begin in range(0, size, CHUNK):
                end = min(begin + CHUNK, size)
                due = checkpoints.up_to(end)
                yield look_at(self._log, self._engine, begin, end, _sizes(due)), due
            return
        cores = len(os.sched_getaffinity(0))
        with ProcessPoolExecutor(max(1, cores - 1), get_context("spawn"), _open_again, (self._again,)) as pool:
            begun: deque[tuple[Future[Chunk], list[Known]]] = deque()
            for begin in range(0, size, CHUNK):
                end = min(begin + CHUNK, size)
                due = checkpoints.up_to(end)
                if sum(not look.done() for look, _ in begun) < 2 * (cores - 1):
                    # Two each keep every process busy.
                    look = pool.submit(_look_again, begin, end, _sizes(due))
                else:
                    # This process is one of them: it has begun already while the others still start.
                    look = Future()
                    look.set_result(look_at(self._log, self._engine, begin, end, _sizes(due)))
                begun.append((look, due))
                # What was seen does not pile up.
                while begun and (begun[0][0].done() or len(begun) > _BEGUN * cores):
                    look, then = begun.popleft()
                    yield look.result(), then
            while begun:
                look, then = begun.popleft()
                yield look.result(), then

    def _go_on(self, edge: Edge, chunk: Chunk) -> None:
        """Add a full chunk to the tree over chunks, whose tiles are the log's from the second level on."""
        for tile, content in edge.extend(chunk.subtrees):
            compare_tile(self._log, Tile(tile.level + 2, tile.index, tile.width), content, self._found)

    def _compare_partial(self, edge: Edge, size: int) -> None:
        if edge.size == size // CHUNK:
            for tile, content in edge.partial():
                compare_tile(self._log, Tile(tile.level + 2, tile.index, tile.width), content, self._found)

    def _lacks(self, one: Known, size: int) -> None:
        self._found(size, f"{one[1]} is of {one[0]} events, and the log has {size}")

    def _found(self, index: int | None, what: str) -> None:
        self.findings.append(LedgerFinding(index=index, what=what))

    def _compare_root(self, due: Known, root: bytes) -> None:
        size, what, claimed = due
        if claimed != root:
            self._found(None, f"{what} of {size} events has another root than the log's entries")

    def _find_strays(self) -> None:
        """Tell events that are in the database and were not there when their turn came: somebody has put them in later."""
        if self._engine is None:
            return
        with read_only(self._engine) as connection:
            for row in connection.execute(_STRAYS):
                self._found(
                    None, f"event {row.id} is in the database and can never be in the log: it was not there in time"
                )

    def _go_on_disposed(self, gone: Mapping[int, Sequence[bytes]]) -> None:
        for segment, leaves in gone.items():
            self._gone.setdefault(segment, Frontier()).extend(leaves)

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
            # A file that was written twice is there in two versions; who takes the newest away, with others, leaves the last that is there.
            sizes, last = sizes + (last < found.size and (found.size <= newest or not newest)), found.size
            yield found.size, what, found.root
        self._held[place] = newest or last, sizes

    def _compare_copies(self) -> None:
        """Tell which copies lack checkpoints that were signed; what a copy does not have yet is not lacking."""
        if self._engine is None:
            return
        for place, (newest, sizes) in self._held.items():
            with read_only(self._engine) as connection:
                kept = connection.scalar(_COUNT, {"size": newest})
            if kept != sizes:
                self._found(None, f"{place} holds {sizes} of the {kept} checkpoints up to {newest} events")

    def _latest(self) -> Checkpoint:
        try:
            return self._opened(self._log.read(CHECKPOINT).decode(errors="replace"))
        except NotFound:
            raise NotFound(
                f"there is no log in {self._log}: it has no checkpoint", remedy="HOLDFAST_LEDGER_LOG says where it is"
            ) from None
        except IntegrityViolation as error:
            raise IntegrityViolation(
                f"the log's checkpoint in {self._log}: {error.message}",
                remedy=error.remedy or "Bring it back from a copy, and find out who has changed it",
            ) from None

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


# In a database that was restored on another server, what was brought along still waits for its turn.
_STRAYS = text(
    """
    SELECT e.id FROM audit_event e, ledger_head h
    WHERE (e.xid, e.id) <= (h.cursor_xid, h.cursor_event) AND h.server = (SELECT system_identifier FROM pg_control_system())
    AND NOT EXISTS (SELECT FROM ledger_leaf l WHERE l.event_id = e.id AND l.segment = e.segment) ORDER BY e.id LIMIT 100
    """
)


class _Ahead:
    """Checkpoints in order of their sizes, taken as far as they are due."""

    def __init__(self, checkpoints: Iterator[Known]) -> None:
        self._rest = checkpoints
        self._next = next(checkpoints, None)

    def up_to(self, size: int) -> list[Known]:
        """Return those that are next and of this size at most."""
        due = []
        while self._next is not None and self._next[0] <= size:
            due.append(self._next)
            self._next = next(self._rest, None)
        return due

    def __iter__(self) -> Iterator[Known]:
        while self._next is not None:
            yield self._next
            self._next = next(self._rest, None)


_opened_again: list[tuple[Place, Engine | None]] = []


def _open_again(again: Again) -> None:
    _opened_again.append(again())


def _look_again(begin: int, end: int, sizes: Sequence[int]) -> Chunk:
    [(log, engine)] = _opened_again
    return look_at(log, engine, begin, end, sizes)


def _sizes(due: Sequence[Known]) -> list[int]:
    return sorted({size for size, _, _ in due})


_COUNT = text("SELECT count(*) FROM ledger_checkpoint WHERE size <= :size")
_CHECKPOINTS = text("SELECT size, root, note FROM ledger_checkpoint WHERE size > :size ORDER BY size LIMIT 1000")
