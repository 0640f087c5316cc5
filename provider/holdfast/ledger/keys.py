"""The log's key in a file, and how signatures are judged.

Source: RFC 8032 (Ed25519); golang.org/x/mod/sumdb/note for the text form of a private key.
"""

import base64
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast.core.errors import InvalidRequest
from holdfast.core.note import ED25519, VerifierKey, check_name, encoded

_PREFIX = ["PRIVATE", "KEY"]
_SEED_BYTES = 32


class FileSigner:
    """A private key that was read from a file.

    Attributes:
        key: its public half.
    """

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = VerifierKey(check_name(name), self._private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes."""
        return self._private.sign(message)

    @classmethod
    def make(cls, name: str, path: Path) -> "FileSigner":
        """Make a key in a new file, which only its owner may read, and return it.

        Raises:
            InvalidRequest: the name cannot be one, or there is such a file already; it stays as it is.
        """
        check_name(name)
        seed = os.urandom(_SEED_BYTES)
        made = cls(name, seed)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise InvalidRequest(f"the key {path} cannot be made: {error.strerror}") from None
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{'+'.join(_PREFIX)}+{name}+{made.key.key_id.hex()}+{encoded(bytes([ED25519]) + seed)}\n")
            file.flush()
            os.fsync(file.fileno())
        return made

    @classmethod
    def read(cls, path: Path) -> "FileSigner":
        """Return the key in a file; raises InvalidRequest where others may read it, or there is none in it."""
        try:
            mode = path.stat().st_mode
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise InvalidRequest(f"the key {path} cannot be read: {reason}") from None
        if mode & 0o077:
            raise InvalidRequest(
                f"others than its owner may read the key {path}", remedy=f"Make it private: chmod 600 {path}"
            )
        # The last part may hold a plus sign, the name may not.
        parts = text.strip().split("+", 4)
        try:
            decoded = base64.b64decode(parts[-1], validate=True)
        except ValueError:
            decoded = b""
        if parts[:2] != _PREFIX or len(decoded) != 1 + _SEED_BYTES or decoded[0] != ED25519:
            raise InvalidRequest(f"{path} holds no Ed25519 key of a log", remedy="Make one: holdfast ledger key")
        made = cls(parts[2], decoded[1:])
        if made.key.key_id.hex() != parts[3]:
            raise InvalidRequest(f"the key in {path} is not that of its name", remedy="Copy it whole")
        return made


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a public key's holder has signed a message."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_verifier_key(text: str) -> VerifierKey:
    """Return the public key that a text is, or that stands in the file it names; raises InvalidRequest."""
    if "+" in text:
        return VerifierKey.parse(text)
    try:
        return VerifierKey.parse(Path(text).read_text())
    except (OSError, UnicodeDecodeError):
        raise InvalidRequest(
            f"{text[:200]!r} is neither a verifier key nor a file that holds one",
            remedy="Give the key that the log's owner published",
        ) from None
