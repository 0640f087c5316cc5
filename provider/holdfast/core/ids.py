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
    rand_a = int.from_bytes(random[:2], "big") & 0xFFF
    rand_b = int.from_bytes(random[2:10], "big") & ((1 << 62) - 1)
    return UUID(int=unix_ms << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)
