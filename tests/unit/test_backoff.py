"""Delays between tries: bounded, growing, and spread."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.backoff import FIRST, LONGEST, back_off
from holdfast_provider.retries import BackOff

ATTEMPTS = st.integers(1, 10**6)
CHANCES = st.floats(0, 1)
DELAYS = st.timedeltas(timedelta(0), timedelta(days=365))


@given(ATTEMPTS, CHANCES, DELAYS, DELAYS)
def test_a_delay_is_between_a_half_and_the_whole_of_what_is_bounded(
    attempt: int, chance: float, first: timedelta, longest: timedelta
) -> None:
    delay = back_off(attempt, chance, first, longest)
    whole = min(first.total_seconds() * 2 ** min(attempt - 1, 64), longest.total_seconds())
    assert whole / 2 - 1e-3 <= delay.total_seconds() <= whole + 1e-3


@given(ATTEMPTS, CHANCES)
def test_the_same_chance_never_waits_less_after_more_attempts(attempt: int, chance: float) -> None:
    assert back_off(attempt, chance) <= back_off(attempt + 1, chance)


@given(ATTEMPTS, CHANCES, CHANCES)
def test_another_chance_is_another_delay(attempt: int, one: float, other: float) -> None:
    if abs(one - other) > 1e-3:
        assert back_off(attempt, one) != back_off(attempt, other)


@pytest.mark.parametrize("wrong", [(0, 0.5), (1, -0.1), (1, 1.1)])
def test_what_has_no_meaning_is_refused(wrong: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match="no delay"):
        back_off(*wrong)


@given(st.integers(1, 50))
def test_a_task_says_how_it_begins_and_how_long_it_gets(attempt: int) -> None:
    task = SimpleNamespace(retry_delay=timedelta(seconds=1), max_retry_delay=timedelta(seconds=30))
    decision = BackOff().evaluate(RuntimeError(), attempt, 60, {"task": task})
    assert decision.action.value == "retry"
    assert timedelta(seconds=0.5) <= decision.retry_delay <= timedelta(seconds=30)


def test_by_default_tries_begin_after_seconds_and_end_at_minutes() -> None:
    assert (timedelta(seconds=10), timedelta(minutes=10)) == (FIRST, LONGEST)
