"""Who may touch what, and what nobody may change: roles, privileges, triggers.

The triggers hold for every role that logs in, the owner included; the privileges are the second line. Error codes of class HF are
ours: HF001 a guarded row or column, HF002 an ended record, HF003 an archived Project, HF004 a promotion without its approval, HF005 a
state that does not follow. The service login may make nothing that is already over, and sets no time: times are the database's.
"""

from alembic import op
from sqlalchemy import text

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
        "observed",
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
    "dataset",
    "dataset_version",
    "environment_lock",
    "policy_snapshot",
    "model",
    "model_version",
    "promotion",
    "promotion_decision",
    "promotion_policy",
    "artifact",
    "alias_assignment",
)
FIRST_STATES = {
    "run": ("created",),
    "pipeline_run": ("queued", "running"),
    "artifact": ("available",),
    "dataset_version": ("available",),
    "model_version": ("draft",),
    "promotion": ("pending",),
}
_RUN_ENDS = ("succeeded", "failed", "canceled")
_PIPELINE_ENDS = ("succeeded", "failed", "partially_succeeded", "canceled")
TRANSITIONS = {
    "run": {
        "created": ("queued", "running", "unknown", "failed", "canceled"),
        "queued": ("running", "unknown", "failed", "canceled"),
        "running": (*_RUN_ENDS, "unknown"),
        "unknown": ("reconciling",),
        "reconciling": (*_RUN_ENDS, "unknown", "running"),
    },
    "pipeline_run": {
        "queued": (*_PIPELINE_ENDS, "running", "unknown"),
        "running": (*_PIPELINE_ENDS, "unknown"),
        "unknown": ("reconciling",),
        "reconciling": (*_PIPELINE_ENDS, "unknown", "running"),
    },
    "artifact": {"available": ("expired",), "expired": ("purged",)},
    "dataset_version": {
        "available": ("deprecated", "expired"),
        "deprecated": ("expired",),
        "expired": ("purged",),
    },
    "model_version": {
        "draft": ("validated", "deprecated"),
        "validated": ("approved", "deprecated"),
        "approved": ("deprecated",),
    },
    "promotion": {"pending": ("approved", "rejected", "voided"), "approved": ("executed", "voided")},
}
TIMES = {
    "run": ("since", "started_at", "ended_at"),
    "pipeline_run": ("ended_at",),
    "project": ("archived_at",),
    "role_binding": ("revoked_at",),
    "service_token": ("revoked_at",),
}
# What the service login does not insert: the database sets it, or it comes by a later change.
NOT_INSERTED = {
    "run": (
        "since",
        "fence",
        "cause",
        "owner",
        "error_class",
        "exit_code",
        "metrics",
        "observed",
        "started_at",
        "ended_at",
    ),
    "pipeline_run": ("ended_at",),
    "project": ("archived_at",),
    "role_binding": ("revoked_at",),
    "service_token": ("revoked_at",),
    "audit_event": ("recorded_at", "xid"),
    "alias_assignment": ("valid_from", "recorded_at"),
}
# Parts are stored together with what they are parts of: table, column, whole.
PARTS = (
    ("run_input", "run_id", "run"),
    ("dataset_file", "dataset_version_id", "dataset_version"),
    ("model_version_artifact", "model_version_id", "model_version"),
)
SECRET_FROM_READERS = ("audit_event", "idempotency_reply", "service_token")


def upgrade():
    _create_roles()
    for statement in _FUNCTIONS:
        op.execute(statement)
    for table, columns in MUTABLE.items():
        if columns:
            op.execute(_update_guard(table, columns))
            op.execute(
                f"CREATE TRIGGER {table}_update_guard BEFORE UPDATE ON holdfast.{table}"
                f" FOR EACH ROW EXECUTE FUNCTION holdfast.guard_update_of_{table}()"
            )
        op.execute(
            f"CREATE TRIGGER {table}_guard BEFORE {'DELETE' if columns else 'UPDATE OR DELETE'} ON holdfast.{table}"
            " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_row()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_truncate_guard BEFORE TRUNCATE ON holdfast.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION holdfast.guard_table()"
        )
    for table in CLOSED_BY_ARCHIVE:
        op.execute(
            f"CREATE TRIGGER {table}_archive_guard BEFORE INSERT ON holdfast.{table}"
            " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_archive()"
        )
    for table, states in FIRST_STATES.items():
        op.execute(
            f"CREATE TRIGGER {table}_birth_guard BEFORE INSERT ON holdfast.{table}"
            f" FOR EACH ROW WHEN (NEW.state NOT IN ({_quoted(states)})) EXECUTE FUNCTION holdfast.guard_birth()"
        )
    for table, column, whole in PARTS:
        op.execute(_LATE_PART.format(table=table, column=column, whole=whole))
        op.execute(_late_trigger(table))
    op.execute(_late_trigger("artifact"))
    op.execute(
        "CREATE TRIGGER promotion_request_guard BEFORE INSERT ON holdfast.promotion"
        " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_request()"
    )
    op.execute(
        "CREATE TRIGGER promotion_decision_pending_guard BEFORE INSERT ON holdfast.promotion_decision"
        " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_decision()"
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
    op.execute("DROP TRIGGER promotion_decision_pending_guard ON holdfast.promotion_decision")
    op.execute("DROP TRIGGER promotion_request_guard ON holdfast.promotion")
    for table in ("artifact", *(part[0] for part in PARTS)):
        op.execute(f"DROP TRIGGER {table}_late_guard ON holdfast.{table}")
        op.execute(f"DROP FUNCTION holdfast.guard_late_{table}()")
    for table in FIRST_STATES:
        op.execute(f"DROP TRIGGER {table}_birth_guard ON holdfast.{table}")
    for table in CLOSED_BY_ARCHIVE:
        op.execute(f"DROP TRIGGER {table}_archive_guard ON holdfast.{table}")
    for table, columns in MUTABLE.items():
        op.execute(f"DROP TRIGGER {table}_truncate_guard ON holdfast.{table}")
        op.execute(f"DROP TRIGGER {table}_guard ON holdfast.{table}")
        if columns:
            op.execute(f"DROP TRIGGER {table}_update_guard ON holdfast.{table}")
            op.execute(f"DROP FUNCTION holdfast.guard_update_of_{table}()")
    for function in (
        "guard_alias",
        "guard_decision",
        "guard_request",
        "guard_promotion",
        "guard_birth",
        "guard_archive",
        "guard_table",
        "guard_row",
    ):
        op.execute(f"DROP FUNCTION holdfast.{function}()")
    op.execute("DROP FUNCTION holdfast.creators_of(uuid, text, text)")
    # The roles stay: they belong to the whole server and other databases may use them.


def _create_roles():
    for role in ROLES:
        op.execute(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN"
            f" CREATE ROLE {role} NOLOGIN; END IF;"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )


def _quoted(values):
    return ", ".join(f"'{value}'" for value in values)


def _late_trigger(table):
    return (
        f"CREATE TRIGGER {table}_late_guard AFTER INSERT ON holdfast.{table} REFERENCING NEW TABLE AS added"
        f" FOR EACH STATEMENT EXECUTE FUNCTION holdfast.guard_late_{table}()"
    )


def _update_guard(table, mutable):
    """Return the function that sees every UPDATE of a table: one, because each trigger costs more than what it compares."""
    frozen = [column for column in _columns(table) if column not in mutable]
    rules = [
        (
            " OR ".join(f'NEW."{column}" IS DISTINCT FROM OLD."{column}"' for column in frozen),
            "'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001'",
        )
    ]
    if table in ENDED:
        ended = "'% % has ended and does not change', TG_TABLE_NAME, OLD.id USING ERRCODE = 'HF002'"
        rules.insert(0, (ENDED[table], ended))
    if table in TRANSITIONS:
        follows = " OR ".join(
            f"(OLD.state = '{before}' AND NEW.state IN ({_quoted(after)}))"
            for before, after in TRANSITIONS[table].items()
        )
        rules.append(
            (
                f"NEW.state <> OLD.state AND NOT ({follows})",
                "'% % is % and cannot become %', TG_TABLE_NAME, OLD.id, OLD.state, NEW.state USING ERRCODE = 'HF005'",
            )
        )
    rules += [
        (
            f"NEW.{column} IS DISTINCT FROM OLD.{column} AND NEW.{column} IS DISTINCT FROM now()",
            "'% % is given a time that is not now', TG_TABLE_NAME, OLD.id USING ERRCODE = 'HF001'",
        )
        for column in TIMES.get(table, ())
    ]
    if table == "run":
        rules.append(
            (
                "OLD.fence IS NOT NULL AND NEW.fence IS DISTINCT FROM OLD.fence",
                "'run % keeps the fence that it has', OLD.id USING ERRCODE = 'HF001'",
            )
        )
    body = " ".join(f"IF {broken} THEN RAISE EXCEPTION {refusal}; END IF;" for broken, refusal in rules)
    return (
        f"CREATE FUNCTION holdfast.guard_update_of_{table}() RETURNS trigger LANGUAGE plpgsql"
        f" SET search_path = pg_catalog, pg_temp AS $$ BEGIN {body} RETURN NEW; END $$"
    )


def _columns(table):
    return op.get_bind().scalars(
        text(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum"
        ),
        {"table": f"holdfast.{table}"},
    )


def _inserted(table):
    """Return the columns that the service login inserts."""
    left_out = {"created_at", *NOT_INSERTED.get(table, ())}
    return ", ".join(f'"{column}"' for column in _columns(table) if column not in left_out)


def _grant():
    op.execute("REVOKE ALL ON SCHEMA holdfast FROM PUBLIC")
    op.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA holdfast FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION holdfast.creators_of(uuid, text, text) TO holdfast_service")
    for role in ROLES:
        op.execute(f"GRANT USAGE ON SCHEMA holdfast TO {role}")
    op.execute("GRANT SELECT ON holdfast.schema_version TO holdfast_service, holdfast_reader, holdfast_auditor")
    for table, columns in MUTABLE.items():
        op.execute(f"GRANT SELECT, INSERT ({_inserted(table)}) ON holdfast.{table} TO holdfast_service")
        if columns:
            op.execute(f"GRANT UPDATE ({', '.join(columns)}) ON holdfast.{table} TO holdfast_service")
        if table not in SECRET_FROM_READERS:
            op.execute(f"GRANT SELECT ON holdfast.{table} TO holdfast_reader, holdfast_auditor")
    op.execute("GRANT SELECT ON holdfast.audit_event TO holdfast_auditor")


_FUNCTIONS = (
    """
    CREATE FUNCTION holdfast.guard_row() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
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
    CREATE FUNCTION holdfast.guard_birth() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        RAISE EXCEPTION 'a new % is not %', TG_TABLE_NAME, NEW.state USING ERRCODE = 'HF005';
    END $$
    """,
    """
    CREATE FUNCTION holdfast.guard_late_artifact() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM FROM holdfast.run WHERE id = ANY (ARRAY(SELECT DISTINCT run_id FROM added))
            AND ended_at IS NOT NULL AND ended_at <> now();
        IF FOUND THEN
            RAISE EXCEPTION 'the run has ended, and its artifacts are complete' USING ERRCODE = 'HF002';
        END IF;
        RETURN NULL;
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
    DECLARE
        approvals bigint;
        rejections bigint;
    BEGIN
        IF NEW.state = 'executed' AND OLD.state <> 'approved' THEN
            RAISE EXCEPTION 'promotion % is %, not approved', NEW.id, OLD.state USING ERRCODE = 'HF004';
        END IF;
        IF NEW.expires_at <= now() THEN
            RAISE EXCEPTION 'promotion % has expired', NEW.id USING ERRCODE = 'HF004';
        END IF;
        SELECT count(*) FILTER (WHERE decision = 'approve' AND evidence_digest = NEW.evidence_digest),
            count(*) FILTER (WHERE decision = 'reject')
            INTO approvals, rejections FROM holdfast.promotion_decision WHERE promotion_id = NEW.id;
        IF approvals = 0 THEN
            RAISE EXCEPTION 'promotion % has no approval of its evidence', NEW.id USING ERRCODE = 'HF004';
        END IF;
        IF rejections > 0 THEN
            RAISE EXCEPTION 'promotion % has been rejected by somebody', NEW.id USING ERRCODE = 'HF004';
        END IF;
        PERFORM FROM holdfast.promotion_policy p, jsonb_array_elements(p.gates) AS gate
            WHERE p.id = NEW.policy_id AND gate->>'gate' = 'approval' AND (gate->>'count')::int > (
                SELECT count(*) FROM holdfast.promotion_decision d
                WHERE d.promotion_id = NEW.id AND d.decision = 'approve' AND d.evidence_digest = NEW.evidence_digest
                AND EXISTS (SELECT FROM jsonb_array_elements_text(gate->'roles') AS role WHERE role = ANY (d.roles)));
        IF FOUND THEN
            RAISE EXCEPTION 'promotion % has fewer approvals than its policy asks for', NEW.id USING ERRCODE = 'HF004';
        END IF;
        RETURN NEW;
    END $$
    """,
    # Whoever had a part in a ModelVersion: registered it; created, triggered or ended a Run behind it, however far upstream, or
    # attached to one; registered the data that one read; made the service token that did any of that, and so had its secret. By
    # indexes alone: a plan that was made when the tables were small would read all of them when they are large.
    """
    CREATE FUNCTION holdfast.creators_of(version uuid, requester text, on_behalf_of text) RETURNS text[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE
        made uuid[];
    BEGIN
        WITH RECURSIVE upstream (run_id) AS (
            SELECT a.run_id FROM holdfast.model_version_artifact m JOIN holdfast.artifact a ON a.id = m.artifact_id
                WHERE m.model_version_id = version
            UNION
            SELECT a.run_id FROM upstream JOIN holdfast.run_input i ON i.run_id = upstream.run_id
                JOIN holdfast.artifact a ON a.id = i.artifact_id
        )
        SELECT array_agg(run_id) INTO made FROM upstream;
        RETURN (
            WITH people (who) AS (
                VALUES (requester), (on_behalf_of)
                UNION SELECT v.created_by FROM holdfast.model_version v WHERE v.id = version
                UNION SELECT r.created_by FROM holdfast.run r WHERE r.id = ANY (made)
                UNION SELECT a.created_by FROM holdfast.artifact a WHERE a.run_id = ANY (made)
                UNION SELECT d.created_by FROM holdfast.run_input i
                    JOIN holdfast.dataset_version d ON d.id = i.dataset_version_id WHERE i.run_id = ANY (made)
                UNION SELECT 'user:' || p.triggered_by FROM holdfast.run r
                    JOIN holdfast.pipeline_run p ON p.id = r.pipeline_run_id
                    WHERE r.id = ANY (made) AND p.triggered_by <> ''
            ), everybody (who) AS (
                SELECT who FROM people
                UNION SELECT t.created_by FROM people JOIN holdfast.service_token t
                    ON t.id = CASE WHEN people.who LIKE 'token:%' THEN substr(people.who, 7)::uuid END
            )
            SELECT array_agg(who ORDER BY who COLLATE "C") FROM everybody WHERE who IS NOT NULL
        );
    END $$
    """,
    # Creator is not approver only where the creators are whole: whoever inserts the row does not choose them.
    """
    CREATE FUNCTION holdfast.guard_request() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        missing text;
    BEGIN
        PERFORM FROM holdfast.promotion_policy
            WHERE id = NEW.policy_id AND NEW.expires_at > NEW.created_at + make_interval(secs => expires_after_s);
        IF FOUND THEN
            RAISE EXCEPTION 'promotion % would expire later than its policy says', NEW.id USING ERRCODE = 'HF004';
        END IF;
        SELECT who INTO missing FROM unnest(holdfast.creators_of(NEW.model_version_id, NEW.requested_by, NULL)) AS who
            WHERE NOT who = ANY (NEW.creators) LIMIT 1;
        IF missing IS NOT NULL THEN
            RAISE EXCEPTION 'promotion % leaves out its creator %', NEW.id, missing USING ERRCODE = 'HF004';
        END IF;
        RETURN NEW;
    END $$
    """,
    # The lock: an approval does not slip in behind the transaction that ends the promotion.
    """
    CREATE FUNCTION holdfast.guard_decision() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        found_state text;
        expiry timestamptz;
    BEGIN
        SELECT state, expires_at INTO found_state, expiry FROM holdfast.promotion WHERE id = NEW.promotion_id
            FOR NO KEY UPDATE;
        IF found_state <> 'pending' OR expiry <= now() THEN
            RAISE EXCEPTION 'promotion % is % or has expired, and takes no decision', NEW.promotion_id, found_state
                USING ERRCODE = 'HF004';
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
        -- Not now(): a transaction that waited for the alias must not be recorded as earlier than the one it waited for.
        NEW.recorded_at := clock_timestamp();
        NEW.valid_from := NEW.recorded_at;
        RETURN NEW;
    END $$
    """,
)
# By an array and not by a join: a plan that was made when the table was small would read all of it when it is large.
# now() is when this transaction began, and created_at is set by the database: equal, they are of one transaction.
_LATE_PART = """
    CREATE FUNCTION holdfast.guard_late_{table}() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM FROM holdfast.{whole} WHERE id = ANY (ARRAY(SELECT DISTINCT {column} FROM added)) AND created_at <> now();
        IF FOUND THEN
            RAISE EXCEPTION 'a {whole} that stands already takes no new {table}' USING ERRCODE = 'HF001';
        END IF;
        RETURN NULL;
    END $$
"""
