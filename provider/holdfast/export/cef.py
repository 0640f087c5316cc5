"""CEF: an event as ArcSight's Common Event Format, version 0. Pure.

No text of an event ends the line, a field or the header: what the format escapes is escaped, and what it has no escape for is replaced.
Such a text stands as it was in `HoldfastContent`, which is JSON in ASCII.
Source: Micro Focus, ArcSight Common Event Format Implementation Standard, version 26.
"""

import json
from typing import Any

import orjson

from holdfast import __version__
from holdfast.core.audit import Outcome
from holdfast.core.digest import text_of
from holdfast.export.record import Record

# The longest value of each key that the standard knows, in characters; what is longer is cut here, and whole in `HoldfastContent`.
LENGTHS = {
    "act": 63,
    "cs1": 4000,
    "cs2": 4000,
    "cs3": 4000,
    "cs4": 4000,
    "cs5": 4000,
    "cs6": 4000,
    "externalId": 40,
    "outcome": 63,
    "reason": 1023,
    "requestContext": 2048,
    "suser": 1023,
}
_LABELS = {"cs1": "log", "cs2": "previous", "cs3": "leafHash", "cs4": "targetType", "cs5": "targetId", "cs6": "project"}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def cef(record: Record) -> bytes:
    """Return the record as one line in UTF-8."""
    event: dict[str, Any] = orjson.loads(record.content) if record.content is not None else {}
    action, target = str(event.get("action") or "unknown"), event.get("target") or {}
    severity = 6 if event.get("outcome") == Outcome.REFUSED else 3
    header = ["Holdfast", "Holdfast", __version__, action, action.replace(".", " ").replace("_", " "), str(severity)]
    fields = {
        "externalId": str(record.event),
        "rt": str(int(record.recorded_at.timestamp() * 1000)),
        "act": event.get("action"),
        "suser": event.get("initiator"),
        "outcome": event.get("outcome"),
        "reason": event.get("reason"),
        "requestContext": event.get("request_id"),
        "cn1": str(record.index),
        "cn1Label": "index",
        **_custom("cs1", record.log),
        **_custom("cs2", text_of(record.previous) if record.previous is not None else None),
        **_custom("cs3", text_of(record.leaf_hash)),
        **_custom("cs4", target.get("type")),
        **_custom("cs5", target.get("id")),
        **_custom("cs6", event.get("project")),
        "HoldfastLeaf": record.leaf,
        "HoldfastSalt": record.salt.hex() if record.salt is not None else None,
        "HoldfastContent": json.dumps(event, sort_keys=True, separators=(",", ":")).replace("\x7f", "\\u007f")
        if record.content is not None
        else None,
        "HoldfastLeftOut": record.left_out,
    }
    shown = " ".join(f"{key}={_value(str(value)[: LENGTHS.get(key)])}" for key, value in fields.items() if value)
    return f"CEF:0|{'|'.join(map(_in_header, header))}|{shown}".encode()


def _custom(key: str, value: str | None) -> dict[str, str | None]:
    return {key: value, f"{key}Label": _LABELS[key] if value else None}


def _in_header(text: str) -> str:
    return _printable(text).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("=", "\\=")
    return "\\n".join(_printable(line) for line in escaped.replace("\r\n", "\n").split("\n"))


def _printable(text: str) -> str:
    """Return the text with everything replaced that a reader could take for something else than a character."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)
