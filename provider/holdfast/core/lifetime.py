"""How long leave to move bytes is good: as long as asked for, and longer where there are many of them."""

from datetime import timedelta

SLOWEST_BYTES_PER_S = 4 << 20
"""The slowest transfer that has ended before its grant does."""
LONGEST = timedelta(hours=24)
"""However many bytes there are; a presigned URL of S3 is good for seven days at most (AWS Signature Version 4)."""


def lifetime(least_s: int, size_bytes: int) -> timedelta:
    """Return how long grants are good whose objects have so many bytes together.

    Args:
        least_s: what grants for nothing get, in seconds.
        size_bytes: of all objects that are moved one after the other, 0 or more.
    """
    return min(timedelta(seconds=least_s + size_bytes // SLOWEST_BYTES_PER_S), max(LONGEST, timedelta(seconds=least_s)))
