"""Which segments of the audit trail are closed, sealed and disposed of, and why the others stay; pure.

A segment holds events of one class. It is open until it is full, closed while transactions that began before may still write to it,
sealed once its events are compared with the log, and disposed of as a whole: its rows go, and what it was stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from holdfast.core.audit import EventClass
from holdfast.core.tiles import WIDTH

FULL_EVENTS = 1_000_000
FULL_DAYS = 90
WITH_QUOTA = frozenset({EventClass.DENIAL, EventClass.LOGIN, EventClass.READ})
"""Classes that may have a quota: people without any right to change something can cause their events, as many as they like."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How long events of a class are kept.

    Attributes:
        period_days: a segment goes when its newest event is older; None for never.
        quota: a segment goes before its time once younger sealed ones of its class hold so many events; None without.
    """

    period_days: int | None = None
    quota: int | None = None

    @property
    def full_events(self) -> int:
        """Events with which a segment is full: it goes as a whole, so that a quota needs several."""
        return min(FULL_EVENTS, max(1, self.quota // 4)) if self.quota else FULL_EVENTS

    @property
    def full_after(self) -> timedelta:
        """Age at which a segment is full: its oldest event goes so much later than it could."""
        return timedelta(days=min(FULL_DAYS, self.period_days / 4) if self.period_days else FULL_DAYS)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it is.

    Attributes:
        number: in the order in which they were opened.
        event_class: of its events.
        opened_at: when it was opened.
        count: of its events.
        is_closed: whether it takes no new events.
        last_index: of its last event in the log, once it is sealed.
        newest_at: when that was recorded, once it is sealed.
        is_disposed: whether its events have gone.
    """

    number: int
    event_class: EventClass
    opened_at: datetime
    count: int
    is_closed: bool = False
    last_index: int | None = None
    newest_at: datetime | None = None
    is_disposed: bool = False

    @property
    def is_sealed(self) -> bool:
        """Whether it is known what it holds, for ever."""
        return self.last_index is not None


class Step(StrEnum):
    """What happens to a segment next."""

    CLOSE = "close"
    SEAL = "seal"
    DISPOSE = "dispose"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a segment, and why.

    Attributes:
        number: of the segment.
        step: what happens.
        why: in words.
        until: when its period ends; None where it has none.
    """

    number: int
    step: Step
    why: str
    until: datetime | None = None


def decide(
    segments: Sequence[Segment],
    rules: Mapping[EventClass, Rule],
    at: datetime,
    published: int,
    sinks: Mapping[str, int],
) -> list[Decision]:
    """Return what happens to each segment that is still there, in their order; the database holds the same for what goes.

    Args:
        segments: all of them.
        rules: of the classes that have one.
        at: the time for which is decided.
        published: events under the log's latest checkpoint.
        sinks: the index that each sink of the export gets next, by its name.
    """
    return [
        _decided(one, rules.get(one.event_class), at, published, sinks, _younger(one, segments))
        for one in segments
        if not one.is_disposed
    ]


def _younger(segment: Segment, segments: Sequence[Segment]) -> int:
    return sum(
        one.count
        for one in segments
        if one.event_class is segment.event_class
        and one.number > segment.number
        and one.is_sealed
        and not one.is_disposed
    )


def _decided(
    segment: Segment, rule: Rule | None, at: datetime, published: int, sinks: Mapping[str, int], younger: int
) -> Decision:
    if not segment.is_closed:
        return _of_open(segment, rule or Rule(), at)
    if segment.last_index is None or segment.newest_at is None:
        return Decision(segment.number, Step.SEAL, "it takes no new events")
    if segment.event_class is EventClass.DISPOSAL:
        return Decision(segment.number, Step.KEEP, "what says that events have gone is kept for ever")
    if rule is None or (rule.period_days is None and rule.quota is None):
        return Decision(segment.number, Step.KEEP, f"no rule lets events of class {segment.event_class} go")
    until = segment.newest_at + timedelta(days=rule.period_days) if rule.period_days else None
    reason = ""
    if until is not None and until < at:
        reason = f"its newest event is older than {rule.period_days} days"
    elif rule.quota is not None and younger >= rule.quota:
        reason = (
            f"younger segments of class {segment.event_class} hold {younger} events, of which {rule.quota} are kept"
        )
    if not reason:
        return Decision(segment.number, Step.KEEP, _why_not_yet(rule, younger), until)
    for obstacle in _obstacles(segment.last_index, published, sinks):
        return Decision(segment.number, Step.KEEP, obstacle, until)
    return Decision(segment.number, Step.DISPOSE, reason, until)


def _of_open(segment: Segment, rule: Rule, at: datetime) -> Decision:
    if segment.count >= rule.full_events:
        return Decision(
            segment.number, Step.CLOSE, f"it has {segment.count} events, and is full with {rule.full_events}"
        )
    if segment.count and segment.opened_at + rule.full_after <= at:
        return Decision(segment.number, Step.CLOSE, f"it was opened more than {rule.full_after.days} days ago")
    return Decision(segment.number, Step.KEEP, "it is open")


def _why_not_yet(rule: Rule, younger: int) -> str:
    parts = [f"its newest event is not {rule.period_days} days old"] if rule.period_days else []
    if rule.quota is not None:
        parts.append(f"younger segments hold {younger} events of {rule.quota}")
    return ", and ".join(parts)


def _obstacles(last_index: int, published: int, sinks: Mapping[str, int]) -> Iterator[str]:
    # Entries are written in bundles, and those of the last one are read once more until it is full.
    if last_index >= published - published % WIDTH:
        yield "the log still needs its last events"
    for name, cursor in sorted(sinks.items()):
        if cursor <= last_index:
            yield f"sink {name} has not got all of its events"
