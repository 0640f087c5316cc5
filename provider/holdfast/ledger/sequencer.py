"""The sequencer: one at a time gives events their indexes and publishes the log; the others stand by to take over.

The lock belongs to a session of the database and ends with it, however the process ends. It keeps two from working for nothing; that two
never give different answers, the tables' keys see to.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from holdfast.ledger.order import BATCH, assign_indexes
from holdfast.ledger.publish import Publisher

POINTS = ("locked", "ordered", "tiles.written", "checkpoint.kept", "checkpoint.published")
"""Between what is durable and what is not yet: where a sequencer may end at any time, and nothing is lost or forked."""
STANDSTILL_S = 30
_LOCK = 0x6C6F67
_PAUSE_S = 0.1


class Sequencer:
    """Extends the log while it holds the lock.

    Args:
        engine: of the governance database.
        publisher: of the log.
        probe: called at the named points; tests inject faults by it.
        standstill_s: how long it may stand still before another one takes over, in whole seconds.
    """

    def __init__(
        self,
        engine: Engine,
        publisher: Publisher,
        probe: Callable[[str], None] = lambda _: None,
        *,
        standstill_s: int = STANDSTILL_S,
    ) -> None:
        self._engine, self._publisher, self._probe = engine, publisher, probe
        self._standstill_s = standstill_s

    def extend(self) -> int:
        """Take everything that is committed into the log once, publish it, and return the log's size; the lock is the caller's."""
        while True:
            with self._engine.begin() as connection:
                count = assign_indexes(connection)
            self._probe("ordered")
            size = self._publisher.publish()
            if count < BATCH:
                return size

    def run(self, stop: threading.Event, pause_s: float = _PAUSE_S) -> None:
        """Extend the log until told to stop, whenever no other sequencer does.

        Raises:
            DBAPIError: the database is gone; the lock with it.
            HoldfastError: what `Publisher.publish` raises.
        """
        while not stop.is_set():
            with self._locked() as session:
                while session is not None and not stop.is_set():
                    self._probe("locked")
                    self.extend()
                    stop.wait(pause_s)
                    session.execute(text("SELECT 1"))
                    session.commit()
            stop.wait(pause_s)

    @contextmanager
    def _locked(self) -> Iterator[Connection | None]:
        """Yield the session that holds the lock, None where another one does."""
        with self._engine.connect() as connection:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
                yield None
                return
            try:
                # Who stands still for so long has lost the lock: to the database a stopped process looks like one that thinks.
                connection.execute(text(f"SET idle_session_timeout = '{self._standstill_s}s'"))
                connection.commit()
                yield connection
            finally:
                # Its session ends with the lock: back in the pool it would keep it.
                connection.invalidate()
