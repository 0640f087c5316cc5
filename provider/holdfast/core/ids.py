"""Identifiers: UUIDv7, so that the order of creation is the order of the index."""

from uuid import UUID


def uuid7(unix_ms: int, random: bytes) -> UUID:
    """Return the UUIDv7 of a time and ten random bytes.

    Args:
        unix_ms: milliseconds since 1970, 0 ≤ unix_ms < 2⁴⁸.
        random: at least ten bytes from a cryptographic source; 74 of their bits are used.

    Raises:
        ValueError: a bound is broken.

    Source: RFC 9562, section 5.7.
    """
    if not 0 <= unix_ms < 1 << 48:
        raise ValueError(f"unix_ms {unix_ms} does not fit into 48 bits")
    if len(random) < 10:
        raise ValueError("a UUIDv7 needs ten random bytes")
    return _made(unix_ms, int.from_bytes(random[:10], "big") >> 6)


def uuid7_after(last: UUID, unix_ms: int, random: bytes) -> UUID:
    """Return a UUIDv7 that sorts behind another one of the same maker, so that what is made within a millisecond keeps its order.

    Args:
        last: the one before.
        unix_ms: as for `uuid7`. A clock that was set back by up to ten seconds is waited for: its ids go on where they were.
        random: as for `uuid7`.

    Source: RFC 9562, section 6.2, method 2.
    """
    last_ms = last.int >> 80
    if unix_ms > last_ms or last_ms - unix_ms > _SET_BACK_MS:
        return uuid7(unix_ms, random)
    value = ((last.int >> 64 & 0xFFF) << 62 | last.int & _LOW) + 1 + int.from_bytes(random[:4], "big")
    return _made(last_ms, value) if value < 1 << 74 else uuid7(last_ms + 1, random)


def _made(unix_ms: int, value: int) -> UUID:
    return UUID(int=unix_ms << 80 | 0x7 << 76 | value >> 62 << 64 | 0b10 << 62 | value & _LOW)


_LOW = (1 << 62) - 1
_SET_BACK_MS = 10_000
