"""Retention policies as they are proposed and decided on, and why an object is kept."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from holdfast.core.access import Role
from holdfast.core.retention.decision import Effect, RetentionOutcome, RuleKind
from holdfast.core.retention.policy import MAX_PERIOD_DAYS, ClockStart, Disposition, ObjectType, PolicyState
from holdfast.wire.types import Digest, Name, Text, Time, Whole, Wire

Named = Annotated[Text, Field(min_length=1, max_length=250)]
Why = Annotated[Text, Field(min_length=1)]


class RetentionPolicyRequest(Wire):
    """A version of a retention policy to propose.

    Attributes:
        object_type: what it applies to.
        kind: only objects of this kind; None for all.
        label: only objects with this label; None for all.
        starts: what starts the clock.
        period_days: how long it keeps from there.
        disposition: what becomes of an object afterwards.
        reason: why, for who decides and for ever.
    """

    name: Name
    object_type: ObjectType
    kind: Named | None = None
    label: Named | None = None
    starts: ClockStart
    period_days: Annotated[Whole, Field(ge=1, le=MAX_PERIOD_DAYS)]
    disposition: Disposition
    reason: Why


class RetentionPolicyReason(Wire):
    """Why a policy is to end, or a proposal is withdrawn."""

    reason: Why


class RetentionDecisionRequest(Wire):
    """A Security Officer's decision, which names the digest of the version that it was made on."""

    decision: Literal["approve", "reject"]
    digest: Digest
    reason: Text = ""


class RetentionPolicyDecision(Wire):
    """What was decided on a version, and by whom."""

    decision: Literal["approve", "reject", "withdraw"]
    principal: str
    roles: list[Role]
    reason: str
    decided_at: Time


class RetentionPolicy(Wire):
    """A version of a retention policy; it never changes, another one supersedes it.

    Attributes:
        project: the Project whose objects it applies to; None for all Projects.
        is_end: the version ends the policy: once it is approved, none applies.
        digest: over all of the content; what a decision names.
        decision: None while nobody has decided.
    """

    id: UUID
    project: str | None
    name: str
    version: int
    object_type: ObjectType
    kind: str | None
    label: str | None
    starts: ClockStart
    period_days: int
    disposition: Disposition
    is_end: bool
    reason: str
    digest: Digest
    proposed_by: str
    proposed_at: Time
    state: PolicyState
    decision: RetentionPolicyDecision | None


class RetentionRule(Wire):
    """One rule as it applies to an object, or does not.

    Attributes:
        rule: what it comes from.
        name: of the hold, the referrer, or the policy.
        version: the policy's.
        digest: the policy version's.
        effect: what it does to the object.
        until: until when it keeps the object; None where it does not, or nobody knows.
        why: in words.
        changed_by: the roles that may change it.
    """

    rule: RuleKind
    name: str
    version: int | None
    digest: Digest | None
    effect: Effect
    until: Time | None
    why: str
    changed_by: list[Role]


class RetentionCounterfactual(Wire):
    """What would be decided if something were different."""

    change: str
    outcome: RetentionOutcome
    until: Time | None
    disposition: Disposition | None
    decided_by: str


class RetentionExplanation(Wire):
    """Why an object is kept or may go, rule by rule.

    Attributes:
        at: the time for which it is decided.
        outcome: whether it is kept or due.
        until: until when it is kept at least; None where nobody knows, or it is due.
        disposition: what becomes of it, where it is due.
        decided_by: the rule that decided.
        rules: every rule that was looked at, the strongest kind first.
        otherwise: what would be decided if a hold, a policy or the references were different.
    """

    object_type: ObjectType
    object: UUID
    project: str
    kind: str
    label: str
    at: Time
    outcome: RetentionOutcome
    until: Time | None
    disposition: Disposition | None
    decided_by: RetentionRule
    rules: list[RetentionRule]
    otherwise: list[RetentionCounterfactual]
