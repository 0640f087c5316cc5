"""ModelVersions with their Artifacts, promotions with their decisions, aliases with their history."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Row, Select, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased

from holdfast.core.errors import NotFound
from holdfast.core.promotion import PromotionState
from holdfast.store.prepared import Prepared
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
        PromotionPolicyRow.digest.label("policy_digest"),
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


# Statements that stand here are built once; building one costs more than running it.
_IN_PROJECT = bindparam("in_project", type_=Uuid)
_VERSION = Prepared(
    MODEL_VERSIONS.where(ModelVersionRow.project_id == _IN_PROJECT, ModelVersionRow.id == bindparam("version"))
)
_PROMOTION_HERE = (PromotionRow.project_id == _IN_PROJECT, PromotionRow.id == bindparam("promotion"))
_PROMOTION = Prepared(PROMOTIONS.where(*_PROMOTION_HERE))
# Together with its alias, whose history is written by one execution at a time.
_ITS_ALIAS = func.hashtextextended(func.concat("alias/", PromotionRow.model_id, "/", PromotionRow.alias), 0)
_LOCK_PROMOTION = Prepared(
    select(PromotionRow.id, func.pg_advisory_xact_lock(_ITS_ALIAS)).where(*_PROMOTION_HERE).with_for_update()
)
_NEWEST_POLICY = Prepared(
    select(*PromotionPolicyRow.__table__.c)
    .where(PromotionPolicyRow.project_id == _IN_PROJECT, PromotionPolicyRow.name == bindparam("policy"))
    .order_by(PromotionPolicyRow.version.desc())
    .limit(1)
)
_SOURCES = Prepared(
    select(
        ArtifactRow.id,
        ArtifactRow.run_id,
        ArtifactRow.digest,
        ArtifactRow.state,
        RunRow.state.label("run_state"),
        RunRow.metrics,
    )
    .join(RunRow, RunRow.id == ArtifactRow.run_id)
    .where(ArtifactRow.project_id == _IN_PROJECT, ArtifactRow.id == func.any(bindparam("wanted", type_=ARRAY(Uuid)))),
)
_others = aliased(ModelVersionArtifactRow)
_same_version = (
    select(ModelVersionArtifactRow.model_version_id)
    .join(ModelVersionRow, ModelVersionRow.id == ModelVersionArtifactRow.model_version_id)
    .where(
        ModelVersionArtifactRow.artifact_id == bindparam("artifact"),
        ModelVersionArtifactRow.role == "model",
        ModelVersionRow.model_id == ModelRow.id,
        select(func.array_agg(aggregate_order_by(_others.artifact_id, _others.artifact_id)))
        .where(_others.model_version_id == ModelVersionArtifactRow.model_version_id)
        .scalar_subquery()
        == bindparam("wanted", type_=ARRAY(Uuid)),
    )
    .limit(1)
    .correlate(ModelRow)
    .scalar_subquery()
)
_newest_number = (
    select(func.max(ModelVersionRow.number))
    .where(ModelVersionRow.model_id == ModelRow.id)
    .correlate(ModelRow)
    .scalar_subquery()
)
_MODEL = Prepared(
    select(ModelRow.id, _newest_number.label("newest_number"), _same_version.label("same_version")).where(
        ModelRow.project_id == _IN_PROJECT, ModelRow.name == bindparam("model")
    )
)
_FOUNDATIONS = (
    select(
        ModelVersionRow.id.label("model_version_id"),
        ModelVersionRow.model_id,
        ModelRow.name.label("model"),
        ModelVersionRow.number,
        ModelVersionRow.metrics,
        ModelVersionRow.state.label("model_version_state"),
        ModelVersionArtifactRow.role,
        ModelVersionArtifactRow.digest.label("bound_digest"),
        ArtifactRow.id.label("artifact_id"),
        ArtifactRow.object_key,
        ArtifactRow.version_id,
        ArtifactRow.digest,
        ArtifactRow.size_bytes,
        ArtifactRow.state.label("artifact_state"),
        RunRow.id.label("run_id"),
        RunRow.seal.label("run_seal"),
    )
    .join(ModelRow, ModelRow.id == ModelVersionRow.model_id)
    .join(ModelVersionArtifactRow, ModelVersionArtifactRow.model_version_id == ModelVersionRow.id)
    .join(ArtifactRow, ArtifactRow.id == ModelVersionArtifactRow.artifact_id)
    .join(RunRow, RunRow.id == ArtifactRow.run_id)
    .where(ModelVersionRow.project_id == _IN_PROJECT)
)
_FOUNDATIONS_OF_VERSION = Prepared(_FOUNDATIONS.where(ModelVersionRow.id == bindparam("version")))
_FOUNDATIONS_OF_APPROVED = Prepared(
    _FOUNDATIONS.join(PromotionRow, PromotionRow.model_version_id == ModelVersionRow.id).where(
        *_PROMOTION_HERE, PromotionRow.state == PromotionState.APPROVED
    )
)


def model_version_by_id(connection: Connection, project_id: UUID | None, project: str, version: UUID) -> Any:
    """Return a row of MODEL_VERSIONS; raises NotFound."""
    row = _VERSION.one_or_none(connection, {"in_project": project_id, "version": version})
    if row is None:
        raise _no_version(version, project)
    return row


def _no_version(version: UUID, project: str) -> NotFound:
    return NotFound(
        f"there is no ModelVersion {version} in Project {project!r}", remedy="List them with `holdfast model versions`"
    )


def foundations_of(connection: Connection, project_id: UUID | None, project: str, version: UUID) -> Sequence[Any]:
    """Return what a promotion of a ModelVersion rests on: a row for each of its Artifacts, with the Run behind it.

    Raises:
        NotFound: there is no such ModelVersion.
    """
    rows = _FOUNDATIONS_OF_VERSION.all(connection, {"in_project": project_id, "version": version})
    if not rows:
        raise _no_version(version, project)
    return rows


def foundations_of_approved(connection: Connection, project_id: UUID | None, promotion: UUID) -> Sequence[Any]:
    """Return what an approved promotion rests on, as `foundations_of` does; nothing where there is none, or it is in another state."""
    return _FOUNDATIONS_OF_APPROVED.all(connection, {"in_project": project_id, "promotion": promotion})


def sources_of(connection: Connection, project_id: UUID, wanted: list[UUID]) -> dict[UUID, Any]:
    """Return those of the Artifacts that are in the Project, each with its Run's state and metrics."""
    rows = _SOURCES.all(connection, {"in_project": project_id, "wanted": wanted})
    return {row.id: row for row in rows}


def model_named(
    connection: Connection, project_id: UUID, name: str, artifact: UUID, wanted: Iterable[UUID]
) -> Any | None:
    """Return a Model with its newest number and the ModelVersion of exactly these Artifacts (`same_version`), None for each that is not there."""
    given = {"in_project": project_id, "model": name, "artifact": artifact, "wanted": sorted(wanted)}
    return _MODEL.one_or_none(connection, given)


def promotion_by_id(
    connection: Connection, project_id: UUID | None, project: str, promotion: UUID, *, lock: bool = False
) -> Any:
    """Return a row of PROMOTIONS, its promotion locked against other changes when asked; raises NotFound."""
    here = {"in_project": project_id, "promotion": promotion}
    if lock:
        # First the lock, then the read: decisions of the transaction that was waited for must be seen.
        _LOCK_PROMOTION.all(connection, here)
    row = _PROMOTION.one_or_none(connection, here)
    if row is None:
        raise NotFound(
            f"there is no promotion {promotion} in Project {project!r}", remedy="List them with `holdfast promote list`"
        )
    return row


def newest_policy(connection: Connection, project_id: UUID, name: str) -> Any | None:
    """Return the newest version of a promotion policy."""
    return _NEWEST_POLICY.one_or_none(connection, {"in_project": project_id, "policy": name})


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
