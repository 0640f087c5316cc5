"""What people do to the export: sinks are added, paused and resumed, and get events once more. Each with its audit event."""

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.backoff import back_off
from holdfast.core.errors import InvalidRequest, StateConflict, Unavailable
from holdfast.export.config import AnySinkSettings
from holdfast.export.cursor import begin, close_dead_letters, dead_letters_of, known_sink, published_size, set_paused
from holdfast.export.exporter import batch_of
from holdfast.export.feed import Feed
from holdfast.export.sink import Refused, Sink
from holdfast.service.event import new_id
from holdfast.service.transaction import Change, Transactions
from holdfast.wire.export import DeadLetter, Replay, SinkChange

_ATTEMPTS = 6
_AT_ONCE = 1000
_TARGET = "export_sink"


@dataclass(frozen=True, slots=True)
class Operations:
    """What may be done to the sinks, on behalf of one caller."""

    transactions: Transactions

    def add(self, name: str, settings: AnySinkSettings) -> SinkChange:
        """Add a sink, which then begins where its settings say; one that is there stays as it is."""

        def apply(change: Change) -> SinkChange:
            published = published_size(change.connection)
            first = {"first": 0, "now": published}.get(str(settings.begin), settings.begin)
            if not begin(change.connection, name, int(first)):
                change.nothing_changed()
            else:
                content = {"kind": settings.kind, "format": settings.format.value, "first": int(first)}
                change.record(AuditAction.EXPORT_SINK_ADDED, _TARGET, name, content)
            return SinkChange(name=name, cursor=known_sink(change.connection, name).cursor)

        return self._change("export.add", apply)

    def pause(self, name: str, reason: str = "") -> SinkChange:
        """Let a sink get no events until it is resumed; raises NotFound."""
        return self._set_paused(name, reason, AuditAction.EXPORT_SINK_PAUSED)

    def resume(self, name: str, reason: str = "") -> SinkChange:
        """Let a paused sink get events again, from where it was; raises NotFound."""
        return self._set_paused(name, reason, AuditAction.EXPORT_SINK_RESUMED)

    def _set_paused(self, name: str, reason: str, action: AuditAction) -> SinkChange:
        def apply(change: Change) -> SinkChange:
            row = known_sink(change.connection, name)
            is_paused = action is AuditAction.EXPORT_SINK_PAUSED
            if (row.paused_at is not None) == is_paused:
                change.nothing_changed()
            else:
                set_paused(change.connection, name, is_paused=is_paused)
                change.record(action, _TARGET, name, {"cursor": row.cursor}, reason=reason)
            return SinkChange(name=name, cursor=row.cursor)

        return self._change("export.pause", apply)

    def announce(self, replay: Replay, reason: str) -> None:
        """Record that events are about to be sent to a sink once more; raises NotFound."""

        def apply(change: Change) -> Replay:
            known_sink(change.connection, replay.sink)
            content = {"replay": str(replay.id), "ranges": [list(each) for each in replay.ranges]}
            change.record(AuditAction.EXPORT_SINK_REPLAYED, _TARGET, replay.sink, content, reason=reason)
            return replay

        self.transactions.change("export.replay", Permission.EXPORT_OPERATE, None, None, None, Replay, apply)

    def _change(self, operation: str, apply: Callable[[Change], SinkChange]) -> SinkChange:
        return self.transactions.change(operation, Permission.EXPORT_OPERATE, None, None, None, SinkChange, apply)


@dataclass(frozen=True, slots=True)
class Replayer:
    """Sends events to a sink once more, beside its stream; the cursor stays where it is.

    Attributes:
        operations: who does it.
        name: of the sink.
        settings: of the sink.
        sink: where batches go.
        feed: where they come from.
        wait: rests for so long between attempts.
    """

    operations: Operations
    name: str
    settings: AnySinkSettings
    sink: Sink
    feed: Feed
    wait: Callable[[timedelta], None] = lambda wait: time.sleep(wait.total_seconds())

    def send(self, first: int, last: int, reason: str = "") -> Replay:
        """Send the events of a range of indexes, both included.

        Raises:
            InvalidRequest: there is no such range in the log.
            StateConflict: the sink refuses it.
            Unavailable: the sink does not take it. In both cases it may have taken the beginning.
        """
        replay = self._announced([(first, last)], reason)
        self._send(replay, first, last)
        return replay

    def send_dead_letters(self, reason: str = "") -> tuple[Replay | None, list[DeadLetter]]:
        """Send everything once more that the sink has refused, and return what was sent, and what it refuses still.

        Raises:
            Unavailable: the sink does not take it; what it has taken until then is no dead letter any more.
        """
        engine = self.operations.transactions.engine
        letters = dead_letters_of(engine, self.name, is_open=True)[:_AT_ONCE]
        if not letters:
            return None, []
        replay = self._announced(merged((each.first, each.last) for each in letters), reason)
        refused = []
        for letter in letters:
            try:
                self._send(replay, letter.first, letter.last)
            except StateConflict:
                refused.append(letter)
            else:
                close_dead_letters(engine, [letter.id])
        return replay, refused

    def _announced(self, ranges: list[tuple[int, int]], reason: str) -> Replay:
        size = self.feed.published()[0].size
        for first, last in ranges:
            if not 0 <= first <= last < size:
                raise InvalidRequest(
                    f"there are no events {first} to {last}: the log is published up to event {size - 1}",
                    remedy="Give the first and the last index of the range",
                )
        events = sum(last + 1 - first for first, last in ranges)
        replay = Replay(id=new_id(), sink=self.name, ranges=ranges, events=events)
        self.operations.announce(replay, reason)
        return replay

    def _send(self, replay: Replay, first: int, last: int) -> None:
        log, note = self.feed.published()
        place = first
        while place <= last:
            end = min(last + 1, place + self.settings.batch)
            batch = batch_of(self.feed, self.settings, log, note, place, end, str(replay.id))
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    place = self.sink.deliver(batch)
                    break
                except Refused as refusal:
                    raise StateConflict(
                        f"sink {self.name!r} refuses events {batch.first} to {batch.last}: {refusal}",
                        remedy="Mend what it says is wrong, and send them again",
                    ) from None
                except Unavailable:
                    if attempt == _ATTEMPTS:
                        raise
                    first_wait = timedelta(seconds=min(self.settings.retry_first_s, 5))
                    self.wait(back_off(attempt, random.random(), first_wait, timedelta(seconds=30)))  # noqa: S311 - jitter


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found
