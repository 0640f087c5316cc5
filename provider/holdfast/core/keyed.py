"""What an event may say of a value that may be a secret: a keyed digest, by which equal values are equal and nobody can guess them."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping

PREFIX = "hmac-sha256:"
MIN_KEY_BYTES = 32
_DERIVATION = b"holdfast.keyed-digest/1"
_MOST_ITEMS = 200
_DEEPEST = 6
_KEY = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_LONGEST_CLEAR = 300


def derived_key(secret: bytes) -> bytes:
    """Return a key for keyed digests that follows from another secret and does not give it away."""
    return hmac.digest(secret, _DERIVATION, "sha256")


class KeyedDigests:
    """Makes keyed digests under one key.

    Args:
        key: at least 32 bytes; the same for as long as digests are to be compared.

    Source: RFC 2104.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a key for digests has at least {MIN_KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def of(self, value: str | bytes) -> str:
        """Return the keyed digest of a value."""
        text = value.encode(errors="surrogatepass") if isinstance(value, str) else value
        return PREFIX + hmac.digest(self._key, text, hashlib.sha256).hex()

    def summary(self, document: object, clear: Iterable[str], name: str = "", depth: int = 0) -> object:
        """Return a document as an event may hold it: values stand in clear under the given names only, all others as keyed digests.

        What is nested deeper or longer than an event should be is said by a digest of the whole.
        """
        named = frozenset(clear)
        match document:
            case None | bool():
                return document
            case Mapping() if depth < _DEEPEST and len(document) <= _MOST_ITEMS:
                return {
                    (key := self._key_of(k)): self.summary(value, named, key, depth + 1)
                    for k, value in document.items()
                }
            case list() | tuple() if depth < _DEEPEST and len(document) <= _MOST_ITEMS:
                return [self.summary(item, named, name, depth + 1) for item in document]
            case int() if name in named and abs(document) < 2**53:
                return document
            case str() if name in named and len(document) <= _LONGEST_CLEAR and document.isprintable():
                return document
            case _:
                return self.of(document if isinstance(document, str) else repr(document))

    def _key_of(self, key: object) -> str:
        text = str(key)
        return text if _KEY.fullmatch(text) else self.of(text)
