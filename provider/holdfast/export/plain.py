"""Plain JSON: the event as it was recorded, beside its place in the log. One line of ASCII, whatever somebody wrote into the event."""

import json

import orjson

from holdfast.export.record import FORMAT, Record


def plain_json(record: Record) -> bytes:
    """Return the record as one line."""
    content = orjson.Fragment(record.content) if record.content is not None else None
    return ascii_line(orjson.dumps({"format": FORMAT, "ledger": record.ledger(), "event": content}))


def ascii_line(document: bytes) -> bytes:
    """Return a JSON text in ASCII: no reader of lines takes a character in it for the end of one, or for a command."""
    if not document.isascii():
        document = json.dumps(json.loads(document), separators=(",", ":")).encode()
    return document.replace(b"\x7f", b"\\u007f")
