"""CEF: an event as ArcSight's Common Event Format, version 0. Pure.

No text of an event ends the line, a field or the header: what the format escapes is escaped, and what it has no escape for is replaced.
Such a text stands as it was in `HoldfastContent`, which is JSON in ASCII.
Source: Micro Focus, ArcSight Common Event Format Implementation Standard, version 26.
"""

from holdfast import __version__
from holdfast.core.audit import Outcome
from holdfast.core.digest import text_of
from holdfast.export.plain import ascii_line
from holdfast.export.record import Record

# The longest value of each key that the standard knows, in characters; what is longer is cut here, and whole in `HoldfastContent`.
LENGTHS = {
    "act": 63,
    "cs1": 4000,
    "cs4": 4000,
    "cs5": 4000,
    "cs6": 4000,
    "outcome": 63,
    "reason": 1023,
    "requestContext": 2048,
    "suser": 1023,
}
_LABELS = {"cs4": "targetType", "cs5": "targetId", "cs6": "project"}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def cef(record: Record) -> bytes:
    """Return the record as one line in UTF-8."""
    event = record.document
    action, target = str(event.get("action") or "unknown"), event.get("target") or {}
    severity = 6 if event.get("outcome") == Outcome.REFUSED else 3
    texts = {
        "act": event.get("action"),
        "suser": event.get("initiator"),
        "outcome": event.get("outcome"),
        "reason": event.get("reason"),
        "requestContext": event.get("request_id"),
        "cs4": target.get("type"),
        "cs5": target.get("id"),
        "cs6": event.get("project"),
    }
    # What we have made ourselves needs no look; the log's name and the entry have what has to be escaped at most.
    fields = [
        f"externalId={record.event} rt={int(record.recorded_at.timestamp() * 1000)} cn1Label=index cn1={record.index}",
        f"cs1Label=log cs1={_value(record.log[: LENGTHS['cs1']])}",
        f"cs3Label=leafHash cs3={text_of(record.leaf_hash)} HoldfastLeaf={_escaped(record.leaf)}",
        *(f"{key}={_value(text[: LENGTHS[key]])}" for key, text in texts.items() if text),
        *(f"{key}Label={_LABELS[key]}" for key in _LABELS if texts.get(key)),
    ]
    if record.previous is not None:
        fields.append(f"cs2Label=previous cs2={text_of(record.previous)}")
    if record.salt is not None and record.content is not None:
        fields.append(f"HoldfastSalt={record.salt.hex()} HoldfastContent={_escaped(_in_ascii(record.content))}")
    if record.left_out is not None:
        fields.append(f"HoldfastLeftOut={record.left_out}")
    name = _in_header(action)
    words = name.replace(".", " ").replace("_", " ")
    return f"CEF:0|Holdfast|Holdfast|{__version__}|{name}|{words}|{severity}|{' '.join(fields)}".encode()


def _in_ascii(content: str) -> str:
    return ascii_line(content.encode()).decode()


def _in_header(text: str) -> str:
    return _printable(text).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    if text.isprintable():
        return _escaped(text)
    return "\\n".join(_printable(line) for line in _escaped(text).replace("\r\n", "\n").split("\n"))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("=", "\\=")


def _printable(text: str) -> str:
    """Return the text with everything replaced that a reader could take for something else than a character."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)
