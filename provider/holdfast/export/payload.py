"""The formats, by name; and a record as one line of them, bounded in size. Pure."""

from collections.abc import Callable, Mapping

from holdfast.export.cef import cef
from holdfast.export.config import Format
from holdfast.export.ocsf import ocsf_json
from holdfast.export.plain import plain_json
from holdfast.export.record import SIZE, Record

PAYLOADS: Mapping[Format, Callable[[Record], bytes]] = {
    Format.JSON: plain_json,
    Format.OCSF: ocsf_json,
    Format.CEF: cef,
}


def line_of(record: Record, format_: Format, limit_bytes: int) -> bytes:
    """Return a record as one line; where that is longer than the limit, without the event."""
    line = PAYLOADS[format_](record)
    if len(line) > limit_bytes and record.content is not None:
        return PAYLOADS[format_](record.without_content(SIZE))
    return line
