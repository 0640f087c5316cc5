"""Who may touch what, and what nobody may change: roles, privileges, triggers.

The triggers hold for every role that logs in, the owner included; the privileges are the second line. Error codes of class HF are
ours: HF001 a guarded row or column, HF002 an ended record, HF003 an archived Project, HF004 a promotion without its approval.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

ROLES = ("holdfast_service", "holdfast_disposer", "holdfast_reader", "holdfast_auditor")

MUTABLE = {
    "alias_assignment": (),
    "artifact": ("state", "retention_class"),
    "audit_event": (),
    "dataset": (),
    "dataset_file": (),
    "dataset_version": ("state",),
    "environment_lock": (),
    "idempotency_reply": (),
    "model": (),
    "model_version": ("state",),
    "model_version_artifact": (),
    "pipeline_run": ("state", "ended_at"),
    "policy_snapshot": (),
    "project": ("archived_at",),
    "promotion": ("state",),
    "promotion_decision": (),
    "promotion_policy": (),
    "role_binding": ("revoked_at",),
    "run": (
        "state",
        "since",
        "fence",
        "cause",
        "owner",
        "error_class",
        "exit_code",
        "metrics",
        "started_at",
        "ended_at",
    ),
    "run_input": (),
    "service_token": ("revoked_at",),
}
ENDED = {
    "run": "OLD.state IN ('succeeded', 'failed', 'canceled')",
    "pipeline_run": "OLD.state IN ('succeeded', 'failed', 'partially_succeeded', 'canceled')",
    "promotion": "OLD.state IN ('executed', 'rejected', 'voided')",
    "project": "OLD.archived_at IS NOT NULL",
    "role_binding": "OLD.revoked_at IS NOT NULL",
    "service_token": "OLD.revoked_at IS NOT NULL",
}
CLOSED_BY_ARCHIVE = (
    "run",
    "pipeline_run",
    "dataset_version",
    "environment_lock",
    "model_version",
    "promotion",
    "promotion_policy",
    "artifact",
)
SECRET_FROM_READERS = ("audit_event", "idempotency_reply", "service_token")


def upgrade():
    _create_roles()
    for statement in _FUNCTIONS:
        op.execute(statement)
    for table, columns in MUTABLE.items():
        arguments = ", ".join(f"'{column}'" for column in columns)
        op.execute(
            f"CREATE TRIGGER {table}_guard BEFORE UPDATE OR DELETE ON holdfast.{table}"
            f" FOR EACH ROW EXECUTE FUNCTION holdfast.guard_row({arguments})"
        )
        op.execute(
            f"CREATE TRIGGER {table}_truncate_guard BEFORE TRUNCATE ON holdfast.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION holdfast.guard_table()"
        )
    for table, ended in ENDED.items():
        op.execute(
            f"CREATE TRIGGER {table}_end_guard BEFORE UPDATE ON holdfast.{table}"
            f" FOR EACH ROW WHEN ({ended}) EXECUTE FUNCTION holdfast.guard_end()"
        )
    for table in CLOSED_BY_ARCHIVE:
        op.execute(
            f"CREATE TRIGGER {table}_archive_guard BEFORE INSERT ON holdfast.{table}"
            " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_archive()"
        )
    op.execute(
        "CREATE TRIGGER promotion_approval_guard BEFORE UPDATE ON holdfast.promotion"
        " FOR EACH ROW WHEN (NEW.state IN ('approved', 'executed')) EXECUTE FUNCTION holdfast.guard_promotion()"
    )
    op.execute(
        "CREATE TRIGGER alias_assignment_promotion_guard BEFORE INSERT ON holdfast.alias_assignment"
        " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_alias()"
    )
    _grant()


def downgrade():
    for role in ROLES:
        op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA holdfast FROM {role}")
        op.execute(f"REVOKE ALL ON SCHEMA holdfast FROM {role}")
    op.execute("DROP TRIGGER alias_assignment_promotion_guard ON holdfast.alias_assignment")
    op.execute("DROP TRIGGER promotion_approval_guard ON holdfast.promotion")
    for table in CLOSED_BY_ARCHIVE:
        op.execute(f"DROP TRIGGER {table}_archive_guard ON holdfast.{table}")
    for table in ENDED:
        op.execute(f"DROP TRIGGER {table}_end_guard ON holdfast.{table}")
    for table in MUTABLE:
        op.execute(f"DROP TRIGGER {table}_truncate_guard ON holdfast.{table}")
        op.execute(f"DROP TRIGGER {table}_guard ON holdfast.{table}")
    for function in ("guard_alias", "guard_promotion", "guard_archive", "guard_end", "guard_table", "guard_row"):
        op.execute(f"DROP FUNCTION holdfast.{function}()")
    # The roles stay: they belong to the whole server and other databases may use them.


def _create_roles():
    for role in ROLES:
        op.execute(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN"
            f" CREATE ROLE {role} NOLOGIN; END IF;"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )


def _grant():
    op.execute("REVOKE ALL ON SCHEMA holdfast FROM PUBLIC")
    op.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA holdfast FROM PUBLIC")
    for role in ROLES:
        op.execute(f"GRANT USAGE ON SCHEMA holdfast TO {role}")
    op.execute("GRANT SELECT ON holdfast.schema_version TO holdfast_service, holdfast_reader, holdfast_auditor")
    for table, columns in MUTABLE.items():
        op.execute(f"GRANT SELECT, INSERT ON holdfast.{table} TO holdfast_service")
        if columns:
            op.execute(f"GRANT UPDATE ({', '.join(columns)}) ON holdfast.{table} TO holdfast_service")
        if table not in SECRET_FROM_READERS:
            op.execute(f"GRANT SELECT ON holdfast.{table} TO holdfast_reader, holdfast_auditor")
    op.execute("GRANT SELECT ON holdfast.audit_event TO holdfast_auditor")


_FUNCTIONS = (
    """
    CREATE FUNCTION holdfast.guard_row() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - TG_ARGV::text[] = to_jsonb(OLD) - TG_ARGV::text[] AND TG_NARGS > 0 THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001';
    END $$
    """,
    """
    CREATE FUNCTION holdfast.guard_table() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        RAISE EXCEPTION '% is never truncated', TG_TABLE_NAME USING ERRCODE = 'HF001';
    END $$
    """,
    """
    CREATE FUNCTION holdfast.guard_end() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        RAISE EXCEPTION '% % has ended and does not change', TG_TABLE_NAME, OLD.id USING ERRCODE = 'HF002';
    END $$
    """,
    # FOR SHARE waits for an archive that is under way and makes a later one wait for this transaction.
    """
    CREATE FUNCTION holdfast.guard_archive() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        closed timestamptz;
    BEGIN
        SELECT archived_at INTO closed FROM holdfast.project WHERE id = NEW.project_id FOR SHARE;
        IF closed IS NOT NULL THEN
            RAISE EXCEPTION 'the Project is archived and takes no new %', TG_TABLE_NAME USING ERRCODE = 'HF003';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION holdfast.guard_promotion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF NEW.state = 'executed' AND OLD.state <> 'approved' THEN
            RAISE EXCEPTION 'promotion % is %, not approved', NEW.id, OLD.state USING ERRCODE = 'HF004';
        END IF;
        PERFORM FROM holdfast.promotion_decision
            WHERE promotion_id = NEW.id AND decision = 'approve' AND evidence_digest = NEW.evidence_digest;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'promotion % has no approval of its evidence', NEW.id USING ERRCODE = 'HF004';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION holdfast.guard_alias() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM FROM holdfast.promotion WHERE id = NEW.promotion_id AND state = 'executed';
        IF NOT FOUND THEN
            RAISE EXCEPTION 'alias % moves only by an executed promotion', NEW.alias USING ERRCODE = 'HF004';
        END IF;
        RETURN NEW;
    END $$
    """,
)
