"""What is exported of one event: its place in the log, its entry there, and the event with the salt that ties it to the entry. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from holdfast.core.digest import text_of

FORMAT = "holdfast.export-record/1"

SIZE = "size"
ERASED = "erased"
ALTERED = "altered"
"""Why a record has no event: it would be too large for the sink; it is kept no more; it is not as it was published."""


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
    left_out: str | None = None

    def without_content(self, reason: str) -> "Record":
        """Return the record without its event; what stands in the log is still there to be compared with it later."""
        return replace(self, salt=None, content=None, left_out=reason)

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
