"""Which segments go, against a decision made the slow way; and the classes of events as the database knows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.audit import EventClass
from holdfast.core.segments import FULL_DAYS, FULL_EVENTS, Decision, Rule, Segment, Step, decide

NOW = datetime(2026, 11, 26, tzinfo=UTC)
CLASSES = st.sampled_from([EventClass.CHANGE, EventClass.LOGIN, EventClass.DISPOSAL])
RULES = st.builds(Rule, st.none() | st.integers(1, 400), st.none() | st.integers(1, 300))


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    made, index = [], 0
    for number in range(1, draw(st.integers(0, 12)) + 1):
        state = draw(st.sampled_from(["open", "closed", "sealed", "disposed"]))
        count, age = draw(st.integers(1, 200)), draw(st.integers(0, 500))
        index += count
        known = state in ("sealed", "disposed")
        made.append(
            Segment(
                number=number,
                event_class=draw(CLASSES),
                opened_at=NOW - timedelta(days=age + draw(st.integers(0, 100))),
                count=count,
                is_closed=state != "open",
                last_index=index if known else None,
                newest_at=NOW - timedelta(days=age) if known else None,
                is_disposed=state == "disposed",
            )
        )
    return made


def goes(one: Segment, all_of_them: list[Segment], rule: Rule | None, published: int, sinks: dict[str, int]) -> bool:
    """Whether a segment goes, by the rules as they are written down, one after the other."""
    if one.is_disposed or one.last_index is None or one.newest_at is None or rule is None:
        return False
    if one.event_class is EventClass.DISPOSAL:
        return False
    if any(cursor <= one.last_index for cursor in sinks.values()) or one.last_index // 256 == published // 256:
        return False
    if one.last_index >= published:
        return False
    is_old = rule.period_days is not None and (NOW - one.newest_at) > timedelta(days=rule.period_days)
    kept = 0
    for other in all_of_them:
        if other.event_class is one.event_class and other.number > one.number:
            kept += other.count if other.last_index is not None and not other.is_disposed else 0
    return is_old or (rule.quota is not None and kept >= rule.quota)


@given(
    segments(),
    st.dictionaries(CLASSES, RULES),
    st.integers(0, 4000),
    st.dictionaries(st.sampled_from(["siem", "archive"]), st.integers(0, 4000)),
)
def test_what_goes_is_what_the_rules_let_go(
    found: list[Segment], rules: dict[EventClass, Rule], published: int, sinks: dict[str, int]
) -> None:
    decided = decide(found, rules, NOW, published, sinks)
    assert [one.number for one in decided] == [one.number for one in found if not one.is_disposed]
    gone = {one.number for one in decided if one.step is Step.DISPOSE}
    assert gone == {one.number for one in found if goes(one, found, rules.get(one.event_class), published, sinks)}
    assert all(one.why for one in decided)


def only(segment: Segment, rule: Rule | None = None) -> Decision:
    rules = {segment.event_class: rule} if rule else {}
    [decision] = decide([segment], rules, NOW, 10_000, {})
    return decision


@pytest.mark.parametrize(
    ("count", "age_days", "rule", "step"),
    [
        (0, 10_000, None, Step.KEEP),
        (1, FULL_DAYS - 1, None, Step.KEEP),
        (1, FULL_DAYS, None, Step.CLOSE),
        (FULL_EVENTS - 1, 0, None, Step.KEEP),
        (FULL_EVENTS, 0, None, Step.CLOSE),
        (24, 0, Rule(quota=100), Step.KEEP),
        (25, 0, Rule(quota=100), Step.CLOSE),
        (1, 0, Rule(quota=1), Step.CLOSE),
        (1, 9, Rule(period_days=40), Step.KEEP),
        (1, 10, Rule(period_days=40), Step.CLOSE),
    ],
)
def test_an_open_segment_is_closed_when_it_is_full_or_old(
    count: int, age_days: int, rule: Rule | None, step: Step
) -> None:
    segment = Segment(1, EventClass.LOGIN, NOW - timedelta(days=age_days), count)
    assert only(segment, rule).step is step


def sealed(event_class: EventClass = EventClass.READ, days: int = 400) -> Segment:
    newest = NOW - timedelta(days=days)
    return Segment(3, event_class, newest, 10, is_closed=True, last_index=99, newest_at=newest)


def test_each_reason_to_keep_a_segment_is_said() -> None:
    rule = Rule(period_days=365)
    assert only(sealed(), rule).step is Step.DISPOSE
    assert "no rule lets events of class read go" in only(sealed()).why
    assert "no rule" in only(sealed(), Rule()).why
    assert "for ever" in only(sealed(EventClass.DISPOSAL), rule).why
    young = only(sealed(days=364), rule)
    assert (young.step, young.until) == (Step.KEEP, NOW + timedelta(days=1))
    assert "not 365 days old" in young.why
    [needed] = decide([sealed()], {EventClass.READ: rule}, NOW, 255, {})
    assert "still needs" in needed.why
    [waits] = decide([sealed()], {EventClass.READ: rule}, NOW, 10_000, {"siem": 99, "archive": 100})
    assert waits.why == "sink siem has not got all of its events"
    assert "hold 0 events of 5" in only(sealed(), Rule(quota=5)).why
