"""The tables of the governance database."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import UserDefinedType

revision = "0001"
down_revision = None


class Xid8(UserDefinedType):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_):
        return "xid8"


def upgrade():
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("initiator", sa.Text(), nullable=False),
        sa.Column("target_type", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "commitment = sha256(salt || convert_to(content, 'UTF8'))", name=op.f("audit_event_commitment_binds_ck")
        ),
        sa.CheckConstraint("outcome IN ('succeeded', 'refused')", name=op.f("audit_event_outcome_ck")),
        sa.CheckConstraint("octet_length(salt) = 32", name=op.f("audit_event_salt_ck")),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_event_pk")),
        schema="holdfast",
    )
    op.create_index(
        "audit_event_action_ix", "audit_event", ["project", "action", "id"], unique=False, schema="holdfast"
    )
    op.create_index("audit_event_order_ix", "audit_event", ["xid"], unique=False, schema="holdfast")
    op.create_index("audit_event_project_ix", "audit_event", ["project", "id"], unique=False, schema="holdfast")
    op.create_index("audit_event_target_ix", "audit_event", ["target_id", "id"], unique=False, schema="holdfast")
    op.create_table(
        "idempotency_reply",
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("reply", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(request_digest) = 32", name=op.f("idempotency_reply_request_digest_ck")),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("idempotency_reply_pk")),
        schema="holdfast",
    )
    op.create_table(
        "project",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("project_class", sa.Text(), nullable=False),
        sa.Column("data_plane", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("data_plane IN ('local', 'kubernetes')", name=op.f("project_data_plane_ck")),
        sa.CheckConstraint(
            "project_class <> 'production' OR data_plane <> 'local'", name=op.f("project_production_is_isolated_ck")
        ),
        sa.CheckConstraint("name ~ '^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$'", name=op.f("project_name_ck")),
        sa.CheckConstraint("project_class IN ('development', 'production')", name=op.f("project_project_class_ck")),
        sa.PrimaryKeyConstraint("id", name=op.f("project_pk")),
        sa.UniqueConstraint("name", name=op.f("project_name_uq")),
        schema="holdfast",
    )
    op.create_table(
        "dataset",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("dataset_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("dataset_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("dataset_project_id_id_uq")),
        sa.UniqueConstraint("project_id", "name", name=op.f("dataset_project_id_name_uq")),
        schema="holdfast",
    )
    op.create_table(
        "environment_lock",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("distributions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sbom_digest", sa.LargeBinary(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind <> 'image' OR reference ~ '@sha256:[0-9a-f]{64}$'", name=op.f("environment_lock_image_by_digest_ck")
        ),
        sa.CheckConstraint("kind IN ('image', 'interpreter')", name=op.f("environment_lock_kind_ck")),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("environment_lock_digest_ck")),
        sa.CheckConstraint("octet_length(sbom_digest) = 32", name=op.f("environment_lock_sbom_digest_ck")),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("environment_lock_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("environment_lock_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("environment_lock_project_id_id_uq")),
        sa.UniqueConstraint("project_id", "name", "digest", name=op.f("environment_lock_project_id_name_digest_uq")),
        sa.UniqueConstraint("project_id", "name", "number", name=op.f("environment_lock_project_id_name_number_uq")),
        schema="holdfast",
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("model_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("model_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("model_project_id_id_uq")),
        sa.UniqueConstraint("project_id", "name", name=op.f("model_project_id_name_uq")),
        schema="holdfast",
    )
    op.create_table(
        "pipeline_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=True),
        sa.Column("commit", sa.Text(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("triggered_by", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'partially_succeeded', 'canceled')) = (ended_at IS NOT NULL)",
            name=op.f("pipeline_run_ended_ck"),
        ),
        sa.CheckConstraint("commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'", name=op.f("pipeline_run_commit_ck")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'unknown', 'reconciling', 'succeeded', 'failed', 'partially_succeeded', 'canceled')",
            name=op.f("pipeline_run_state_ck"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("pipeline_run_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("pipeline_run_pk")),
        sa.UniqueConstraint("project_id", "dag_id", "run_id", name=op.f("pipeline_run_project_id_dag_id_run_id_uq")),
        sa.UniqueConstraint("project_id", "id", name=op.f("pipeline_run_project_id_id_uq")),
        schema="holdfast",
    )
    op.create_table(
        "policy_snapshot",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("policy_snapshot_digest_ck")),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("policy_snapshot_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("policy_snapshot_pk")),
        sa.UniqueConstraint("project_id", "digest", name=op.f("policy_snapshot_project_id_digest_uq")),
        sa.UniqueConstraint("project_id", "id", name=op.f("policy_snapshot_project_id_id_uq")),
        schema="holdfast",
    )
    op.create_table(
        "promotion_policy",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("gates", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("expires_after_s", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("promotion_policy_digest_ck")),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("promotion_policy_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("promotion_policy_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("promotion_policy_project_id_id_uq")),
        sa.UniqueConstraint("project_id", "name", "version", name=op.f("promotion_policy_project_id_name_version_uq")),
        schema="holdfast",
    )
    op.create_table(
        "role_binding",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('viewer', 'project_maintainer', 'sre', 'security_officer', 'platform_owner')",
            name=op.f("role_binding_role_ck"),
        ),
        sa.CheckConstraint("subject ~ '^(user|group):.+'", name=op.f("role_binding_subject_ck")),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("role_binding_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("role_binding_pk")),
        schema="holdfast",
    )
    op.create_index(
        "role_binding_active_uq",
        "role_binding",
        [sa.literal_column("coalesce(project_id::text, '')"), "subject", "role"],
        unique=True,
        schema="holdfast",
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_index(
        "role_binding_subject_ix",
        "role_binding",
        ["subject"],
        unique=False,
        schema="holdfast",
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_index("role_binding_project_ix", "role_binding", ["project_id", "id"], unique=False, schema="holdfast")
    op.create_table(
        "service_token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scope", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("expires_at > created_at", name=op.f("service_token_expires_ck")),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name=op.f("service_token_secret_hash_ck")),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("service_token_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("service_token_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("service_token_project_id_id_uq")),
        schema="holdfast",
    )
    op.create_table(
        "dataset_version",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_type", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("file_count", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BIGINT(), nullable=False),
        sa.Column("schema_ref", sa.Text(), nullable=True),
        sa.Column("statistics_ref", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("source_type IN ('file', 's3')", name=op.f("dataset_version_source_type_ck")),
        sa.CheckConstraint(
            "state IN ('available', 'deprecated', 'expired', 'purged')", name=op.f("dataset_version_state_ck")
        ),
        sa.CheckConstraint("file_count > 0 AND size_bytes >= 0", name=op.f("dataset_version_sizes_ck")),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("dataset_version_digest_ck")),
        sa.ForeignKeyConstraint(
            ["project_id", "dataset_id"],
            ["holdfast.dataset.project_id", "holdfast.dataset.id"],
            name=op.f("dataset_version_project_id_dataset_id_fk"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("dataset_version_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("dataset_version_pk")),
        sa.UniqueConstraint("dataset_id", "digest", "source", name=op.f("dataset_version_dataset_id_digest_source_uq")),
        sa.UniqueConstraint("dataset_id", "number", name=op.f("dataset_version_dataset_id_number_uq")),
        sa.UniqueConstraint("project_id", "id", "digest", name=op.f("dataset_version_project_id_id_digest_uq")),
        sa.UniqueConstraint("project_id", "id", name=op.f("dataset_version_project_id_id_uq")),
        schema="holdfast",
    )
    op.create_index(
        "dataset_version_dataset_ix", "dataset_version", ["dataset_id", "id"], unique=False, schema="holdfast"
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("pipeline_run_id", sa.Uuid(), nullable=True),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.LargeBinary(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.Column("code_repository", sa.Text(), nullable=True),
        sa.Column("code_commit", sa.Text(), nullable=True),
        sa.Column("code_path", sa.Text(), nullable=True),
        sa.Column("environment_lock_id", sa.Uuid(), nullable=False),
        sa.Column("command", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("outputs", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("resources", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("policy_snapshot_id", sa.Uuid(), nullable=False),
        sa.Column("data_plane", sa.Text(), nullable=False),
        sa.Column("isolation", sa.Text(), nullable=False),
        sa.Column("origin_run_id", sa.Uuid(), nullable=True),
        sa.Column("origin_reason", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("fence", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column(
            "metrics", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("observed", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'failed') = (error_class IS NOT NULL)", name=op.f("run_failed_has_class_ck")),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'canceled')) = (ended_at IS NOT NULL)", name=op.f("run_ended_ck")
        ),
        sa.CheckConstraint("code_commit ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'", name=op.f("run_code_commit_ck")),
        sa.CheckConstraint(
            "error_class IN ('user', 'data', 'environment', 'platform', 'policy')", name=op.f("run_error_class_ck")
        ),
        sa.CheckConstraint(
            "origin_reason IN ('retry', 'clear', 'rerun', 'backfill')", name=op.f("run_origin_reason_ck")
        ),
        sa.CheckConstraint(
            "state IN ('created', 'queued', 'running', 'unknown', 'reconciling', 'succeeded', 'failed', 'canceled')",
            name=op.f("run_state_ck"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('unknown', 'reconciling') OR (cause IS NOT NULL AND owner IS NOT NULL)",
            name=op.f("run_unknown_has_cause_ck"),
        ),
        sa.CheckConstraint("(code_repository IS NULL) = (code_commit IS NULL)", name=op.f("run_code_ck")),
        sa.CheckConstraint("(origin_run_id IS NULL) = (origin_reason IS NULL)", name=op.f("run_origin_ck")),
        sa.CheckConstraint("octet_length(idempotency_key) = 32", name=op.f("run_idempotency_key_ck")),
        sa.CheckConstraint("octet_length(request_digest) = 32", name=op.f("run_request_digest_ck")),
        sa.CheckConstraint("octet_length(seal) = 32", name=op.f("run_seal_ck")),
        sa.ForeignKeyConstraint(
            ["project_id", "environment_lock_id"],
            ["holdfast.environment_lock.project_id", "holdfast.environment_lock.id"],
            name=op.f("run_project_id_environment_lock_id_fk"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "origin_run_id"],
            ["holdfast.run.project_id", "holdfast.run.id"],
            name=op.f("run_project_id_origin_run_id_fk"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "pipeline_run_id"],
            ["holdfast.pipeline_run.project_id", "holdfast.pipeline_run.id"],
            name=op.f("run_project_id_pipeline_run_id_fk"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "policy_snapshot_id"],
            ["holdfast.policy_snapshot.project_id", "holdfast.policy_snapshot.id"],
            name=op.f("run_project_id_policy_snapshot_id_fk"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("run_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("run_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("run_project_id_id_uq")),
        sa.UniqueConstraint("project_id", "idempotency_key", name=op.f("run_project_id_idempotency_key_uq")),
        schema="holdfast",
    )
    op.create_index("run_state_ix", "run", ["project_id", "state", "id"], unique=False, schema="holdfast")
    op.create_index(
        "run_task_ix", "run", ["pipeline_run_id", "task_id", "map_index", "try_number"], unique=False, schema="holdfast"
    )
    op.create_table(
        "artifact",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BIGINT(), nullable=False),
        sa.Column("retention_class", sa.Text(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("provenance IN ('output', 'attached')", name=op.f("artifact_provenance_ck")),
        sa.CheckConstraint("state IN ('available', 'expired', 'purged')", name=op.f("artifact_state_ck")),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("artifact_digest_ck")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("artifact_size_bytes_ck")),
        sa.ForeignKeyConstraint(
            ["project_id", "run_id"],
            ["holdfast.run.project_id", "holdfast.run.id"],
            name=op.f("artifact_project_id_run_id_fk"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("artifact_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("artifact_pk")),
        sa.UniqueConstraint("project_id", "id", "digest", name=op.f("artifact_project_id_id_digest_uq")),
        sa.UniqueConstraint("project_id", "id", name=op.f("artifact_project_id_id_uq")),
        sa.UniqueConstraint("run_id", "name", name=op.f("artifact_run_id_name_uq")),
        schema="holdfast",
    )
    op.create_table(
        "dataset_file",
        sa.Column("dataset_version_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BIGINT(), nullable=False),
        sa.Column("version_id", sa.Text(), nullable=True),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("dataset_file_digest_ck")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("dataset_file_size_bytes_ck")),
        sa.ForeignKeyConstraint(
            ["project_id", "dataset_version_id"],
            ["holdfast.dataset_version.project_id", "holdfast.dataset_version.id"],
            name=op.f("dataset_file_project_id_dataset_version_id_fk"),
        ),
        sa.PrimaryKeyConstraint("dataset_version_id", "path", name=op.f("dataset_file_pk")),
        schema="holdfast",
    )
    op.create_table(
        "model_version",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("source_run_id", sa.Uuid(), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('draft', 'validated', 'approved', 'deprecated')", name=op.f("model_version_state_ck")
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "model_id"],
            ["holdfast.model.project_id", "holdfast.model.id"],
            name=op.f("model_version_project_id_model_id_fk"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "source_run_id"],
            ["holdfast.run.project_id", "holdfast.run.id"],
            name=op.f("model_version_project_id_source_run_id_fk"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("model_version_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("model_version_pk")),
        sa.UniqueConstraint("model_id", "number", name=op.f("model_version_model_id_number_uq")),
        sa.UniqueConstraint("project_id", "id", name=op.f("model_version_project_id_id_uq")),
        sa.UniqueConstraint("project_id", "model_id", "id", name=op.f("model_version_project_id_model_id_id_uq")),
        schema="holdfast",
    )
    op.create_table(
        "model_version_artifact",
        sa.Column("model_version_id", sa.Uuid(), nullable=False),
        sa.Column("artifact_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("role IN ('model', 'evidence')", name=op.f("model_version_artifact_role_ck")),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("model_version_artifact_digest_ck")),
        sa.ForeignKeyConstraint(
            ["project_id", "artifact_id", "digest"],
            ["holdfast.artifact.project_id", "holdfast.artifact.id", "holdfast.artifact.digest"],
            name=op.f("model_version_artifact_project_id_artifact_id_digest_fk"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "model_version_id"],
            ["holdfast.model_version.project_id", "holdfast.model_version.id"],
            name=op.f("model_version_artifact_project_id_model_version_id_fk"),
        ),
        sa.PrimaryKeyConstraint("model_version_id", "artifact_id", name=op.f("model_version_artifact_pk")),
        schema="holdfast",
    )
    op.create_index(
        "model_version_artifact_artifact_ix", "model_version_artifact", ["artifact_id"], unique=False, schema="holdfast"
    )
    op.create_table(
        "promotion",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("model_version_id", sa.Uuid(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("evidence_digest", sa.LargeBinary(), nullable=False),
        sa.Column("creators", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'rejected', 'voided', 'executed')", name=op.f("promotion_state_ck")
        ),
        sa.CheckConstraint("cardinality(creators) > 0", name=op.f("promotion_creators_ck")),
        sa.CheckConstraint("expires_at > created_at", name=op.f("promotion_expires_ck")),
        sa.CheckConstraint("octet_length(evidence_digest) = 32", name=op.f("promotion_evidence_digest_ck")),
        sa.ForeignKeyConstraint(
            ["project_id", "model_id", "model_version_id"],
            ["holdfast.model_version.project_id", "holdfast.model_version.model_id", "holdfast.model_version.id"],
            name=op.f("promotion_project_id_model_id_model_version_id_fk"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "policy_id"],
            ["holdfast.promotion_policy.project_id", "holdfast.promotion_policy.id"],
            name=op.f("promotion_project_id_policy_id_fk"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("promotion_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("promotion_pk")),
        sa.UniqueConstraint("project_id", "id", "creators", "evidence_digest", name="promotion_creators_uq"),
        sa.UniqueConstraint("project_id", "id", "model_id", "model_version_id", "alias", name="promotion_target_uq"),
        sa.UniqueConstraint("project_id", "id", name=op.f("promotion_project_id_id_uq")),
        schema="holdfast",
    )
    op.create_index("promotion_state_ix", "promotion", ["project_id", "state", "id"], unique=False, schema="holdfast")
    op.create_table(
        "run_input",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_version_id", sa.Uuid(), nullable=True),
        sa.Column("artifact_id", sa.Uuid(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "(dataset_version_id IS NULL) <> (artifact_id IS NULL)", name=op.f("run_input_one_source_ck")
        ),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("run_input_digest_ck")),
        sa.ForeignKeyConstraint(
            ["project_id", "artifact_id", "digest"],
            ["holdfast.artifact.project_id", "holdfast.artifact.id", "holdfast.artifact.digest"],
            name=op.f("run_input_project_id_artifact_id_digest_fk"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "dataset_version_id", "digest"],
            ["holdfast.dataset_version.project_id", "holdfast.dataset_version.id", "holdfast.dataset_version.digest"],
            name=op.f("run_input_project_id_dataset_version_id_digest_fk"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "run_id"],
            ["holdfast.run.project_id", "holdfast.run.id"],
            name=op.f("run_input_project_id_run_id_fk"),
        ),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("run_input_pk")),
        schema="holdfast",
    )
    op.create_index("run_input_artifact_ix", "run_input", ["artifact_id"], unique=False, schema="holdfast")
    op.create_index(
        "run_input_dataset_version_ix", "run_input", ["dataset_version_id"], unique=False, schema="holdfast"
    )
    op.create_table(
        "alias_assignment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("model_version_id", sa.Uuid(), nullable=False),
        sa.Column("promotion_id", sa.Uuid(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "promotion_id", "model_id", "model_version_id", "alias"],
            [
                "holdfast.promotion.project_id",
                "holdfast.promotion.id",
                "holdfast.promotion.model_id",
                "holdfast.promotion.model_version_id",
                "holdfast.promotion.alias",
            ],
            name="alias_assignment_promotion_fk",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("alias_assignment_pk")),
        sa.UniqueConstraint("promotion_id", name=op.f("alias_assignment_promotion_id_uq")),
        schema="holdfast",
    )
    op.create_index(
        "alias_assignment_history_ix",
        "alias_assignment",
        ["model_id", "alias", sa.literal_column("valid_from DESC"), sa.literal_column("recorded_at DESC")],
        unique=False,
        schema="holdfast",
    )
    op.create_index(
        "alias_assignment_model_ix", "alias_assignment", ["model_id", "id"], unique=False, schema="holdfast"
    )
    op.create_table(
        "promotion_decision",
        sa.Column("promotion_id", sa.Uuid(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("creators", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("evidence_digest", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("decision IN ('approve', 'reject')", name=op.f("promotion_decision_decision_ck")),
        sa.CheckConstraint(
            "NOT principal = ANY (creators)", name=op.f("promotion_decision_creator_is_not_approver_ck")
        ),
        sa.CheckConstraint("octet_length(evidence_digest) = 32", name=op.f("promotion_decision_evidence_digest_ck")),
        sa.ForeignKeyConstraint(
            ["project_id", "promotion_id", "creators", "evidence_digest"],
            [
                "holdfast.promotion.project_id",
                "holdfast.promotion.id",
                "holdfast.promotion.creators",
                "holdfast.promotion.evidence_digest",
            ],
            name="promotion_decision_evidence_fk",
        ),
        sa.PrimaryKeyConstraint("promotion_id", "principal", name=op.f("promotion_decision_pk")),
        schema="holdfast",
    )


def downgrade():
    for table in (
        "promotion_decision",
        "alias_assignment",
        "run_input",
        "promotion",
        "model_version_artifact",
        "model_version",
        "dataset_file",
        "artifact",
        "run",
        "dataset_version",
        "service_token",
        "role_binding",
        "promotion_policy",
        "policy_snapshot",
        "pipeline_run",
        "model",
        "environment_lock",
        "dataset",
        "project",
        "idempotency_reply",
        "audit_event",
    ):
        op.drop_table(table, schema="holdfast")
