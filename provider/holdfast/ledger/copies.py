"""Gives WORM locations and witnesses' folders every checkpoint: each copy at its own pace, so that one that hangs delays nothing else."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, text

from holdfast.core.errors import HoldfastError, IntegrityViolation
from holdfast.core.note import Check, VerifierKey
from holdfast.core.tiles import CHECKPOINT
from holdfast.ledger.place import Place
from holdfast.ledger.shown import shown_at
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared

logger = logging.getLogger("holdfast.ledger")

DIRECTORY = "checkpoints"
_PATIENCE_S = 10
_PAUSE_S = 0.2
_PAUSE_AFTER_FAILURE_S = 5


class Copier:
    """Brings a copy up to what the database has kept.

    Args:
        engine: of the governance database.
        keys: of the log.
        check: judges signatures.
        place: of the copy.
    """

    def __init__(self, engine: Engine, keys: Sequence[VerifierKey], check: Check, place: Place) -> None:
        self.place = place
        self._engine, self._keys, self._check = engine, keys, check
        self._size: int | None = None  # up to which this process has seen it to have every checkpoint
        self.is_looked_at = threading.Event()
        self.violation: IntegrityViolation | None = None

    def look(self) -> None:
        """Look at what the copy shows before anything is published.

        Raises:
            IntegrityViolation: this database is not the one that the copy is of.
            Unavailable: the copy cannot be read.
        """
        if self._size is None:
            self._size, _ = shown_at(self.place, self._engine, self._keys, self._check)

    def catch_up(self) -> int:
        """Give the copy every checkpoint that it lacks, the oldest first, and return the size of the newest; raises what `look` raises."""
        self.look()
        has = self._size or 0
        while lacking := self._since(has):
            self.place.write({f"{DIRECTORY}/{row.size:020}": row.note.encode() for row in lacking})
            self.place.write({CHECKPOINT: lacking[-1].note.encode()})
            self._size = has = lacking[-1].size
        return has

    def run(self, stop: threading.Event) -> None:
        """Catch up until told to stop. What fails is logged once and tried again, but for a violation, which is kept and ends it."""
        failing = ""
        while not stop.is_set():
            try:
                self.catch_up()
            except IntegrityViolation as error:
                self.violation = error
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, a copy that silently gets nothing is worth nothing
                reason = str(error) if isinstance(error, HoldfastError) else type(error).__name__
                if failing != reason:
                    logger.warning("the copy %s gets no checkpoints now: %s", self.place, reason)
                failing = reason
            else:
                if failing:
                    logger.warning("the copy %s has every checkpoint again", self.place)
                failing = ""
            finally:
                self.is_looked_at.set()
            stop.wait(_PAUSE_AFTER_FAILURE_S if failing else _PAUSE_S)

    def _since(self, size: int) -> list[Any]:
        with read_only(self._engine) as connection:
            return _SINCE.all(connection, {"size": size})


@contextmanager
def copying(copiers: Sequence[Copier]) -> Iterator[None]:
    """Let each copier run in a thread of its own; begin once each has been looked at, or does not answer for ten seconds."""
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,), daemon=True, name=f"copy {one.place}") for one in copiers]
    for one, thread in zip(copiers, threads, strict=True):
        one.is_looked_at.clear()
        thread.start()
    try:
        for one in copiers:
            one.is_looked_at.wait(_PATIENCE_S)
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(_PATIENCE_S)


_SINCE = Prepared(text("SELECT size, note FROM ledger_checkpoint WHERE size > :size ORDER BY size LIMIT 1000"))
