"""Signed notes and checkpoints: what a log says about itself, in text that its key has signed. Pure: signing comes in as a function.

Source: C2SP signed-note and tlog-checkpoint; golang.org/x/mod/sumdb/note for the text forms of keys.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.core.errors import IntegrityViolation, InvalidRequest
from holdfast.core.merkle import HASH_BYTES

ED25519 = 1
_DASH = "\u2014"
_SIGNATURE_LIMIT = 64

Check = Callable[[bytes, bytes, bytes], bool]
"""Whether (public key, signature, message) belong together; never raises."""
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with a name.

    Attributes:
        name: of the log or the witness that signs with it.
        public: the 32 bytes of an Ed25519 key.
    """

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes by which a signature says which key it is by."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encoded(bytes([ED25519]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Return the key that a text means; raises InvalidRequest."""
        if text.strip().startswith("PRIVATE"):
            raise InvalidRequest(
                "this is a private key, which nobody is to see, and no verifier key",
                remedy="Give the public one: name+8 hexadecimal digits+44 characters",
            )
        name, _, rest = text.strip().partition("+")
        key_id, _, public = rest.partition("+")
        try:
            decoded = base64.b64decode(public, validate=True)
            found = cls(check_name(name), decoded[1:])
        except (ValueError, InvalidRequest):
            decoded, found = b"", cls("", b"")
        if len(decoded) != 1 + 32 or decoded[0] != ED25519 or found.key_id.hex() != key_id:
            raise InvalidRequest(
                f"{text[:100]!r} is no verifier key of type Ed25519",
                remedy="Copy it whole: name+8 hexadecimal digits+44 characters",
            )
        return found


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log was at one size.

    Attributes:
        origin: the log's name.
        size: number of its entries.
        root: of its tree.
    """

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{encoded(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Return the checkpoint that a note's text is; raises IntegrityViolation."""
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not lines[0]:
            raise IntegrityViolation("a checkpoint has three lines: origin, size and root")
        origin, size, digest = lines[:3]
        if not (size.isascii() and size.isdigit()) or (size[0] == "0" and size != "0"):
            raise IntegrityViolation(f"a checkpoint's size is {size[:40]!r}")
        try:
            root = base64.b64decode(digest, validate=True)
        except binascii.Error:
            root = b""
        if len(root) != HASH_BYTES or encoded(root) != digest:
            raise IntegrityViolation("a checkpoint's root is no SHA-256 digest")
        return cls(origin, int(size), root)

    @classmethod
    def unchecked(cls, note: str) -> "Checkpoint":
        """Return the checkpoint that a note claims, whoever has signed it; raises IntegrityViolation for another text."""
        return cls.parse(note.partition("\n\n")[0] + "\n")


def check_name(name: str) -> str:
    """Return the name of a key; raises InvalidRequest for one that cannot stand in a signature's line."""
    if not name or "+" in name or not name.isprintable() or any(c.isspace() for c in name):
        raise InvalidRequest(
            f"{name[:80]!r} cannot name a key", remedy="Write it like a URL without https://, as example.org/log"
        )
    return name


def signed(text: str, *keys: tuple[VerifierKey, Sign]) -> str:
    """Return a note: the text, signed by each key.

    Args:
        text: ends with a newline.
        keys: each with what signs by it.
    """
    lines = [f"{_DASH} {key.name} {encoded(key.key_id + sign(text.encode()))}\n" for key, sign in keys]
    return f"{text}\n{''.join(lines)}"


def opened(note: str, keys: Sequence[VerifierKey], check: Check) -> tuple[str, tuple[VerifierKey, ...]]:
    """Return a note's text and which of the keys have signed it.

    Raises:
        IntegrityViolation: it is no note, none of the keys has signed it, or the signature of one of them is false.
    """
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise IntegrityViolation("this is no signed note: it has no signature")
    if any(ord(character) < 0x20 and character != "\n" for character in note):
        raise IntegrityViolation("this is no signed note: it holds control characters")
    text += "\n"
    by = []
    signatures = lines.removesuffix("\n").split("\n")
    if len(signatures) > _SIGNATURE_LIMIT:
        raise IntegrityViolation(f"a note with {len(signatures)} signatures is not looked at")
    for line in signatures:
        name, signature = _signature(line)
        for key in keys:
            if (key.name, key.key_id) == (name, signature[:4]):
                if not check(key.public, signature[4:], text.encode()):
                    raise IntegrityViolation(f"the signature of {name} is false")
                by.append(key)
    if not by:
        named = ", ".join(dict.fromkeys(key.name for key in keys)) or "any key"
        raise IntegrityViolation(
            f"the note is not signed by {named}", remedy="Pin the key that the log's owner gave you"
        )
    return text, tuple(by)


def claimed_by(note: str) -> frozenset[tuple[str, bytes]]:
    """Return the names and ids of the keys that a note says have signed it, unchecked; raises IntegrityViolation for what is no note."""
    lines = note.rpartition("\n\n")[2].removesuffix("\n").split("\n")
    return frozenset((name, signature[:4]) for name, signature in map(_signature, lines))


def open_checkpoint(note: str, keys: Sequence[VerifierKey], check: Check) -> Checkpoint:
    """Return the checkpoint that one of the keys has signed, of the log that bears its name; raises IntegrityViolation."""
    return opened_checkpoint(note, keys, check)[0]


def opened_checkpoint(
    note: str, keys: Sequence[VerifierKey], check: Check
) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    """Return what `open_checkpoint` does, and which of the keys have signed it."""
    said, by = opened(note, keys, check)
    found = Checkpoint.parse(said)
    if found.origin not in {key.name for key in by}:
        raise IntegrityViolation(f"the checkpoint is one of another log, {found.origin!r}")
    return found, by


def _signature(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    try:
        dash, name, signature = parts
        decoded = base64.b64decode(signature, validate=True)
    except ValueError:
        dash, name, decoded = "", "", b""
    if dash != _DASH or not name or len(decoded) <= 4:
        raise IntegrityViolation("this is no signed note: one of its signatures is malformed")
    return name, decoded


def encoded(content: bytes) -> str:
    """Return bytes in base64, as notes and proofs hold them."""
    return base64.b64encode(content).decode()
