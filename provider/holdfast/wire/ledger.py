"""What the ledger says of itself."""

from datetime import datetime
from uuid import UUID

from holdfast.core.audit import EventClass
from holdfast.core.segments import Step
from holdfast.wire.types import Digest, Time, Wire


class LedgerStatus(Wire):
    """How far a log has come.

    Attributes:
        size: events that have an index.
        published: events under the latest checkpoint.
        checkpoint_at: when that was signed.
        waiting: events that are recorded and cannot be proved yet.
        proof_age_s: how long the oldest of these has waited; 0 where there is none.
        limit_s: how long one may wait.
        is_behind: whether one has waited longer: somebody has to look why, `holdfast ledger run` may have ended.
    """

    size: int
    published: int
    checkpoint_at: datetime | None
    waiting: int
    proof_age_s: float
    limit_s: int
    is_behind: bool


class EventProofs(Wire):
    """Proofs that events stand in the log.

    Attributes:
        count: of the events.
        size: of the log under whose checkpoint they are proved.
        text: a file for `verify_proof.py`, which holds a proof for each event, one after the other, in the order of the log.
    """

    count: int
    size: int
    text: str


class VerifierKeyRecord(Wire):
    """A log's public key, as it is pinned by who verifies."""

    name: str
    verifier_key: str
    place: str


class LedgerFinding(Wire):
    """Something in the log that is not as it was.

    Attributes:
        index: of the event it is about; None where it is about no event.
        what: in words.
    """

    index: int | None
    what: str


class SignedRange(Wire):
    """A key, and the smallest and the largest size of a checkpoint that it has signed."""

    verifier_key: str
    first: int
    last: int


class CopyExtent(Wire):
    """How far a copy goes that was looked at: its checkpoints, and the size of the newest; 0 where it holds none."""

    place: str
    checkpoints: int
    newest: int


class LedgerVerification(Wire):
    """What was looked at in a log, and what was found; nothing found is good.

    Attributes:
        size: entries that could be read.
        root: of their tree.
        events: rows that were compared; 0 without a database.
        checkpoints: how many were compared with the tree of their size.
        signed: by which keys, from which size to which.
        copies: the WORM locations and witnesses' folders that were looked at.
        waiting: events in the database that cannot be proved yet.
        first_bad_index: the lowest of the findings'.
        findings: in the order in which they were met.
    """

    size: int
    root: str
    events: int
    checkpoints: int
    signed: list[SignedRange]
    copies: list[CopyExtent]
    waiting: int
    first_bad_index: int | None
    findings: list[LedgerFinding]


class AuditSegment(Wire):
    """A part of the audit trail that goes as a whole.

    Attributes:
        segment: its number.
        event_class: of its events.
        opened_at: since when events come into it.
        closed_at: since when none come.
        sealed_at: since when it is known what it holds: its events were compared with the log.
        count: of its events; of one that is open, at this moment.
        first_index: of its first event in the log.
        last_index: of its last one; events of other classes lie between them.
        oldest_at: when its oldest event was recorded.
        newest_at: when its newest one was.
        root: of the tree (RFC 9162) over the leaves of its events, in the order of the log.
        disposed_at: when its events have gone; all of the above stays.
        certificate: the event that says so.
        next: what happens to it next; None where that was everything.
        why: in words.
        until: when its period ends, where it has one.
    """

    segment: int
    event_class: EventClass
    opened_at: Time
    closed_at: Time | None
    sealed_at: Time | None
    count: int
    first_index: int | None
    last_index: int | None
    oldest_at: Time | None
    newest_at: Time | None
    root: Digest | None
    disposed_at: Time | None
    certificate: UUID | None
    next: Step | None
    why: str
    until: Time | None


class AuditRetention(Wire):
    """How long events of a class are kept.

    Attributes:
        event_class: of the events.
        period_days: a segment goes when its newest event is older; None for never.
        quota: a segment goes before its time once younger ones hold so many events; None without.
        reason: why.
        defined_by: who has said so.
        defined_at: when.
    """

    event_class: EventClass
    period_days: int | None
    quota: int | None
    reason: str
    defined_by: str
    defined_at: Time


class AuditSegments(Wire):
    """The segments of the audit trail, in the order in which they were opened, and how long each class is kept."""

    segments: list[AuditSegment]
    retention: list[AuditRetention]


class SegmentOutcome(Wire):
    """What has become of a segment.

    Attributes:
        segment: its number.
        event_class: of its events.
        step: what was to be done.
        became: `done`, or `refused` where it could not be; then nothing of it was.
        says: how many events, and why.
    """

    segment: int
    event_class: EventClass
    step: Step
    became: str
    says: str


class Retained(Wire):
    """What was done to the segments of the audit trail."""

    outcomes: list[SegmentOutcome]


class ErasedEvent(Wire):
    """An event whose content has gone; its place in the log, and every proof, is as it was.

    Attributes:
        event: its id.
        index: in the log.
        record: the event that says that it was erased.
    """

    event: UUID
    index: int
    record: UUID
