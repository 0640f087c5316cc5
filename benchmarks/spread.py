"""How far repeated measurements of one thing lie apart."""

import statistics
from collections.abc import Iterable


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return least, median and most."""
    found = sorted(values)
    return {
        "min": round(found[0], 3),
        "median": round(statistics.median(found), 3),
        "max": round(found[-1], 3),
    }
