"""The sequencer: one at a time gives events their indexes and publishes the log; the others stand by to take over.

That two never give different answers, the tables' keys see to.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from holdfast.core.errors import HoldfastError, IntegrityViolation
from holdfast.ledger.copies import Copier, copying
from holdfast.ledger.order import BATCH, assign_indexes
from holdfast.ledger.publish import Publisher
from holdfast.store.turn import STANDSTILL_S, take_turn

logger = logging.getLogger("holdfast.ledger")

POINTS = ("locked", "ordered", "tiles.written", "checkpoint.kept", "checkpoint.published")
"""Between what is durable and what is not yet: where a sequencer may end at any time, and nothing is lost or forked."""
_PAUSE_S = 0.1
_STAND_BY_S = 1.0
_AFTER_FAILURES_S = 30.0


class Sequencer:
    """Extends the log while it holds the lock.

    Args:
        engine: of the governance database.
        publisher: of the log.
        copiers: of WORM locations and witnesses' folders, which get every checkpoint.
        probe: called at the named points; tests inject faults by it.
        begin: called whenever it has got the lock, before it extends anything.
        standstill_s: how long it may stand still before another one takes over, in whole seconds.
    """

    def __init__(
        self,
        engine: Engine,
        publisher: Publisher,
        copiers: Sequence[Copier] = (),
        probe: Callable[[str], None] = lambda _: None,
        *,
        begin: Callable[[], None] = lambda: None,
        standstill_s: int = STANDSTILL_S,
    ) -> None:
        self._engine, self._publisher, self._copiers, self._probe = engine, publisher, copiers, probe
        self._begin, self._standstill_s = begin, standstill_s
        self._failures, self._failing = 0, ""

    def extend(self) -> int:
        """Take everything that is committed into the log once, publish it, and return the log's size; the lock is the caller's.

        Raises:
            DBAPIError: the database is gone; the lock with it.
            IntegrityViolation: a copy, or what was published, is not what stands in the database; nothing more is published.
            Unavailable: the log cannot be written.
        """
        for violation in filter(None, (copier.violation for copier in self._copiers)):
            raise violation
        while True:
            with self._engine.begin() as connection:
                count = assign_indexes(connection)
            self._probe("ordered")
            size = self._publisher.publish()
            if count < BATCH:
                return size

    def run(self, stop: threading.Event, pause_s: float = _PAUSE_S) -> None:
        """Extend the log until told to stop, whenever no other sequencer does.

        What does not answer is waited for, longer each time; it is logged once.

        Raises:
            IntegrityViolation: what `extend` raises; nothing was published since.
        """
        while not stop.is_set():
            try:
                self._hold(stop, pause_s)
            except IntegrityViolation:
                raise
            except (DBAPIError, HoldfastError) as error:
                self._failed(error)
            stop.wait(min(_STAND_BY_S * 2**self._failures, _AFTER_FAILURES_S))

    def _hold(self, stop: threading.Event, pause_s: float) -> None:
        """Extend the log as long as the lock is held, where it is to be had."""
        with take_turn(self._engine, "ledger", self._standstill_s) as keep:
            if keep is None:
                return
            self._begin()
            with copying(self._copiers):
                while not stop.is_set():
                    self._probe("locked")
                    self.extend()
                    if self._failures:
                        logger.warning("the log is extended again")
                    self._failures, self._failing = 0, ""
                    stop.wait(pause_s)
                    keep()

    def _failed(self, error: DBAPIError | HoldfastError) -> None:
        reason = str(error) if isinstance(error, HoldfastError) else f"the database fails ({type(error.orig).__name__})"
        if reason != self._failing:
            logger.warning("the log is not extended now: %s", reason)
        self._failures, self._failing = min(self._failures + 1, 10), reason
