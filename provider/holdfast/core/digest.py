"""SHA-256 digests: 32 bytes inside, `sha256:<hex>` wherever a person or a document sees one."""

import hashlib
import re
from collections.abc import Iterable

from holdfast.core.errors import InvalidRequest

SIZE_BYTES = 32
_TEXT = re.compile(r"sha256:[0-9a-f]{64}")


def text_of(digest: bytes) -> str:
    """Return the text form of a 32-byte digest."""
    return "sha256:" + digest.hex()


def parse(text: str) -> bytes:
    """Return the 32 bytes of a digest's text form.

    Raises:
        InvalidRequest: the text is not `sha256:` and 64 lower-case hexadecimal digits.
    """
    if not _TEXT.fullmatch(text):
        raise InvalidRequest(
            f"{text[:80]!r} is not a digest", remedy="Write it as sha256:<64 lower-case hexadecimal digits>"
        )
    return bytes.fromhex(text[7:])


def of(content: bytes) -> bytes:
    """Return the SHA-256 of bytes that fit into memory."""
    return hashlib.sha256(content).digest()


def of_files(files: Iterable[tuple[str, bytes, int]]) -> bytes:
    """Return the digest of a set of files: one line `<hex>  <size>  <path>` a file, sorted by the path's UTF-8 bytes.

    Args:
        files: (relative path, digest, size in bytes); the paths are distinct and hold no line feed.
    """
    lines = sorted((path.encode(), digest.hex(), size) for path, digest, size in files)
    body = b"".join(b"%s  %d  %s\n" % (hexdigest.encode(), size, path) for path, hexdigest, size in lines)
    return of(body)
