"""How long grants are good."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.lifetime import LONGEST, SLOWEST_BYTES_PER_S, lifetime

LEAST = st.integers(min_value=10, max_value=86_400)
SIZES = st.integers(min_value=0, max_value=1 << 50)


def test_grants_for_a_terabyte_do_not_end_before_it_has_moved_and_grants_for_little_end_soon() -> None:
    assert lifetime(900, 0) == lifetime(900, SLOWEST_BYTES_PER_S - 1) == timedelta(minutes=15)
    assert lifetime(900, 100 << 30) == timedelta(seconds=900 + 25_600)
    assert lifetime(900, 1 << 40) == LONGEST


@given(least_s=LEAST, size_bytes=SIZES, more=SIZES)
def test_more_bytes_never_get_less_time_and_nothing_gets_less_than_was_asked_for_or_more_than_a_day(
    least_s: int, size_bytes: int, more: int
) -> None:
    assert (
        timedelta(seconds=least_s) <= lifetime(least_s, size_bytes) <= lifetime(least_s, size_bytes + more) <= LONGEST
    )
