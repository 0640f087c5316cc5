"""How long to wait before something is tried again: exponentially longer, bounded, and never all at the same moment."""

from datetime import timedelta

FIRST = timedelta(seconds=10)
LONGEST = timedelta(minutes=10)


def back_off(attempt: int, chance: float, first: timedelta = FIRST, longest: timedelta = LONGEST) -> timedelta:
    """Return the delay after an attempt: between a half and the whole of min(longest, first · 2^(attempt-1)).

    Args:
        attempt: which one has failed, from 1.
        chance: uniform in [0, 1], the jitter.
        first: the whole delay after the first attempt.
        longest: the bound.

    Raises:
        ValueError: an argument is out of its bounds.

    Source: M. Brooker, "Exponential Backoff And Jitter", 2015: equal jitter.
    """
    if attempt < 1 or not 0 <= chance <= 1 or first < timedelta(0) or longest < timedelta(0):
        raise ValueError(f"no delay follows from attempt {attempt}, chance {chance}, {first} and {longest}")
    # Beyond any bound, and before the power is more than a timedelta holds.
    doublings = min(attempt - 1, 32)
    whole = longest if first > longest / 2**doublings else first * 2**doublings
    return whole * (0.5 + chance / 2)
