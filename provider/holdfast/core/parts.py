"""How an object is cut into the parts of an upload: a function of its size alone, so that everybody cuts it alike.

Source: Amazon S3, multipart upload limits: at most 10 000 parts, each of at least 5 MiB but for the last. The agent has the same function.
"""

PART_BYTES = 64 << 20
MOST_PARTS = 10_000


def part_sizes(size_bytes: int) -> list[int]:
    """Return the sizes of the parts in order: one part up to 64 MiB, and never more than 10 000."""
    part = PART_BYTES * max(1, -(-size_bytes // (PART_BYTES * MOST_PARTS)))
    whole, rest = divmod(size_bytes, part)
    return [part] * whole + [rest] * (rest > 0 or whole == 0)
