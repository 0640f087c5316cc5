"""Legal holds: what they cover, how people name them, and who may release one, after how long; pure."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from holdfast.core.access import Role
from holdfast.core.errors import InvalidRequest, PolicyViolation, StateConflict
from holdfast.core.names import parse_numbered

SHORTEST_COOLING_OFF_S = 3600
"""So that somebody sees that a release is asked for; the database holds the same bounds."""
LONGEST_COOLING_OFF_S = 31_536_000
_PREFIX = "LH"
_PERSON = "user:"


class HeldType(StrEnum):
    """What a legal hold covers."""

    ARTIFACT = "artifact"
    DATASET_VERSION = "dataset_version"
    MODEL_VERSION = "model_version"
    RUN = "run"


class QueriedType(StrEnum):
    """What a hold's query may ask for; the rest is reached along the lineage."""

    ARTIFACT = "artifact"
    DATASET_VERSION = "dataset_version"


class ReachedBy(StrEnum):
    """How an object came under a hold."""

    SCOPE = "scope"
    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"


class LockState(StrEnum):
    """What is known of the lock of an Artifact's bytes in the object store."""

    WANTED = "wanted"
    LOCKED = "locked"
    RELEASED = "released"


class Decision(StrEnum):
    """What is decided on the release of a hold."""

    APPROVE = "approve"
    REJECT = "reject"


class HoldState(StrEnum):
    """Where a legal hold is."""

    PLACED = "placed"
    RELEASE_REQUESTED = "release_requested"
    RELEASED = "released"


def name_of(number: int) -> str:
    """Return how people write a hold."""
    return f"{_PREFIX}-{number}"


def parse_hold(text: str) -> int | UUID:
    """Return the number or the id by which a hold is named.

    Raises:
        InvalidRequest: it is neither.
    """
    return parse_numbered(text, _PREFIX, "legal hold")


def check_hold(text: str) -> str:
    """Return the name or id of a hold as it is written; raises InvalidRequest where it names none."""
    parse_hold(text)
    return text


def parse_object(text: str) -> tuple[HeldType, UUID]:
    """Return type and id of an object that is written as `artifact/0198…`.

    Raises:
        InvalidRequest: it is not written so.
    """
    kind, _, identity = text.partition("/")
    try:
        return HeldType(kind), UUID(identity)
    except ValueError:
        raise InvalidRequest(
            f"{text[:80]!r} names no object", remedy=f"Write TYPE/ID, where TYPE is one of {', '.join(HeldType)}"
        ) from None


def check_person(principal: str, hold: str) -> None:
    """Return when who asks for a release, or decides on one, is a person. The database holds the same rule.

    Raises:
        PolicyViolation: it is a token or the system.
    """
    if not principal.startswith(_PERSON):
        raise _violation(
            f"{principal} is no person, and legal hold {hold} is released by people",
            "legal_hold.people-release",
            "Log in as yourself, and ask over the API",
        )


def check_approval(
    hold: str, requested_by: str, requested_at: datetime, cooling_off_s: int, principal: str, now: datetime
) -> None:
    """Return when a principal may approve a release now. The database holds the same rules.

    Raises:
        PolicyViolation: who asked would approve it.
        StateConflict: it has not cooled off.
    """
    if principal == requested_by:
        raise _violation(
            f"{principal} asked for the release of legal hold {hold} and may not approve it",
            "legal_hold.two-people-release",
            "Another Security Officer approves it",
        )
    over = requested_at + timedelta(seconds=cooling_off_s)
    if now < over:
        raise StateConflict(
            f"the release of legal hold {hold} cools off until {over:%Y-%m-%dT%H:%M:%SZ}",
            remedy="Approve it then; until then it can be rejected",
            details={"rule": "legal_hold.cooling-off", "cooling_off_s": cooling_off_s},
        )


def _violation(message: str, rule: str, remedy: str) -> PolicyViolation:
    return PolicyViolation(
        message,
        remedy=remedy,
        details={"rule": rule, "version": 1, "changed_by": "nobody: held by a database constraint"},
    )


def held(message: str) -> PolicyViolation:
    """Return the refusal to let something go that is under a legal hold."""
    return PolicyViolation(
        message,
        remedy="A Security Officer can request the release of the hold; until it is released, what it covers stays",
        details={"rule": "legal_hold.wins", "version": 1, "changed_by": Role.SECURITY_OFFICER.value},
    )
