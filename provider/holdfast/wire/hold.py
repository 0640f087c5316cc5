"""Legal holds."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from holdfast.core.hold import Decision, HeldType, HoldState, LockState, QueriedType, ReachedBy
from holdfast.wire.types import Name, Text, Time, Whole, Wire

MOST_OBJECTS = 10_000
"""A hold that would cover more has to be meant so."""


def _said(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("holdfast", "it says nothing")
    return text


Said = Annotated[Text, AfterValidator(_said)]


class HeldObject(Wire):
    """What names an object that a hold covers."""

    type: HeldType
    id: UUID


class HoldQuery(Wire):
    """Objects of a Project that a hold means, those that are there and those that come; what is not given does not matter.

    Attributes:
        type: of the objects.
        project: in which.
        kind: of an Artifact; of a DatasetVersion, the type of its source.
        label: the retention class of an Artifact; the Dataset of a DatasetVersion.
        name: of an Artifact, or of the Dataset of a DatasetVersion; `*` stands for anything, `?` for one character.
        created_after: not before this time.
        created_before: before this time.
    """

    type: QueriedType
    project: Name
    kind: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    label: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    created_after: Time | None = None
    created_before: Time | None = None


class HoldScope(Wire):
    """What a hold is about: objects, or a query.

    Attributes:
        objects: by type and id.
        query: instead of them.
        is_expanded: whether it covers as well what came of that, and all that went into any of it.
    """

    objects: Annotated[list[HeldObject], Field(max_length=1000)] = []
    query: HoldQuery | None = None
    is_expanded: bool = True

    @model_validator(mode="after")
    def _check_one(self) -> "HoldScope":
        if bool(self.objects) == (self.query is not None):
            raise PydanticCustomError(
                "holdfast", "a legal hold is on objects or on what a query finds: name one of the two"
            )
        query = self.query
        if query and query.created_after and query.created_before and query.created_after >= query.created_before:
            raise PydanticCustomError("holdfast", "nothing is created both after and before these times")
        return self


class HoldRequest(HoldScope):
    """A legal hold to place.

    Attributes:
        matter: what it is about, as counsel names it.
        custodians: who holds what it is about.
        reason: why.
        at_most: how many objects it may cover; None for any number.
    """

    matter: Annotated[Said, Field(max_length=200)]
    custodians: Annotated[list[Annotated[Said, Field(max_length=200)]], Field(max_length=100)] = []
    reason: Said
    at_most: Annotated[Whole, Field(ge=1)] | None = MOST_OBJECTS


class HoldCoverage(Wire):
    """What a hold would cover, by type; it is not placed."""

    objects: dict[HeldType, int]
    total: int


class HoldLocks(Wire):
    """How far the object store has come with the Artifacts that a hold covers.

    Attributes:
        wanted: not locked yet.
        locked: locked, as the store itself said when it was read back.
        released: not locked any more, since the hold is released.
    """

    wanted: int
    locked: int
    released: int


class HoldRelease(Wire):
    """That a hold's release was asked for, and what was decided.

    Attributes:
        approvable_at: from when on it can be approved.
    """

    id: UUID
    requested_by: str
    reason: str
    requested_at: Time
    approvable_at: Time
    decision: Decision | None
    decided_by: str | None
    decided_at: Time | None
    decision_reason: str


class LegalHold(Wire):
    """A legal hold.

    Attributes:
        name: as people write it.
        query: what it means beside the objects that it covers by now.
        objects: how many it covers, by type.
        locks: of the Artifacts among them.
        releases: that were asked for, the newest first.
    """

    id: UUID
    name: str
    state: HoldState
    matter: str
    custodians: list[str]
    reason: str
    is_expanded: bool
    query: HoldQuery | None
    cooling_off_s: int
    placed_by: str
    placed_at: Time
    released_at: Time | None
    objects: dict[HeldType, int]
    locks: HoldLocks
    releases: list[HoldRelease]


class HoldSummary(Wire):
    """A legal hold in a list; what it covers is counted where it is shown alone."""

    id: UUID
    name: str
    state: HoldState
    matter: str
    custodians: list[str]
    placed_by: str
    placed_at: Time
    released_at: Time | None


class CoveredObject(Wire):
    """An object that a hold covers, and how it was reached.

    Attributes:
        from_type: type of the object from which it was reached; None for the scope itself.
        from_id: its id.
        object_key: of an Artifact's bytes.
        version_id: of the same.
        lock: what is known of their lock; None for what has no bytes of its own in the object store.
        read_back_at: when the store said so.
    """

    type: HeldType
    id: UUID
    reached_by: ReachedBy
    from_type: HeldType | None
    from_id: UUID | None
    covered_at: Time
    object_key: str | None
    version_id: str | None
    lock: LockState | None
    read_back_at: Time | None


class ReleaseRequest(Wire):
    """That a hold is to be released, and why."""

    reason: Said


class ReleaseDecision(Wire):
    """What is decided on the release that is asked for."""

    decision: Literal["approve", "reject"]
    release: UUID
    reason: Text = ""


class LockFailure(Wire):
    """An Artifact for which the object store did not do what the record wants, and what it said."""

    artifact: UUID
    says: str


class HoldLocking(Wire):
    """What a pass over the locks of legal holds has done.

    Attributes:
        locked: versions that the store has locked, as it said itself when it was read back.
        unlocked: versions that no hold covers any more.
        mended: versions whose lock the store had lost, and that it has locked again.
        read_back: Artifacts of which the store was asked.
        failed: for how many the store did not do it; the first hundred are named.
        strays: versions that the store says are held and no hold covers; they are left as they are.
    """

    locked: int
    unlocked: int
    mended: int
    read_back: int
    failed: int
    failures: list[LockFailure]
    strays: list[str]
