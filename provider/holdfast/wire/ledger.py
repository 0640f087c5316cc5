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
    """

    size: int
    published: int
    checkpoint_at: datetime | None
    waiting: int
    proof_age_s: float


class VerifierKeyRecord(Wire):
    """A log's public key, as it is pinned by who verifies."""

    name: str
    verifier_key: str
    file: str


class LedgerFinding(Wire):
    """Something in the log that is not as it was."""

    index: int | None
    what: str


class LedgerVerification(Wire):
    """What was looked at in a log, and what was found; nothing found is good."""

    size: int
    root: str
    events: int
    checkpoints: int
    waiting: int
    first_bad_index: int | None
    findings: list[LedgerFinding]
