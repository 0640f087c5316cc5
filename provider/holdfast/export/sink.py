"""What every sink does: take a batch whole, and say so; or refuse it, or not answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast.core.note import Checkpoint
from holdfast.export.record import Record


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that follow one another, as they are handed over.

    Attributes:
        log: the checkpoint under which they lie.
        note: that checkpoint as it was signed.
        records: at least one.
        lines: each record in the sink's format, without a line feed.
        replay: id of the replay that it belongs to; empty for the stream itself.
    """

    log: Checkpoint
    note: str
    records: Sequence[Record]
    lines: Sequence[bytes]
    replay: str = ""

    @property
    def first(self) -> int:
        """The index of the first event."""
        return self.records[0].index

    @property
    def last(self) -> int:
        """The index of the last event."""
        return self.records[-1].index


class Refused(Exception):
    """The sink will never take this batch, and why; the reason holds no secret."""


class Sink(Protocol):
    """Where batches go."""

    def deliver(self, batch: Batch) -> int:
        """Return the index behind the last event that the sink has taken, as it has acknowledged.

        Raises:
            Refused: it will never take this batch.
            Unavailable: it did not take it now, or nobody knows.
        """
        ...

    def close(self) -> None:
        """Give its connection back."""
        ...
