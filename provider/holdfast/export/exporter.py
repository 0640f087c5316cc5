"""The exporter of one sink: reads what comes next, hands it over, and moves the cursor once the sink has it.

One at a time works for a sink, the others stand by. It shares no lock with who writes events, and holds one batch at a time. However it
ends, the next one begins where the cursor is: what was handed over and not recorded is handed over again.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from holdfast.core.backoff import back_off
from holdfast.core.errors import IntegrityViolation, InvalidRequest, StateConflict, Unavailable
from holdfast.export.config import AnySinkSettings
from holdfast.export.cursor import Cursor, known_sink
from holdfast.export.feed import Feed
from holdfast.export.payload import line_of
from holdfast.export.record import ALTERED, MALFORMED
from holdfast.export.sink import Batch, Refused, Sink
from holdfast.service.event import new_id
from holdfast.service.refusals import translate
from holdfast.store.engine import read_only
from holdfast.store.turn import STANDSTILL_S, take_turn

logger = logging.getLogger("holdfast.export")

POINTS = ("turn", "read", "written", "renamed", "delivered", "moved")
"""Where an exporter may end at any time, and nothing is lost."""
REFUSALS = 3
"""Batches that go to dead letters one after the other. A receiver that refuses yet another is not refusing what it is sent, but all of it:
it is asked again until it takes something, and the order is kept."""
IDLE = timedelta(seconds=0.2)
_NOT_YET = (Unavailable, InvalidRequest, IntegrityViolation)


class Exporter:
    """Brings one sink up to the log.

    Args:
        engine: of the governance database.
        name: of the sink.
        settings: of the sink.
        sink: where its batches go.
        feed: where they come from.
        probe: called at the named points; tests inject faults by it.
        chance: uniform in [0, 1], the jitter.
        now: the time.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        settings: AnySinkSettings,
        sink: Sink,
        feed: Feed,
        *,
        probe: Callable[[str], None] = lambda _: None,
        chance: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine, self.name, self._settings, self._sink, self._feed = engine, name, settings, sink, feed
        self._cursor = Cursor(engine, name)
        self._probe, self._chance, self._now = probe, chance, now
        self._attempts = self._refusals = 0

    def step(self) -> timedelta:
        """Hand over the next batch, and return how long to wait before the next step: nothing at all while there is more.

        Raises:
            NotFound: the sink was never begun.
            StateConflict: another exporter has moved the cursor.
            Unavailable: the database does not answer.
        """
        with translate(), read_only(self._engine) as connection:
            place = known_sink(connection, self.name)
        if place.paused_at is not None:
            return IDLE
        batch: Batch | None = None
        try:
            batch = self._next(place)
            if batch is None:
                return IDLE
            self._probe("read")
            after = self._sink.deliver(batch)
        except Refused as refusal:
            return self._refused(batch, str(refusal)) if batch is not None else IDLE
        except _NOT_YET as error:
            return self._failed(error.message)
        self._probe("delivered")
        self._cursor.move(batch.first, after, batch.records[after - 1 - batch.first].leaf_hash)
        self._probe("moved")
        self._attempts = self._refusals = 0
        return timedelta(0)

    def run(self, stop: threading.Event, pause_s: float = 1.0, standstill_s: int = STANDSTILL_S) -> None:
        """Step until told to stop, whenever no other exporter works for this sink; an outage of the database is waited out."""
        while not stop.is_set():
            try:
                with take_turn(self._engine, f"export/{self.name}", standstill_s) as keep:
                    while keep is not None and not stop.is_set():
                        keep()
                        self._probe("turn")
                        self._rest(self.step(), stop, keep, standstill_s / 3)
            except StateConflict as error:
                logger.warning("%s", error)
            except (Unavailable, SQLAlchemyError) as error:
                logger.warning("sink %s waits for the database (%s)", self.name, type(error).__name__)
            stop.wait(pause_s)
        self._sink.close()

    @staticmethod
    def _rest(wait: timedelta, stop: threading.Event, keep: Callable[[], None], slice_s: float) -> None:
        """Wait, and keep the turn meanwhile."""
        until = time.monotonic() + wait.total_seconds()
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, slice_s)):
            keep()

    def _next(self, place: Any) -> Batch | None:
        """Return the batch at the cursor, None where it is not due."""
        log, note = self._feed.published()
        end = min(log.size, place.cursor + self._settings.batch)
        if end <= place.cursor or (end - place.cursor < self._settings.batch and self._lingers(place.cursor)):
            return None
        batch = batch_of(self._feed, self._settings, log, note, place.cursor, end)
        if place.leaf_hash is not None and batch.records[0].previous != place.leaf_hash:
            raise IntegrityViolation(
                f"event {place.cursor - 1} of the log is not the one that sink {self.name!r} got",
                remedy="The log was made anew, or another one is read; nothing is exported until that is known",
            )
        return batch

    def _lingers(self, index: int) -> bool:
        linger = timedelta(seconds=self._settings.linger_s)
        if not linger:
            return False
        recorded = self._feed.recorded_at(index)
        return recorded is not None and self._now() - recorded < linger

    def _refused(self, batch: Batch, reason: str) -> timedelta:
        self._refusals += 1
        if self._refusals > REFUSALS:
            return self._failed(f"{reason}, as to the {REFUSALS} batches before; it is asked again")
        after = batch.last + 1
        self._cursor.pass_over(new_id(), batch.first, after, batch.records[-1].leaf_hash, reason)
        logger.error("sink %s has refused events %d to %d: %s", self.name, batch.first, batch.last, reason)
        return timedelta(0)

    def _failed(self, reason: str) -> timedelta:
        self._attempts += 1
        logger.warning("sink %s: %s (attempt %d)", self.name, reason, self._attempts)
        self._cursor.fail(reason)
        first, longest = self._settings.retry_first_s, self._settings.retry_longest_s
        return back_off(self._attempts, self._chance(), timedelta(seconds=first), timedelta(seconds=longest))


def batch_of(
    feed: Feed, settings: AnySinkSettings, log: Any, note: str, begin: int, end: int, replay: str = ""
) -> Batch:
    """Return the events from one index to before another, or fewer, as they are handed to a sink; raises Unavailable."""
    records = feed.read(log, begin, end)
    for record in records:
        if record.left_out in (ALTERED, MALFORMED):
            logger.error(
                "event %d is not in the database as it was published; its content is not exported", record.index
            )
    lines = [line_of(record, settings.format, settings.limit_bytes) for record in records]
    return Batch(log, note, records, lines, replay)
