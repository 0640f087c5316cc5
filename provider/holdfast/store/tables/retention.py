"""Retention policies: versions as they were proposed, and what was decided on each."""

from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.core.access import Role
from holdfast.core.retention.policy import MAX_PERIOD_DAYS, ClockStart, Disposition, ObjectType
from holdfast.store.tables.base import SCHEMA, Bytes, CreatedAt, Id, Table, is_digest, one_of, project_key


class RetentionPolicyRow(Table):
    """One version of a retention policy, of a Project or, where there is none, of all; never changes.

    Attributes:
        is_end: the version ends the policy: once it is approved, no version applies.
    """

    __tablename__ = "retention_policy"
    __table_args__ = (
        project_key(),
        UniqueConstraint("id", "proposed_by", "digest", name="retention_policy_proposal_uq"),
        Index(
            "retention_policy_version_uq",
            text("coalesce(project_id::text, '')"),
            "name",
            "version",
            unique=True,
        ),
        one_of("object_type", (one for one in ObjectType if one is not ObjectType.AUDIT_EVENT)),
        one_of("starts", (one for one in ClockStart if one is not ClockStart.SEGMENT_SEALED)),
        one_of("disposition", Disposition),
        CheckConstraint(f"period_days BETWEEN 1 AND {MAX_PERIOD_DAYS}", "period_days"),
        CheckConstraint("version > 0", "version"),
        CheckConstraint("reason <> ''", "reason"),
        *is_digest("digest"),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID | None]
    name: Mapped[str]
    version: Mapped[int] = mapped_column(Integer)
    object_type: Mapped[str]
    kind: Mapped[str | None]
    label: Mapped[str | None]
    starts: Mapped[str]
    period_days: Mapped[int] = mapped_column(Integer)
    disposition: Mapped[str]
    is_end: Mapped[bool]
    reason: Mapped[str]
    digest: Mapped[Bytes]
    proposed_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class RetentionPolicyDecisionRow(Table):
    """The one decision on a version, over its digest. Proposer ≠ approver is a constraint here, and so is the approver's role."""

    __tablename__ = "retention_policy_decision"
    __table_args__ = (
        ForeignKeyConstraint(
            ["policy_id", "proposed_by", "digest"],
            [f"{SCHEMA}.retention_policy.{column}" for column in ("id", "proposed_by", "digest")],
            name="retention_policy_decision_proposal_fk",
        ),
        one_of("decision", ("approve", "reject", "withdraw")),
        CheckConstraint("decision = 'withdraw' OR principal <> proposed_by", "proposer_is_not_approver"),
        CheckConstraint(f"decision = 'withdraw' OR '{Role.SECURITY_OFFICER}' = ANY (roles)", "approver_is_officer"),
        *is_digest("digest"),
    )

    policy_id: Mapped[UUID] = mapped_column(primary_key=True)
    proposed_by: Mapped[str]
    principal: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    decision: Mapped[str]
    digest: Mapped[Bytes]
    reason: Mapped[str]
    created_at: Mapped[CreatedAt]
