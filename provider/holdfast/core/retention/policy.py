"""What retention is decided by: policies in their versions, legal holds, and objects as both see them; pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from holdfast.core.errors import InvalidRequest, PolicyViolation, StateConflict

FOREVER = datetime.max.replace(tzinfo=UTC)
"""Later than anything; as the end of a retention it means that nobody knows it yet."""
MAX_PERIOD_DAYS = 36500


class ObjectType(StrEnum):
    """What policies apply to."""

    DATASET_VERSION = "dataset_version"
    ARTIFACT = "artifact"
    RUN_LOG = "run_log"
    AUDIT_EVENT = "audit_event"


class ClockStart(StrEnum):
    """What starts the clock of a policy; each is on record."""

    CREATED = "created"
    RUN_ENDED = "run_ended"
    LAST_USED = "last_used"
    RETIRED = "retired"
    SEGMENT_SEALED = "segment_sealed"


class Disposition(StrEnum):
    """What becomes of an object whose time has come; the first destroys the least."""

    ARCHIVE = "archive"
    CRYPTO_ERASE = "crypto_erase"
    DELETE = "delete"


class PolicyState(StrEnum):
    """Where a version of a policy is."""

    PROPOSED = "proposed"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    IN_FORCE = "in_force"
    SUPERSEDED = "superseded"


CLOCKS = {
    ObjectType.DATASET_VERSION: (ClockStart.CREATED, ClockStart.LAST_USED),
    ObjectType.ARTIFACT: (ClockStart.CREATED, ClockStart.RUN_ENDED, ClockStart.LAST_USED, ClockStart.RETIRED),
    ObjectType.RUN_LOG: (ClockStart.RUN_ENDED,),
    ObjectType.AUDIT_EVENT: (ClockStart.SEGMENT_SEALED,),
}
DISPOSITIONS = {
    ObjectType.DATASET_VERSION: (Disposition.ARCHIVE, Disposition.DELETE),
    ObjectType.ARTIFACT: tuple(Disposition),
    ObjectType.RUN_LOG: (Disposition.ARCHIVE, Disposition.DELETE),
    ObjectType.AUDIT_EVENT: (Disposition.DELETE,),
}
KINDS = {
    ObjectType.DATASET_VERSION: ("file", "s3"),
    ObjectType.RUN_LOG: ("succeeded", "failed", "canceled"),
}
"""The kinds that objects of a type can have, where that is a closed set."""


class Ref(NamedTuple):
    """What names something in a lineage: an object, or what refers to objects (a Run, a ModelVersion, an alias, a promotion)."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


@dataclass(frozen=True, slots=True)
class GovernedObject:
    """An object as policies see it.

    Attributes:
        type: what it is.
        id: its id.
        project: its Project's name; None where it is the platform's.
        kind: an Artifact's kind, a DatasetVersion's source type, the state in which a Run ended, an event's class.
        label: an Artifact's retention class, a DatasetVersion's Dataset, a Run's task.
        created_at: when it was created.
        run_ended_at: when its Run ended; None while that goes on, and where it has none.
        last_used_at: when the last Run that read it ended, its creation where none has; None while one reads it.
        retired_at: when the last alias left its ModelVersions; None while one points there, and where none has.
        segment_sealed_at: time of the newest event in its segment, once that is sealed.
    """

    type: ObjectType
    id: str
    project: str | None = None
    kind: str = ""
    label: str = ""
    created_at: datetime | None = None
    run_ended_at: datetime | None = None
    last_used_at: datetime | None = None
    retired_at: datetime | None = None
    segment_sealed_at: datetime | None = None

    @property
    def ref(self) -> Ref:
        """What names it in a lineage."""
        return Ref(self.type, self.id)

    def start_of(self, clock: ClockStart) -> datetime | None:
        """Return when a clock has started, None where it has not."""
        started: datetime | None = getattr(self, f"{clock.value}_at")
        return started


@dataclass(frozen=True, slots=True)
class Scope:
    """Which objects are meant; what is None does not matter."""

    object_type: ObjectType | None = None
    project: str | None = None
    kind: str | None = None
    label: str | None = None

    @property
    def explicitness(self) -> tuple[bool, bool, bool]:
        """How much it names: a label outdoes a kind, a kind a Project. Two scopes that both cover an object and have the same are equal."""
        return (self.label is not None, self.kind is not None, self.project is not None)

    def covers(self, one: GovernedObject) -> bool:
        """Whether an object is meant."""
        return not self.mismatch(one)

    def mismatch(self, one: GovernedObject) -> str:
        """Return why an object is not meant, nothing where it is."""
        for name, wanted, found in (
            ("type", self.object_type, one.type),
            ("Project", self.project, one.project),
            ("kind", self.kind, one.kind),
            ("label", self.label, one.label),
        ):
            if wanted is not None and wanted != found:
                return f"it is for {name} {wanted!s}, and this is of {name} {found or 'none'!s}"
        return ""

    def __str__(self) -> str:
        named = (("kind", self.kind), ("label", self.label), ("Project", self.project))
        words = [str(self.object_type or "everything"), *(f"{name} {value}" for name, value in named if value)]
        return ", ".join(words if self.project else [*words, "all Projects"])


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of a policy.

    Attributes:
        name: unique among those of its Project, or of the platform.
        version: from 1.
        scope: what it applies to.
        starts: what starts its clock.
        period_days: how long it keeps from there; None for ever.
        disposition: what becomes of an object afterwards.
        digest: SHA-256 of its content.
        note: what else is to be known about it.
    """

    name: str
    version: int
    scope: Scope
    starts: ClockStart
    period_days: int | None
    disposition: Disposition
    digest: bytes = b""
    note: str = ""

    @property
    def key(self) -> tuple[str | None, str]:
        """What its versions have in common."""
        return (self.scope.project, self.name)

    def keeps_until(self, one: GovernedObject) -> datetime:
        """Return until when it keeps an object that it applies to; FOREVER while its clock has not started."""
        started = one.start_of(self.starts)
        if started is None or self.period_days is None:
            return FOREVER
        try:
            return started + timedelta(days=self.period_days)
        except OverflowError:
            return FOREVER

    def __str__(self) -> str:
        place = f"{self.scope.project}/" if self.scope.project else ""
        return f"{place}{self.name} v{self.version}"


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold that is not released.

    Attributes:
        name: its id as people write it.
        objects: what it names, expanded along the lineage.
        scopes: what it describes.
    """

    name: str
    objects: frozenset[Ref] = frozenset()
    scopes: tuple[Scope, ...] = ()

    def covers(self, ref: Ref, one: GovernedObject | None = None) -> bool:
        """Whether it holds something, which is an object where one is given."""
        return ref in self.objects or (one is not None and any(scope.covers(one) for scope in self.scopes))


def check_policy(policy: Policy) -> None:
    """Return when a policy can be.

    Raises:
        InvalidRequest: its scope, its clock, its period or its disposition is impossible; says what is possible.
    """
    kind, scope = policy.scope.object_type, policy.scope
    if kind is None:
        raise InvalidRequest(
            f"policy {policy.name!r} names no type of objects", remedy=f"Name one of: {', '.join(ObjectType)}"
        )
    if kind is ObjectType.AUDIT_EVENT:
        raise InvalidRequest(
            "audit events are kept by the rule of their class, and by nothing else",
            remedy="`holdfast ledger keep` says how long",
        )
    if policy.starts not in CLOCKS[kind]:
        raise InvalidRequest(
            f"for a {kind} no clock starts with {policy.starts}", remedy=f"Name one of: {', '.join(CLOCKS[kind])}"
        )
    if policy.disposition not in DISPOSITIONS[kind]:
        raise InvalidRequest(
            f"a {kind} cannot be disposed of by {policy.disposition}",
            remedy=f"Name one of: {', '.join(DISPOSITIONS[kind])}",
        )
    if policy.period_days is None or not 1 <= policy.period_days <= MAX_PERIOD_DAYS:
        raise InvalidRequest(
            f"a period of {policy.period_days} days would end in the past or never",
            remedy=f"Give 1 to {MAX_PERIOD_DAYS} days",
        )
    if scope.kind is not None and kind in KINDS and scope.kind not in KINDS[kind]:
        raise InvalidRequest(
            f"no {kind} is of kind {scope.kind!r}, so that the policy would apply to nothing",
            remedy=f"Name one of: {', '.join(KINDS[kind])}",
        )


def check_overlap(policy: Policy, others: Iterable[Policy]) -> None:
    """Return when no other policy has exactly the same scope: neither would be the more explicit one.

    Raises:
        StateConflict: one has.
    """
    for other in others:
        if other.key != policy.key and other.scope == policy.scope:
            raise StateConflict(
                f"policy {policy.name!r} has the scope of policy {other} ({policy.scope})",
                remedy=f"Propose the next version of {other.name!r}, or name a narrower scope",
                details={"policy": other.name, "version": other.version},
            )


def check_decider(policy: Policy, proposed_by: str, principal: str) -> None:
    """Return when who decides on a version is not who proposed it. The database holds the same rule.

    Raises:
        PolicyViolation: it is the same.
    """
    if principal == proposed_by:
        raise PolicyViolation(
            f"{principal} proposed retention policy {policy} and may not decide on it",
            remedy="Another principal who is a Security Officer must decide; who proposed it may withdraw it",
            details={
                "rule": "retention_policy.proposer-is-not-approver",
                "version": 1,
                "changed_by": "nobody: held by a database constraint",
            },
        )
