"""Durations as people write them."""

import re

from holdfast.core.errors import InvalidRequest

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FORM = re.compile(r"([1-9][0-9]{0,8})([smhd])")


def seconds_of(text: str) -> int:
    """Return the seconds in a duration: a whole number and one of s, m, h, d.

    Raises:
        InvalidRequest: it is something else.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"{text[:40]!r} is not a duration", remedy="Write it as 45s, 30m, 12h or 90d")
    return int(match[1]) * _UNITS[match[2]]
