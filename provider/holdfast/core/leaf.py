"""The entry that an audit event has in the log: no personal data, so that erasing an event's content leaves every proof as it was."""

from datetime import UTC, datetime
from uuid import UUID

from holdfast.core.digest import text_of

FORMAT = "holdfast.audit-leaf/1"


def leaf_entry(index: int, event: UUID, recorded_at: datetime, commitment: bytes) -> bytes:
    """Return the entry in canonical form (RFC 8785); its hash is the log's leaf.

    Args:
        index: of the leaf, from 0.
        event: the event's id.
        recorded_at: when it was recorded, with its zone.
        commitment: 32 bytes, `core.audit.commitment`.
    """
    moment = recorded_at.astimezone(UTC).isoformat(timespec="microseconds")[:-6]
    # Written out, because its members are the same each time and none needs an escape; in the order of their names.
    return (
        f'{{"commitment":"{text_of(commitment)}","event":"{event}","format":"{FORMAT}",'
        f'"index":{index},"recorded_at":"{moment}Z"}}'
    ).encode()
