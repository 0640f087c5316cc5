"""Syslog messages: an event's payload under the header of RFC 5424, and their framing on a stream. Pure.

Source: RFC 5424 sections 6 and 7, RFC 5425 section 4.3.
"""

from datetime import UTC

from holdfast import __version__
from holdfast.core.audit import Outcome
from holdfast.export.record import Record

LOG_AUDIT = 13
_NOTICE, _INFORMATIONAL = 5, 6
_SEQUENCE_LIMIT = 2**31 - 1
_HOST_LENGTH, _MSGID_LENGTH = 255, 32


def message(record: Record, payload: bytes, host: str) -> bytes:
    """Return the whole message, without its frame.

    Args:
        record: what it is about.
        payload: the record in one of the formats; one line.
        host: of the sender, as receivers know it.
    """
    event = record.document
    severity = _NOTICE if event.get("outcome") == Outcome.REFUSED else _INFORMATIONAL
    moment = record.recorded_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    sequence = record.index % _SEQUENCE_LIMIT + 1
    header = (
        f"<{LOG_AUDIT * 8 + severity}>1 {moment} {_printed(host, _HOST_LENGTH)} holdfast -"
        f" {_printed(str(event.get('action') or ''), _MSGID_LENGTH)}"
        f' [origin software="holdfast" swVersion="{__version__}"][meta sequenceId="{sequence}"] '
    )
    return header.encode() + payload


def framed(text: bytes) -> bytes:
    """Return a message behind its length in bytes."""
    return b"%d %s" % (len(text), text)


def _printed(text: str, length: int) -> str:
    """Return a field of the header: printable ASCII without spaces and brackets, a dash where nothing is left."""
    return "".join(c for c in text if "!" <= c <= "~" and c not in '{}[]"')[:length] or "-"
