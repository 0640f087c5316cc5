"""Bytes that are given out whole only when they are what was recorded."""

import hashlib
from collections.abc import Iterable, Iterator

from holdfast.core.digest import text_of
from holdfast.core.errors import IntegrityViolation, NotFound

PROBE_KEY = "holdfast-check/probe"
"""Where `check` tries what a store does; no Project has such an id."""


def checked(pieces: Iterable[bytes], key: str, digest: bytes) -> Iterator[bytes]:
    """Yield the pieces, the last one only when all of them have the digest.

    Raises:
        IntegrityViolation: they have another; the last piece is held back.
    """
    hashed, held = hashlib.sha256(), b""
    for piece in pieces:
        if held:
            yield held
        hashed.update(piece)
        held = piece
    if hashed.digest() != digest:
        raise IntegrityViolation(
            f"the stored bytes of {key!r} are not what was recorded",
            remedy="Do not use what was read; restore the object and find out who changed it",
            details={"recorded_digest": text_of(digest), "read_digest": text_of(hashed.digest())},
        )
    yield held


def missing(key: str) -> NotFound:
    """Return the error for a version that the store does not hold."""
    return NotFound(
        f"the object store holds no such version of {key!r}", remedy="Restore the object store, or run the step again"
    )


def no_upload(key: str) -> NotFound:
    """Return the error for an upload that the store does not hold under this key."""
    return NotFound(
        f"the object store holds no such upload of {key!r}: it was given up, or was begun for another output",
        remedy="Ask for a new grant, and store the output again",
    )
