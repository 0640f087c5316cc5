"""What the ledger says of itself."""

from datetime import datetime

from holdfast.wire.types import Wire


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


class LedgerVerification(Wire):
    """What was looked at in a log, and what was found; nothing found is good.

    Attributes:
        size: entries that could be read.
        root: of their tree.
        events: rows that were compared; 0 without a database.
        checkpoints: how many were compared with the tree of their size.
        signed: by which keys, from which size to which.
        waiting: events in the database that cannot be proved yet.
        first_bad_index: the lowest of the findings'.
        findings: in the order in which they were met.
    """

    size: int
    root: str
    events: int
    checkpoints: int
    signed: list[SignedRange]
    waiting: int
    first_bad_index: int | None
    findings: list[LedgerFinding]
