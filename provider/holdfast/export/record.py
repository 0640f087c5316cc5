"""What is exported of one event: its place in the log, its entry there, and the event with the salt that ties it to the entry. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from holdfast.core.canonical import check_event
from holdfast.core.digest import text_of
from holdfast.core.errors import InvalidRequest

FORMAT = "holdfast.export-record/1"

SIZE = "size"
ERASED = "erased"
DISPOSED = "disposed"
ALTERED = "altered"
MALFORMED = "malformed"
"""Why a record has no event: it would be too large for the sink; its content was erased; it has gone with its segment; it is not as it was
published; it never was one."""

_TEXTS = ("id", "action", "initiator", "outcome", "reason", "request_id", "trace_id")


@dataclass(frozen=True, slots=True)
class Record:
    """An event with everything by which a receiver can judge it alone.

    Attributes:
        log: the log's origin.
        index: of the event in the log.
        previous: leaf hash of the event before it; None for the first.
        leaf_hash: of this one.
        leaf: its entry in the log, as it was hashed.
        event: its id.
        recorded_at: when it was recorded.
        salt: of the commitment; None without content.
        content: the event in canonical form; None where it is left out.
        document: what the content means; empty where it is left out.
        left_out: why; None where it is not.
    """

    log: str
    index: int
    previous: bytes | None
    leaf_hash: bytes
    leaf: str
    event: UUID
    recorded_at: datetime
    salt: bytes | None
    content: str | None
    document: Mapping[str, Any]
    left_out: str | None = None

    def without_content(self, reason: str) -> "Record":
        """Return the record without its event; what stands in the log is still there to be compared with it later."""
        return replace(self, salt=None, content=None, document={}, left_out=reason)

    def ledger(self) -> dict[str, object]:
        """Return the part of every payload by which gaps, duplicates and changes are told."""
        return {
            "log": self.log,
            "index": self.index,
            "previous": text_of(self.previous) if self.previous is not None else None,
            "leaf_hash": text_of(self.leaf_hash),
            "leaf": self.leaf,
            "salt": self.salt.hex() if self.salt is not None else None,
            "left_out": self.left_out,
        }


def is_event(document: Any, identity: UUID) -> bool:
    """Whether a document is an audit event of that id: whoever may write to the table may have written anything."""
    if not isinstance(document, dict) or not all(isinstance(document.get(name), str) for name in _TEXTS):
        return False
    target, project, content = document.get("target"), document.get("project"), document.get("content")
    try:
        check_event(document)
    except InvalidRequest:
        return False
    return (
        document["id"] == str(identity)
        and isinstance(target, dict)
        and isinstance(target.get("type"), str)
        and isinstance(target.get("id"), str)
        and isinstance(project, str | None)
        and isinstance(content, dict)
    )
