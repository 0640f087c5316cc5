"""Retention policies: versions that never change, each with the one decision of another person than its proposer."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

TABLES = ("retention_policy", "retention_policy_decision")
READERS = "holdfast_service, holdfast_reader, holdfast_auditor"


def upgrade():
    op.create_table(
        "retention_policy",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("starts", sa.Text(), nullable=False),
        sa.Column("period_days", sa.Integer(), nullable=False),
        sa.Column("disposition", sa.Text(), nullable=False),
        sa.Column("is_end", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "object_type IN ('dataset_version', 'artifact', 'run_log')", name=op.f("retention_policy_object_type_ck")
        ),
        sa.CheckConstraint(
            "starts IN ('created', 'run_ended', 'last_used', 'retired')", name=op.f("retention_policy_starts_ck")
        ),
        sa.CheckConstraint(
            "disposition IN ('archive', 'crypto_erase', 'delete')", name=op.f("retention_policy_disposition_ck")
        ),
        sa.CheckConstraint("period_days BETWEEN 1 AND 36500", name=op.f("retention_policy_period_days_ck")),
        sa.CheckConstraint("version > 0", name=op.f("retention_policy_version_ck")),
        sa.CheckConstraint("reason <> ''", name=op.f("retention_policy_reason_ck")),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("retention_policy_digest_ck")),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("retention_policy_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("retention_policy_pk")),
        sa.UniqueConstraint("id", "proposed_by", "digest", name="retention_policy_proposal_uq"),
        schema="holdfast",
    )
    op.create_index(
        "retention_policy_version_uq",
        "retention_policy",
        [sa.literal_column("coalesce(project_id::text, '')"), "name", "version"],
        unique=True,
        schema="holdfast",
    )
    op.create_table(
        "retention_policy_decision",
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "decision IN ('approve', 'reject', 'withdraw')", name=op.f("retention_policy_decision_decision_ck")
        ),
        sa.CheckConstraint(
            "decision = 'withdraw' OR principal <> proposed_by",
            name=op.f("retention_policy_decision_proposer_is_not_approver_ck"),
        ),
        sa.CheckConstraint(
            "decision = 'withdraw' OR 'security_officer' = ANY (roles)",
            name=op.f("retention_policy_decision_approver_is_officer_ck"),
        ),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("retention_policy_decision_digest_ck")),
        sa.ForeignKeyConstraint(
            ["policy_id", "proposed_by", "digest"],
            [f"holdfast.retention_policy.{column}" for column in ("id", "proposed_by", "digest")],
            name="retention_policy_decision_proposal_fk",
        ),
        sa.PrimaryKeyConstraint("policy_id", name=op.f("retention_policy_decision_pk")),
        schema="holdfast",
    )
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_guard BEFORE UPDATE OR DELETE ON holdfast.{table}"
            " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_row()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_truncate_guard BEFORE TRUNCATE ON holdfast.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION holdfast.guard_table()"
        )
        op.execute(f"GRANT SELECT ON holdfast.{table} TO {READERS}")
    op.execute(
        "GRANT INSERT (id, project_id, name, version, object_type, kind, label, starts, period_days, disposition, is_end,"
        " reason, digest, proposed_by) ON holdfast.retention_policy TO holdfast_service"
    )
    op.execute(
        "GRANT INSERT (policy_id, proposed_by, principal, roles, decision, digest, reason)"
        " ON holdfast.retention_policy_decision TO holdfast_service"
    )


def downgrade():
    for table in reversed(TABLES):
        op.drop_table(table, schema="holdfast")
