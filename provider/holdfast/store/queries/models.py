"""ModelVersions with their Artifacts, promotions with their decisions, aliases with their history."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from holdfast.core.errors import NotFound
from holdfast.store.tables import (
    AliasAssignmentRow,
    ArtifactRow,
    ModelRow,
    ModelVersionArtifactRow,
    ModelVersionRow,
    PromotionDecisionRow,
    PromotionPolicyRow,
    PromotionRow,
    RunRow,
)

_artifacts = (
    select(
        func.jsonb_agg(
            func.jsonb_build_object(
                "artifact",
                ModelVersionArtifactRow.artifact_id,
                "run",
                ArtifactRow.run_id,
                "role",
                ModelVersionArtifactRow.role,
                "digest",
                func.concat("sha256:", func.encode(ModelVersionArtifactRow.digest, "hex")),
            )
        )
    )
    .join(ArtifactRow, ArtifactRow.id == ModelVersionArtifactRow.artifact_id)
    .where(ModelVersionArtifactRow.model_version_id == ModelVersionRow.id)
    .correlate(ModelVersionRow)
    .scalar_subquery()
)
MODEL_VERSIONS: Select[Any] = select(
    *ModelVersionRow.__table__.c, ModelRow.name.label("model"), _artifacts.label("artifacts")
).join(ModelRow, ModelRow.id == ModelVersionRow.model_id)

_decisions = (
    select(
        func.jsonb_agg(
            func.jsonb_build_object(
                "principal",
                PromotionDecisionRow.principal,
                "roles",
                PromotionDecisionRow.roles,
                "decision",
                PromotionDecisionRow.decision,
                "evidence_digest",
                func.concat("sha256:", func.encode(PromotionDecisionRow.evidence_digest, "hex")),
                "reason",
                PromotionDecisionRow.reason,
                "decided_at",
                PromotionDecisionRow.created_at,
            )
        )
    )
    .where(PromotionDecisionRow.promotion_id == PromotionRow.id)
    .correlate(PromotionRow)
    .scalar_subquery()
)
PROMOTIONS: Select[Any] = (
    select(
        *PromotionRow.__table__.c,
        ModelRow.name.label("model"),
        ModelVersionRow.number,
        ModelVersionRow.metrics,
        ModelVersionRow.state.label("model_version_state"),
        PromotionPolicyRow.name.label("policy"),
        PromotionPolicyRow.version.label("policy_version"),
        PromotionPolicyRow.gates,
        _decisions.label("decisions"),
        (PromotionRow.expires_at <= func.now()).label("is_expired"),
    )
    .join(ModelRow, ModelRow.id == PromotionRow.model_id)
    .join(ModelVersionRow, ModelVersionRow.id == PromotionRow.model_version_id)
    .join(PromotionPolicyRow, PromotionPolicyRow.id == PromotionRow.policy_id)
)

_approved_by = (
    select(func.array_agg(aggregate_order_by(PromotionDecisionRow.principal, PromotionDecisionRow.created_at)))
    .where(
        PromotionDecisionRow.promotion_id == AliasAssignmentRow.promotion_id, PromotionDecisionRow.decision == "approve"
    )
    .correlate(AliasAssignmentRow)
    .scalar_subquery()
)
ALIASES: Select[Any] = (
    select(
        *AliasAssignmentRow.__table__.c,
        ModelRow.name.label("model"),
        ModelVersionRow.number,
        _approved_by.label("approved_by"),
    )
    .join(ModelRow, ModelRow.id == AliasAssignmentRow.model_id)
    .join(ModelVersionRow, ModelVersionRow.id == AliasAssignmentRow.model_version_id)
)


def model_version_by_id(connection: Connection, project_id: UUID | None, project: str, version: UUID) -> Row[Any]:
    """Return a row of MODEL_VERSIONS; raises NotFound."""
    row = connection.execute(
        MODEL_VERSIONS.where(ModelVersionRow.project_id == project_id, ModelVersionRow.id == version)
    ).one_or_none()
    if row is None:
        raise NotFound(
            f"there is no ModelVersion {version} in Project {project!r}",
            remedy="List them with `holdfast model versions`",
        )
    return row


def promotion_by_id(
    connection: Connection, project_id: UUID | None, project: str, promotion: UUID, *, lock: bool = False
) -> Row[Any]:
    """Return a row of PROMOTIONS, its promotion locked against other changes when asked; raises NotFound."""
    here = (PromotionRow.project_id == project_id) & (PromotionRow.id == promotion)
    if lock:
        # First the lock, then the read: decisions of the transaction that was waited for must be seen.
        connection.execute(select(PromotionRow.id).where(here).with_for_update())
    row = connection.execute(PROMOTIONS.where(here)).one_or_none()
    if row is None:
        raise NotFound(
            f"there is no promotion {promotion} in Project {project!r}", remedy="List them with `holdfast promote list`"
        )
    return row


def newest_policy(connection: Connection, project_id: UUID, name: str) -> Row[Any] | None:
    """Return the newest version of a promotion policy."""
    return connection.execute(
        select(*PromotionPolicyRow.__table__.c)
        .where(PromotionPolicyRow.project_id == project_id, PromotionPolicyRow.name == name)
        .order_by(PromotionPolicyRow.version.desc())
        .limit(1)
    ).one_or_none()


def seals_of(connection: Connection, runs: list[UUID]) -> dict[UUID, Any]:
    """Return seal, creator and metrics of Runs."""
    rows = connection.execute(
        select(RunRow.id, RunRow.seal, RunRow.created_by, RunRow.metrics, RunRow.state, RunRow.pipeline_run_id).where(
            RunRow.id.in_(runs)
        )
    )
    return {row.id: row for row in rows}


def assignment_at(
    connection: Connection,
    project_id: UUID | None,
    model: str,
    alias: str,
    time: datetime | None,
    known_at: datetime | None,
) -> Row[Any] | None:
    """Return what an alias pointed at, at a time, as known at a time; None for each means now."""
    statement = ALIASES.where(
        AliasAssignmentRow.project_id == project_id, ModelRow.name == model, AliasAssignmentRow.alias == alias
    )
    if time is not None:
        statement = statement.where(AliasAssignmentRow.valid_from <= time)
    if known_at is not None:
        statement = statement.where(AliasAssignmentRow.recorded_at <= known_at)
    order = (AliasAssignmentRow.valid_from.desc(), AliasAssignmentRow.recorded_at.desc(), AliasAssignmentRow.id.desc())
    return connection.execute(statement.order_by(*order).limit(1)).one_or_none()
