"""What the export says of itself."""

from uuid import UUID

from holdfast.wire.types import Time, Wire


class SinkStatus(Wire):
    """How far a sink has come.

    Attributes:
        name: of the sink.
        cursor: the index that it gets next.
        published: events that could be exported.
        behind: how many of them it has not got.
        behind_s: for how long the oldest of these has waited; 0 where there is none.
        delivered_at: when it last took something.
        error: why the last attempt has failed; empty when it did not.
        failing_since: since when it takes nothing.
        paused_at: since when it is paused.
        dead_letters: batches that it has refused and that were not replayed.
    """

    name: str
    cursor: int
    published: int
    behind: int
    behind_s: float
    delivered_at: Time | None
    error: str
    failing_since: Time | None
    paused_at: Time | None
    dead_letters: int


class ExportStatus(Wire):
    """How far all of them have come."""

    sinks: list[SinkStatus]


class DeadLetter(Wire):
    """Events that a sink has refused for good.

    Attributes:
        id: of the dead letter.
        sink: that refused them.
        first: the first index.
        last: the last index.
        reason: what the sink said.
        created_at: when it was refused.
        replayed_at: when the sink has taken it after all.
    """

    id: UUID
    sink: str
    first: int
    last: int
    reason: str
    created_at: Time
    replayed_at: Time | None


class DeadLetters(Wire):
    """What sinks have refused for good."""

    items: list[DeadLetter]


class Replay(Wire):
    """Events that were sent to a sink once more.

    Attributes:
        id: stands in the receiver's batches, too.
        sink: that got them.
        ranges: first and last index of each range.
        events: how many they were.
    """

    id: UUID
    sink: str
    ranges: list[tuple[int, int]]
    events: int


class SinkChange(Wire):
    """A sink that was added, paused or resumed.

    Attributes:
        name: of the sink.
        cursor: the index that it gets next.
    """

    name: str
    cursor: int
