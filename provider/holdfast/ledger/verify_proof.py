#!/usr/bin/env python3
"""Checks that an audit event stands in a Holdfast log, from a proof file and a pinned public key alone.

    python3 verify_proof.py --key 'example.org/log+1a2b3c4d+AR…' event.tlog-proof …

One file, Python 3.9 or later, standard library only, no network, no database: read it before you trust it. It ends with 0 when every
proof holds, with 1 when one does not, with 2 when it was called wrongly. What a proof that holds says: whoever has the key's private half
has signed a log that has this very event at this very index. The key has to come to you by another way than the proof.

Formats: C2SP tlog-proof, tlog-checkpoint and signed-note; RFC 9162 section 2.1 (Merkle tree); RFC 8032 section 5.1 (Ed25519).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

FIRST_LINE = "c2sp.org/tlog-proof@v1"
DASH = "\u2014"
SIZE_LIMIT_BYTES = 16 << 20
Key = tuple[str, bytes]
Result = dict[str, Any]
Point = tuple[int, int, int, int]


class Refused(Exception):
    """The proof proves nothing, and why."""


def main(arguments: list[str] | None = None) -> int:
    """Check the files that are named and say what they prove."""
    parser = argparse.ArgumentParser(prog="verify_proof.py", description=__doc__.splitlines()[0])
    parser.add_argument("proofs", nargs="+", metavar="PROOF", help="a proof file, - for standard input")
    parser.add_argument("--key", action="append", required=True, help="the log's verifier key, or a file that holds it")
    parser.add_argument("--origin", help="the log's name, where it is not the key's")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    chosen = parser.parse_args(arguments)
    try:
        keys = [read_key(key) for key in chosen.key]
    except Refused as refusal:
        parser.error(str(refusal))
    results = [result for path in chosen.proofs for result in check_file(path, keys, chosen.origin)]
    said = json.dumps(results, indent=2) if chosen.output == "json" else "\n".join(map(described, results))
    sys.stdout.write(said + "\n")
    return 0 if all(result["holds"] for result in results) else 1


def check_file(path: str, keys: list[Key], origin: str | None) -> list[Result]:
    """Return what each proof in a file proves, or why it proves nothing."""
    try:
        return [{"file": path, **checked(proof, keys, origin)} for proof in proofs_in(content_of(path))]
    except Refused as refusal:
        return [{"file": path, "holds": False, "reason": str(refusal)}]


def checked(proof: bytes, keys: list[Key], origin: str | None) -> Result:
    """Return what a proof proves, or why it proves nothing."""
    try:
        return {"holds": True, **verify(proof, keys, origin)}
    except Refused as refusal:
        return {"holds": False, "reason": str(refusal)}


def proofs_in(content: bytes) -> list[bytes]:
    """Return the proofs that stand in a file one after the other; each begins with the same line."""
    parts = re.split(rb"^(?=%b$)" % re.escape(FIRST_LINE.encode()), content, flags=re.MULTILINE)
    return [part for part in parts if part] or [content]


def content_of(path: str) -> bytes:
    """Return the bytes of a file, or of standard input."""
    try:
        with sys.stdin.buffer if path == "-" else Path(path).open("rb") as file:
            content = file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from None
    if len(content) > SIZE_LIMIT_BYTES:
        raise Refused("is too large for a proof")
    return content


def verify(content: bytes, keys: list[Key], origin: str | None = None) -> Result:
    """Return what a proof proves; raises Refused where that is nothing.

    Args:
        content: bytes of the proof file.
        keys: (name, public key of 32 bytes) that are pinned.
        origin: the log's name; that of the key where it is None.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Refused("is not UTF-8") from None
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines[0] != FIRST_LINE or len(lines) < 3:
        raise Refused(f"is no proof file: it does not begin with {FIRST_LINE}")
    evidence = parsed_evidence(after("extra", lines[1]))
    index = number(after("index", lines[2]), "index")
    path = [digest_of(line) for line in lines[3:]]
    name, size, root, signers = open_checkpoint(note, keys, origin)
    leaf = parsed_object(evidence["leaf"], "leaf")
    if leaf.get("format") != "holdfast.audit-leaf/1" or leaf.get("index") != index:
        raise Refused("the leaf is one of another index")
    if root_of(hashlib.sha256(b"\0" + evidence["leaf"].encode()).digest(), index, size, path) != root:
        raise Refused("the log's tree does not hold this leaf at this index")
    event = checked_event(evidence, leaf)
    return {"origin": name, "size": size, "root": root.hex(), "signed_by": signers, "leaf": leaf, "event": event}


def checked_event(evidence: Result, leaf: Result) -> Result | None:
    """Return the event that a leaf commits to; None where the log keeps only that there was one."""
    if evidence["content"] is None:
        return None
    commitment = hashlib.sha256(bytes.fromhex(evidence["salt"]) + evidence["content"].encode()).hexdigest()
    if leaf.get("commitment") != "sha256:" + commitment:
        raise Refused("the event is not the one that the leaf commits to")
    event = parsed_object(evidence["content"], "event")
    if event.get("id") != leaf.get("event"):
        raise Refused("the event has another id than its leaf")
    return event


def parsed_evidence(encoded: str) -> Result:
    """Return what the line `extra` holds: the leaf's entry, the event's content and its salt, as they were hashed."""
    text = decoded(encoded).decode(errors="replace")
    evidence = parsed_object(text, "line extra")
    if json.dumps(evidence, ensure_ascii=False, sort_keys=True, separators=(",", ":")) != text:
        raise Refused("the line extra is not written as it would be")
    optional = (str, type(None))
    kinds: dict[str, type | tuple[type, ...]] = {"format": str, "leaf": str, "content": optional, "salt": optional}
    if set(evidence) != set(kinds) or not all(isinstance(evidence[name], kind) for name, kind in kinds.items()):
        raise Refused("the line extra does not hold format, leaf, content and salt")
    if evidence["format"] != "holdfast.event-proof/1":
        raise Refused("the proof is of a format that this program does not know")
    if (evidence["content"] is None) != (evidence["salt"] is None):
        raise Refused("the proof holds a content without a salt, or a salt without a content")
    if evidence["salt"] is not None and not re.fullmatch("[0-9a-f]{64}", evidence["salt"]):
        raise Refused("the salt is not 32 bytes in lower-case hexadecimal digits")
    return evidence


def open_checkpoint(note: str, keys: list[Key], origin: str | None) -> tuple[str, int, bytes, list[str]]:
    """Return (origin, size, root, names of the keys that signed) of a checkpoint that a pinned key has signed."""
    text, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise Refused("the checkpoint has no signature")
    text += "\n"
    signers = []
    for line in signatures[:-1].split("\n"):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != DASH:
            raise Refused("a signature of the checkpoint is malformed")
        signature = decoded(parts[2])
        for name, public in keys:
            if (parts[1], signature[:4]) == (name, key_id(name, public)):
                if not ed25519_verifies(public, signature[4:], text.encode()):
                    raise Refused(f"the signature of {name} under the checkpoint is false")
                signers.append(name)
    if not signers:
        raise Refused("the checkpoint is not signed by a key that is pinned")
    lines = text.split("\n")
    if len(lines) != 4:
        raise Refused("the checkpoint does not have three lines")
    if lines[0] not in (signers if origin is None else [origin]):
        raise Refused(f"the checkpoint is one of another log, {lines[0]!r}")
    return lines[0], number(lines[1], "size"), digest_of(lines[2]), signers


def root_of(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root of the tree of a size that has a leaf at an index, by the leaf's inclusion proof."""
    if not 0 <= index < size:
        raise Refused(f"a log of {size} events has none with index {index}")
    siblings = iter(path)

    def rebuilt(begin: int, end: int) -> bytes:
        if end - begin == 1:
            return leaf
        middle = begin + (1 << ((end - begin - 1).bit_length() - 1))
        if index < middle:
            left = rebuilt(begin, middle)
            return node(left, next(siblings))
        right = rebuilt(middle, end)
        return node(next(siblings), right)

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\1" + left + right).digest()

    try:
        found = rebuilt(0, size)
    except StopIteration:
        raise Refused("the path to the root is too short") from None
    if next(siblings, None) is not None:
        raise Refused("the path to the root is too long")
    return found


def read_key(text: str) -> Key:
    """Return (name, public key) of a verifier key, or of a file that holds one."""
    if "+" not in text:
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise Refused(f"--key {text!r} is neither a verifier key nor a file that holds one") from None
    if text.strip().startswith("PRIVATE"):
        raise Refused(
            "--key is a private key, which nobody is to see: give the public one, name+8 digits+44 characters"
        )
    name, _, rest = text.strip().partition("+")
    identity, _, encoded = rest.partition("+")
    try:
        public = decoded(encoded)
    except Refused:
        public = b""
    if len(public) != 33 or public[0] != 1 or key_id(name, public[1:]).hex() != identity:
        raise Refused(f"{text.strip()[:100]!r} is no verifier key: copy it whole, name+8 digits+44 characters")
    return name, public[1:]


def key_id(name: str, public: bytes) -> bytes:
    """Return the four bytes by which a signature says whose it is."""
    return hashlib.sha256(name.encode() + b"\n\1" + public).digest()[:4]


def after(word: str, line: str) -> str:
    """Return what follows a word and a space in a line."""
    if not line.startswith(word + " "):
        raise Refused(f"the line {word} is missing")
    return line[len(word) + 1 :]


def number(text: str, what: str) -> int:
    """Return a number that is written in exactly one way, below 2^63."""
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text, re.ASCII) or int(text) >= 1 << 63:
        raise Refused(f"the {what} is no number")
    return int(text)


def digest_of(line: str) -> bytes:
    """Return the 32 bytes of a line in base64."""
    digest = decoded(line)
    if len(digest) != 32:
        raise Refused("a line of the path is no digest")
    return digest


def decoded(text: str) -> bytes:
    """Return the bytes that base64 means; text that is written in another way than the encoder's is refused."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused("something is not base64") from None
    if base64.b64encode(content).decode() != text:
        raise Refused("something is not base64 as it is written")
    return content


def parsed_object(text: str, what: str) -> Result:
    """Return the JSON object that a text is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refused(f"the {what} is no JSON object")
    return value


def described(result: Result) -> str:
    """Return a result for people."""
    if not result["holds"]:
        return f"{result['file']}: DOES NOT HOLD: {result['reason']}"
    leaf = printable(result["leaf"])
    lines = [
        f"{result['file']}: holds",
        f"  log      {result['origin']}, {result['size']} events, signed by {', '.join(result['signed_by'])}",
        f"  index    {leaf['index']}, recorded {leaf.get('recorded_at')}",
    ]
    if result["event"] is None:
        return "\n".join([*lines, f"  event    {leaf.get('event')}; its content is not in this proof"])
    event = printable(result["event"])
    target = event.get("target")
    target = printable(target) if isinstance(target, dict) else {}
    lines += [
        f"  event    {event.get('id')}",
        f"  what     {event.get('action')} {event.get('outcome')}, by {event.get('initiator')}",
        f"  target   {target.get('type')} {target.get('id')} in Project {event.get('project')}",
    ]
    return "\n".join(lines)


def printable(texts: Result) -> Result:
    """Return an object whose texts are one line each and steer no terminal, whatever somebody has put into them."""
    return {
        name: "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value) if isinstance(value, str) else value
        for name, value in texts.items()
    }


# Ed25519, as RFC 8032 section 5.1 says it: slow (some milliseconds) and short enough to be read. It handles public data only, so it
# need not hide how long anything takes.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)


def ed25519_verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether a signature of 64 bytes is one of a message by a public key of 32 bytes."""
    point = unpacked_point(public) if len(public) == 32 and len(signature) == 64 else None
    scalar = int.from_bytes(signature[32:], "little")
    if point is None or scalar >= L:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus = (P - point[0], point[1], point[2], P - point[3])
    return packed_point(added(times(scalar, BASE), times(challenge, minus))) == signature[:32]


def added(a: Point, b: Point) -> Point:
    """Return the sum of two points in extended coordinates (X, Y, Z, T)."""
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    p, q = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    r, s = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = q - p, s - r, s + r, q + p
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar: int, point: Point) -> Point:
    """Return a multiple of a point."""
    found = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = added(found, point)
        point = added(point, point)
        scalar >>= 1
    return found


def packed_point(point: Point) -> bytes:
    """Return the 32 bytes of a point."""
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def unpacked_point(encoded: bytes) -> Point | None:
    """Return the point that 32 bytes mean, None where they mean none."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = unpacked_point(BASE_Y.to_bytes(32, "little")) or (0, 1, 1, 0)

if __name__ == "__main__":
    sys.exit(main())
