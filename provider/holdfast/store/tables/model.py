"""Models, ModelVersions, promotion policies, promotions, decisions and the history of aliases."""

from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.core.promotion import ModelVersionState, PromotionState
from holdfast.store.tables.base import (
    SCHEMA,
    Bytes,
    CreatedAt,
    Document,
    Id,
    Moment,
    Table,
    TextList,
    is_digest,
    one_of,
    project_key,
    same_project,
)


class ModelRow(Table):
    """A Model: the name under which ModelVersions are numbered."""

    __tablename__ = "model"
    __table_args__ = (project_key(), UniqueConstraint("project_id", "id"), UniqueConstraint("project_id", "name"))

    id: Mapped[Id]
    project_id: Mapped[UUID]
    name: Mapped[str]
    created_at: Mapped[CreatedAt]


class ModelVersionRow(Table):
    """A ModelVersion; only its state changes."""

    __tablename__ = "model_version"
    __table_args__ = (
        project_key(),
        same_project("model_id", "model"),
        same_project("source_run_id", "run"),
        UniqueConstraint("project_id", "id"),
        UniqueConstraint("project_id", "model_id", "id"),
        UniqueConstraint("model_id", "number"),
        one_of("state", ModelVersionState),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    model_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(Integer)
    source_run_id: Mapped[UUID]
    metrics: Mapped[Document]
    description: Mapped[str]
    state: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class ModelVersionArtifactRow(Table):
    """An Artifact that a ModelVersion consists of, or that speaks for it, with the digest it had."""

    __tablename__ = "model_version_artifact"
    __table_args__ = (
        same_project("model_version_id", "model_version"),
        ForeignKeyConstraint(
            ["project_id", "artifact_id", "digest"],
            [f"{SCHEMA}.artifact.{column}" for column in ("project_id", "id", "digest")],
        ),
        *is_digest("digest"),
        one_of("role", ("model", "evidence")),
        Index("model_version_artifact_artifact_ix", "artifact_id"),
    )

    model_version_id: Mapped[UUID] = mapped_column(primary_key=True)
    artifact_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID]
    role: Mapped[str]
    digest: Mapped[Bytes]


class PromotionPolicyRow(Table):
    """One version of a promotion policy; never changes."""

    __tablename__ = "promotion_policy"
    __table_args__ = (
        project_key(),
        UniqueConstraint("project_id", "id"),
        UniqueConstraint("project_id", "name", "version"),
        *is_digest("digest"),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    name: Mapped[str]
    version: Mapped[int] = mapped_column(Integer)
    gates: Mapped[list[Document]] = mapped_column(JSONB)
    expires_after_s: Mapped[int] = mapped_column(Integer)
    digest: Mapped[Bytes]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class PromotionRow(Table):
    """A promotion; its evidence never changes, its state until it is executed, rejected or voided."""

    __tablename__ = "promotion"
    __table_args__ = (
        project_key(),
        same_project("policy_id", "promotion_policy"),
        ForeignKeyConstraint(
            ["project_id", "model_id", "model_version_id"],
            [f"{SCHEMA}.model_version.{column}" for column in ("project_id", "model_id", "id")],
        ),
        UniqueConstraint("project_id", "id"),
        UniqueConstraint("project_id", "id", "creators", "evidence_digest", name="promotion_creators_uq"),
        UniqueConstraint("project_id", "id", "model_id", "model_version_id", "alias", name="promotion_target_uq"),
        *is_digest("evidence_digest"),
        one_of("state", PromotionState),
        CheckConstraint("cardinality(creators) > 0", "creators"),
        CheckConstraint("expires_at > created_at", "expires"),
        Index("promotion_state_ix", "project_id", "state", "id"),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    model_id: Mapped[UUID]
    model_version_id: Mapped[UUID]
    alias: Mapped[str]
    policy_id: Mapped[UUID]
    evidence: Mapped[Document]
    evidence_digest: Mapped[Bytes]
    creators: Mapped[TextList]
    requested_by: Mapped[str]
    state: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Moment]


class PromotionDecisionRow(Table):
    """A principal's decision over one evidence digest. Creator ≠ decider is a constraint here."""

    __tablename__ = "promotion_decision"
    __table_args__ = (
        ForeignKeyConstraint(
            ["project_id", "promotion_id", "creators", "evidence_digest"],
            [f"{SCHEMA}.promotion.{column}" for column in ("project_id", "id", "creators", "evidence_digest")],
            name="promotion_decision_evidence_fk",
        ),
        CheckConstraint("NOT principal = ANY (creators)", "creator_is_not_approver"),
        one_of("decision", ("approve", "reject")),
        *is_digest("evidence_digest"),
    )

    promotion_id: Mapped[UUID] = mapped_column(primary_key=True)
    principal: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[UUID]
    creators: Mapped[TextList]
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    decision: Mapped[str]
    evidence_digest: Mapped[Bytes]
    reason: Mapped[str]
    created_at: Mapped[CreatedAt]


class AliasAssignmentRow(Table):
    """That an alias points at a ModelVersion from a time on, as recorded at a time. Only grows; one row a promotion."""

    __tablename__ = "alias_assignment"
    __table_args__ = (
        ForeignKeyConstraint(
            ["project_id", "promotion_id", "model_id", "model_version_id", "alias"],
            [
                f"{SCHEMA}.promotion.{column}"
                for column in ("project_id", "id", "model_id", "model_version_id", "alias")
            ],
            name="alias_assignment_promotion_fk",
        ),
        UniqueConstraint("promotion_id"),
        Index("alias_assignment_model_ix", "model_id", "id"),
        Index("alias_assignment_history_ix", "model_id", "alias", text("valid_from DESC"), text("recorded_at DESC")),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    model_id: Mapped[UUID]
    alias: Mapped[str]
    model_version_id: Mapped[UUID]
    promotion_id: Mapped[UUID]
    valid_from: Mapped[CreatedAt]
    recorded_at: Mapped[CreatedAt]
