"""Retention plans, what is decided on them, and what became of what they let go."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from holdfast.core.access import Role
from holdfast.core.retention.plan import ItemState, PlanState
from holdfast.core.retention.policy import Disposition, ObjectType
from holdfast.wire.types import Digest, Document, Text, Time, Wire

Why = Annotated[Text, Field(min_length=1)]


class RetentionPlanRequest(Wire):
    """A plan to make: of everything in a Project that may go now. It lets nothing go by itself.

    Attributes:
        reason: why, for who decides and for ever.
    """

    reason: Why


class RetentionPlanDecisionRequest(Wire):
    """A Security Officer's decision, which names the root of the plan that it was made on."""

    decision: Literal["approve", "reject"]
    root: Digest
    reason: Text = ""


class RetentionPlanWithdrawal(Wire):
    """Why a plan is withdrawn before anybody decides on it."""

    reason: Why


class RetentionPlanDecision(Wire):
    """What was decided on a plan, and by whom.

    Attributes:
        expires_at: until when an approved plan may be carried out; None for any other decision.
    """

    decision: Literal["approve", "reject", "withdraw"]
    principal: str
    roles: list[Role]
    reason: str
    decided_at: Time
    expires_at: Time | None


class RetentionPlanSummary(Wire):
    """A plan in a list.

    Attributes:
        name: as people write it, `RP-12`.
        root: of the Merkle tree over its items: what a decision names.
        size_bytes: of all that it would let go.
    """

    id: UUID
    name: str
    project: str
    state: PlanState
    item_count: int
    size_bytes: int
    root: Digest
    planned_by: str
    planned_at: Time


class RetentionPlan(RetentionPlanSummary):
    """Exactly what may go, and what has become of it.

    Attributes:
        place: the object store that it is for.
        left_out: how many objects are due and not in the plan, by why.
        outcomes: items by what has become of them.
        decision: None while nobody has decided.
        certificate: digest of the certificate; None while it is not carried out.
    """

    place: str
    reason: str
    left_out: dict[str, int]
    outcomes: dict[ItemState, int]
    decision: RetentionPlanDecision | None
    certificate: Digest | None


class RetentionPlanItem(Wire):
    """An object that a plan lets go, exactly as it is on record.

    Attributes:
        object_key: of its bytes in the object store, with the version; None for a DatasetVersion, whose bytes are at their source.
        policy: the version of the policy that let it go.
        says: why it is kept, or what remains.
    """

    index: int
    object_type: ObjectType
    object: UUID
    object_key: str | None
    version_id: str | None
    digest: Digest
    size_bytes: int
    policy: UUID
    policy_digest: Digest
    disposition: Disposition
    state: ItemState
    says: str
    ended_at: Time | None


class RetentionCertificate(Wire):
    """What became of a plan.

    Attributes:
        content: in canonical form its SHA-256 is the digest.
        event: the audit event that has the digest; `holdfast audit prove` shows that it is in the log.
    """

    plan: UUID
    content: Document
    digest: Digest
    event: UUID
    certified_at: Time


class RetentionLine(Wire):
    """What became of one item, and the proof that its plan's certificate says so, without any other item.

    Attributes:
        line: in canonical form it is an entry of the tree.
        index: of the entry.
        size: entries of the tree.
        path: hashes, from the entry's up (RFC 9162 section 2.1.3), in base64.
        certificate: whose root the path leads to.
    """

    line: Document
    index: int
    size: int
    path: list[str]
    certificate: RetentionCertificate


class RetentionExecution(Wire):
    """What carrying out a plan has come to."""

    plan: str
    purged: int
    kept: int
    residual: int
    certificate: RetentionCertificate
