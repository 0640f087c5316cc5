"""The locks of legal holds in the object store: what the record wants, what the store does, and what it says when it is read back.

The record comes first, then the store, then what the store itself says; whatever breaks off is done by the next pass. Nothing that the
record did not lock is unlocked: somebody else may have locked it, for a reason of his own.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from holdfast.core.access import Caller
from holdfast.core.audit import AuditAction
from holdfast.core.errors import HoldfastError, InvalidRequest, StateConflict, Unavailable
from holdfast.core.hold import name_of
from holdfast.ports import ObjectStore
from holdfast.service.event import event_row
from holdfast.service.refusals import translate
from holdfast.service.transaction import Probe, no_probe
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared
from holdfast.store.record import write_record
from holdfast.store.turn import take_turn
from holdfast.wire.hold import HoldLocking, LockFailure

BATCH = 1000
PARALLEL = 16
_TURN = "legal_hold_locks"
_MOST_NAMED = 100
_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Locks:
    """Brings the object store to what the record of legal holds says.

    Attributes:
        engine: of the service's login.
        objects: the object store.
        caller: who does it.
        batch: how many objects are looked at before they are recorded: what is in memory at a time.
        parallel: how many calls of the store are under way at a time.
        progress: takes how many are done, of how many.
        probe: called at named points; tests inject faults by it.
    """

    engine: Engine
    objects: ObjectStore
    caller: Caller
    batch: int = BATCH
    parallel: int = PARALLEL
    progress: Callable[[int, int], None] = lambda _done, _of: None
    probe: Probe = no_probe

    def reconcile(self, *, is_read_back: bool = False) -> HoldLocking:
        """Lock what is wanted, unlock what no hold covers any more, and, where asked, read every lock back and mend it.

        Args:
            is_read_back: whether each Artifact is compared with what the store says of it, in both directions.

        Raises:
            StateConflict: another process does it.
            InvalidRequest: the store cannot lock.
            Unavailable: the store or the database does not answer; what was done is on record.
        """
        found = _Found()
        with take_turn(self.engine, _TURN) as keep, ThreadPoolExecutor(self.parallel, "holdfast-locks") as threads:
            if keep is None:
                raise StateConflict(
                    "another process reconciles the locks of legal holds", remedy="Wait until it has ended"
                )
            for rows in self._batches(_WANTED, _COUNT_WANTED, keep):
                self._lock(threads, rows, found, AuditAction.LEGAL_HOLD_LOCKED)
            for rows in self._batches(_LET_GO, _COUNT_LET_GO, keep):
                self._unlock(threads, rows, found)
            if is_read_back:
                for rows in self._batches(_ARTIFACTS, _COUNT_ARTIFACTS, keep):
                    self._read_back(threads, rows, found)
        return found.document()

    def _batches(self, statement: Prepared, count: Prepared, keep: Callable[[], None]) -> Iterator[Sequence[Any]]:
        after, done = {"hold": _FIRST, "object": _FIRST}, 0
        with translate(), read_only(self.engine) as connection:
            total = int(count.one(connection).count)
        while True:
            with translate():
                keep()
                with read_only(self.engine) as connection:
                    rows = statement.all(connection, {**after, "limit": self.batch})
            if not rows:
                return
            yield rows
            done += len(rows)
            self.progress(done, total)
            after = {"hold": rows[-1].hold_id or _FIRST, "object": rows[-1].object_id}

    def _lock(self, threads: ThreadPoolExecutor, rows: Sequence[Any], found: "_Found", action: AuditAction) -> None:
        def lock(row: Any) -> None:
            self.objects.hold(row.object_key, row.version_id)
            if not self.objects.is_held(row.object_key, row.version_id):
                raise Unavailable(
                    "the object store said that it locks the version, and then that it does not",
                    remedy="`holdfast store check` says what the store does not do",
                )

        done = self._each(threads, rows, lock, found)
        self.probe("stored")
        self._record(done, "locked", action)
        found.count(action, len(done))

    def _unlock(self, threads: ThreadPoolExecutor, rows: Sequence[Any], found: "_Found") -> None:
        def unlock(row: Any) -> None:
            if row.is_covered:
                return  # by another hold, whose lock it is now
            self.objects.release(row.object_key, row.version_id)
            if self.objects.is_held(row.object_key, row.version_id):
                raise Unavailable("the object store said that it unlocks the version, and then that it does not")

        done = self._each(threads, rows, unlock, found)
        self.probe("stored")
        self._record(done, "released", AuditAction.LEGAL_HOLD_UNLOCKED)
        found.count(AuditAction.LEGAL_HOLD_UNLOCKED, len(done))

    def _read_back(self, threads: ThreadPoolExecutor, rows: Sequence[Any], found: "_Found") -> None:
        held: dict[UUID, bool] = {}

        def look(row: Any) -> None:
            held[row.object_id] = self.objects.is_held(row.object_key, row.version_id)

        done = self._each(threads, rows, look, found)
        found.read_back += len(done)
        self._lock(
            threads,
            [row for row in done if row.hold_id is not None and not held[row.object_id]],
            found,
            AuditAction.LEGAL_HOLD_MENDED,
        )
        found.stray(row for row in done if row.hold_id is None and held[row.object_id])

    def _each(
        self, threads: ThreadPoolExecutor, rows: Sequence[Any], act: Callable[[Any], None], found: "_Found"
    ) -> list[Any]:
        """Return the rows for which the store did it; raises what stands in the way of all of them."""

        def attempt(row: Any) -> HoldfastError | None:
            try:
                act(row)
            except InvalidRequest:
                raise
            except HoldfastError as error:
                return error
            return None

        outcomes = list(zip(rows, threads.map(attempt, rows), strict=True))
        failed = [(row, error) for row, error in outcomes if error is not None]
        if failed and len(failed) == len(rows) and all(isinstance(error, Unavailable) for _, error in failed):
            raise failed[0][1]
        found.fail(failed)
        return [row for row, error in outcomes if error is None]

    def _record(self, rows: Iterable[Any], state: str, action: AuditAction) -> None:
        by_hold: dict[UUID, list[Any]] = {}
        for row in rows:
            by_hold.setdefault(row.hold_id, []).append(row)
        if not by_hold:
            return
        with self._transaction() as connection:
            events = []
            for hold, covered in by_hold.items():
                ids = [row.object_id for row in covered]
                _RECORD.all(connection, {"hold": hold, "ids": ids, "state": state})
                content = {
                    "name": name_of(covered[0].number),
                    "count": len(ids),
                    "artifacts": [str(one) for one in ids[:_MOST_NAMED]],
                }
                events.append(event_row(self.caller, None, action, ("legal_hold", str(hold)), content))
            write_record(connection, events, None)
            self.probe("recorded")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with translate(), self.engine.begin() as connection:
            yield connection


@dataclass(slots=True)
class _Found:
    """What a pass has done so far; of what went wrong the first hundred are named."""

    counts: Counter[AuditAction] = field(default_factory=Counter)
    read_back: int = 0
    strays: list[str] = field(default_factory=list)
    failed: int = 0
    failures: list[LockFailure] = field(default_factory=list)

    def count(self, action: AuditAction, number: int) -> None:
        self.counts[action] += number

    def stray(self, rows: Iterable[Any]) -> None:
        room = _MOST_NAMED - len(self.strays)
        self.strays += [f"{row.object_key}?versionId={row.version_id}" for row in islice(rows, room)]

    def fail(self, failed: Sequence[tuple[Any, HoldfastError]]) -> None:
        self.failed += len(failed)
        room = _MOST_NAMED - len(self.failures)
        self.failures += [LockFailure(artifact=row.object_id, says=str(error)) for row, error in failed[:room]]

    def document(self) -> HoldLocking:
        return HoldLocking(
            locked=self.counts[AuditAction.LEGAL_HOLD_LOCKED],
            unlocked=self.counts[AuditAction.LEGAL_HOLD_UNLOCKED],
            mended=self.counts[AuditAction.LEGAL_HOLD_MENDED],
            read_back=self.read_back,
            failed=self.failed,
            failures=self.failures,
            strays=self.strays,
        )


_OBJECT = "o.hold_id, h.number, o.object_id, a.object_key, a.version_id"
_JOINED = "legal_hold_object o JOIN legal_hold h ON h.id = o.hold_id JOIN artifact a ON a.id = o.object_id"
_NEXT = "(o.hold_id, o.object_id) > (:hold, :object) ORDER BY o.hold_id, o.object_id LIMIT :limit"
_IS_WANTED = "o.lock_state = 'wanted' AND h.released_at IS NULL"
_IS_LET_GO = "o.lock_state IN ('wanted', 'locked') AND h.released_at IS NOT NULL"
_COVERED = (
    "legal_hold_object c JOIN legal_hold ch ON ch.id = c.hold_id"
    " WHERE c.object_id = {artifact} AND ch.released_at IS NULL"
)
_WANTED = Prepared(text(f"SELECT {_OBJECT} FROM {_JOINED} WHERE {_IS_WANTED} AND {_NEXT}"))  # noqa: S608 - our own names
_COUNT_WANTED = Prepared(text(f"SELECT count(*) FROM {_JOINED} WHERE {_IS_WANTED}"))  # noqa: S608
_LET_GO = Prepared(
    text(
        f"SELECT {_OBJECT}, EXISTS (SELECT FROM {_COVERED.format(artifact='o.object_id')}) AS is_covered"  # noqa: S608
        f" FROM {_JOINED} WHERE {_IS_LET_GO} AND {_NEXT}"
    )
)
_COUNT_LET_GO = Prepared(text(f"SELECT count(*) FROM {_JOINED} WHERE {_IS_LET_GO}"))  # noqa: S608
_ARTIFACTS = Prepared(
    text(
        "SELECT a.id AS object_id, a.object_key, a.version_id, covering.hold_id, covering.number FROM artifact a"  # noqa: S608
        f" LEFT JOIN LATERAL (SELECT c.hold_id, ch.number FROM {_COVERED.format(artifact='a.id')} ORDER BY ch.number LIMIT 1)"
        " covering ON true WHERE a.id > :object AND a.state <> 'purged' AND CAST(:hold AS uuid) IS NOT NULL ORDER BY a.id LIMIT :limit"
    )
)
_COUNT_ARTIFACTS = Prepared(text("SELECT count(*) FROM artifact a WHERE a.state <> 'purged'"))
_RECORD = Prepared(
    text(
        "UPDATE legal_hold_object SET lock_state = :state, read_back_at = now()"
        " WHERE hold_id = :hold AND object_id = ANY (:ids) AND lock_state <> 'released'"
    )
)
