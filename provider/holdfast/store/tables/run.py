"""EnvironmentLocks, PolicySnapshots, PipelineRuns, Runs, their inputs, and Artifacts."""

from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import BIGINT, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from holdfast.core.policy import EnvironmentKind
from holdfast.core.run import ErrorClass, OriginReason, PipelineRunState, RunState
from holdfast.store.tables.base import (
    SCHEMA,
    Bytes,
    CreatedAt,
    Document,
    EmptyDocument,
    Id,
    Moment,
    Table,
    is_digest,
    one_of,
    project_key,
    same_project,
)


class EnvironmentLockRow(Table):
    """An EnvironmentLock; never changes."""

    __tablename__ = "environment_lock"
    __table_args__ = (
        project_key(),
        UniqueConstraint("project_id", "id"),
        UniqueConstraint("project_id", "name", "number"),
        UniqueConstraint("project_id", "name", "digest"),
        *is_digest("digest", "sbom_digest"),
        one_of("kind", EnvironmentKind),
        CheckConstraint("kind <> 'image' OR reference ~ '@sha256:[0-9a-f]{64}$'", "image_by_digest"),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    name: Mapped[str]
    number: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str]
    reference: Mapped[str]
    distributions: Mapped[Document]
    sbom_digest: Mapped[Bytes | None]
    digest: Mapped[Bytes]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]


class PolicySnapshotRow(Table):
    """A PolicySnapshot; never changes."""

    __tablename__ = "policy_snapshot"
    __table_args__ = (
        project_key(),
        UniqueConstraint("project_id", "id"),
        UniqueConstraint("project_id", "digest"),
        *is_digest("digest"),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    digest: Mapped[Bytes]
    content: Mapped[Document]
    created_at: Mapped[CreatedAt]


class PipelineRunRow(Table):
    """A PipelineRun; only its state changes, until it has ended."""

    __tablename__ = "pipeline_run"
    __table_args__ = (
        project_key(),
        UniqueConstraint("project_id", "id"),
        UniqueConstraint("project_id", "dag_id", "run_id"),
        one_of("state", PipelineRunState),
        CheckConstraint(
            "(state IN ('succeeded', 'failed', 'partially_succeeded', 'canceled')) = (ended_at IS NOT NULL)", "ended"
        ),
        CheckConstraint("commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'", "commit"),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    dag_id: Mapped[str]
    run_id: Mapped[str]
    bundle: Mapped[str | None]
    commit: Mapped[str | None]
    parameters: Mapped[Document]
    triggered_by: Mapped[str | None]
    state: Mapped[str]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[Moment | None]


class RunRow(Table):
    """A Run; its bindings never change, and nothing changes once it has ended."""

    __tablename__ = "run"
    __table_args__ = (
        project_key(),
        same_project("pipeline_run_id", "pipeline_run"),
        same_project("environment_lock_id", "environment_lock"),
        same_project("policy_snapshot_id", "policy_snapshot"),
        same_project("origin_run_id", "run"),
        UniqueConstraint("project_id", "id"),
        UniqueConstraint("project_id", "idempotency_key"),
        *is_digest("idempotency_key", "request_digest", "seal"),
        one_of("state", RunState),
        one_of("error_class", ErrorClass),
        one_of("origin_reason", OriginReason),
        CheckConstraint("code_commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'", "code_commit"),
        CheckConstraint("(code_repository IS NULL) = (code_commit IS NULL)", "code"),
        CheckConstraint("(origin_run_id IS NULL) = (origin_reason IS NULL)", "origin"),
        CheckConstraint("(state = 'failed') = (error_class IS NOT NULL)", "failed_has_class"),
        CheckConstraint(
            "state NOT IN ('unknown', 'reconciling') OR (cause IS NOT NULL AND owner IS NOT NULL)", "unknown_has_cause"
        ),
        CheckConstraint("(state IN ('succeeded', 'failed', 'canceled')) = (ended_at IS NOT NULL)", "ended"),
        Index("run_task_ix", "pipeline_run_id", "task_id", "map_index", "try_number"),
        Index("run_state_ix", "project_id", "state", "id"),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    pipeline_run_id: Mapped[UUID | None]
    task_id: Mapped[str]
    map_index: Mapped[int] = mapped_column(Integer)
    try_number: Mapped[int] = mapped_column(Integer)
    idempotency_key: Mapped[Bytes]
    request_digest: Mapped[Bytes]
    code_repository: Mapped[str | None]
    code_commit: Mapped[str | None]
    code_path: Mapped[str | None]
    environment_lock_id: Mapped[UUID]
    command: Mapped[list[str]] = mapped_column(JSONB)
    parameters: Mapped[Document]
    outputs: Mapped[Document]
    resources: Mapped[Document]
    policy_snapshot_id: Mapped[UUID]
    data_plane: Mapped[str]
    isolation: Mapped[str]
    origin_run_id: Mapped[UUID | None]
    origin_reason: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]
    seal: Mapped[Bytes]
    state: Mapped[str]
    since: Mapped[CreatedAt]
    fence: Mapped[str | None]
    cause: Mapped[str | None]
    owner: Mapped[str | None]
    error_class: Mapped[str | None]
    exit_code: Mapped[int | None] = mapped_column(Integer)
    metrics: Mapped[EmptyDocument]
    observed: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    started_at: Mapped[Moment | None]
    ended_at: Mapped[Moment | None]


class RunInputRow(Table):
    """One input of a Run, bound with the digest it had."""

    __tablename__ = "run_input"
    __table_args__ = (
        same_project("run_id", "run"),
        ForeignKeyConstraint(
            ["project_id", "dataset_version_id", "digest"],
            [f"{SCHEMA}.dataset_version.{column}" for column in ("project_id", "id", "digest")],
        ),
        ForeignKeyConstraint(
            ["project_id", "artifact_id", "digest"],
            [f"{SCHEMA}.artifact.{column}" for column in ("project_id", "id", "digest")],
        ),
        CheckConstraint("(dataset_version_id IS NULL) <> (artifact_id IS NULL)", "one_source"),
        *is_digest("digest"),
        Index("run_input_dataset_version_ix", "dataset_version_id"),
        Index("run_input_artifact_ix", "artifact_id"),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[UUID]
    dataset_version_id: Mapped[UUID | None]
    artifact_id: Mapped[UUID | None]
    digest: Mapped[Bytes]


class ArtifactRow(Table):
    """An Artifact; only its state changes."""

    __tablename__ = "artifact"
    __table_args__ = (
        project_key(),
        same_project("run_id", "run"),
        UniqueConstraint("project_id", "id"),
        UniqueConstraint("project_id", "id", "digest"),
        UniqueConstraint("run_id", "name"),
        *is_digest("digest"),
        CheckConstraint("size_bytes >= 0", "size_bytes"),
        one_of("state", ("available", "expired", "purged")),
        one_of("provenance", ("output", "attached")),
        Index("artifact_retention_ix", "project_id", "created_at", "id", postgresql_where=text("state <> 'purged'")),
        Index(
            "artifact_attached_ix",
            "project_id",
            "created_at",
            "id",
            postgresql_where=text("state <> 'purged' AND provenance = 'attached'"),
        ),
    )

    id: Mapped[Id]
    project_id: Mapped[UUID]
    run_id: Mapped[UUID]
    name: Mapped[str]
    kind: Mapped[str]
    object_key: Mapped[str]
    version_id: Mapped[str]
    digest: Mapped[Bytes]
    size_bytes: Mapped[int] = mapped_column(BIGINT)
    retention_class: Mapped[str]
    provenance: Mapped[str]
    state: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[CreatedAt]
