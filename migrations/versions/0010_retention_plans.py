"""Retention plans: exactly what may go, approved by another person than the planner, and what became of each item.

An Artifact or DatasetVersion leaves `available` only as an item of an approved plan whose approval stands in the log, and only by the
disposer's functions, which look once more at holds, references and policies. Error codes: HF012 a plan is not carried out, HF013 it is
not yet, HF014 something goes and takes no more references.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

TABLES = ("retention_plan", "retention_plan_item", "retention_plan_decision", "retention_certificate")
GOING = ("artifact", "dataset_version")
# What takes a reference to something, by the column that names it.
REFERRING = {
    "run_input": (("artifact", "artifact_id"), ("dataset_version", "dataset_version_id")),
    "model_version_artifact": (("artifact", "artifact_id"),),
}
# What refers to a ModelVersion, and so to its Artifacts; others wait for it that look at what refers to what.
POINTING = ("alias_assignment", "promotion")
INSERTED = {
    "retention_plan": "id, project_id, place, item_count, size_bytes, left_out, root, reason, planned_by",
    "retention_plan_item": "plan_id, index, project_id, object_type, object_id, object_key, version_id, digest, size_bytes,"
    " policy_id, policy_digest, disposition",
    "retention_plan_decision": "plan_id, planned_by, root, principal, roles, decision, reason",
}
APPROVAL_DAYS = 7
# Of what is in the way of an item so many are named, and the others counted.
MOST_NAMED = 20
# Which class an event is of that is not of class `change`.
CLASSES = {
    "airflow_change": (
        "airflow_call.received",
        "airflow_call.answered",
        "airflow_command.started",
        "airflow_command.ended",
        "airflow_change.announced",
        "airflow_change.ended",
    ),
    "denial": ("call.denied", "anonymous_call.received", "dag.refused"),
    "disposal": ("audit_event.erased", "audit_retention.defined", "audit_segment.sealed", "audit_segment.disposed"),
    "login": ("login.attempted",),
    "read": (
        "audit_event.read",
        "role_binding.read",
        "token.read",
        "artifact.granted",
        "run.staged",
        "airflow_object.read",
    ),
}
# What says that something has gone is kept for ever.
DISPOSALS = ("artifact.purged", "dataset_version.purged", "retention_plan.certified")
READERS = "holdfast_service, holdfast_disposer, holdfast_reader, holdfast_auditor"
# What decides on an item, and what a certificate says of the plan.
DISPOSER_READS = ("project", "retention_policy", "retention_policy_decision", "store_probe", "ledger_leaf")
_PATH = "SET search_path = pg_catalog, pg_temp"
_DEFINER = f"LANGUAGE plpgsql SECURITY DEFINER {_PATH}"


def upgrade():
    _create_tables()
    # By another label an Artifact would come under another policy, and out of the queries of holds.
    _guard_artifact("state")
    op.execute(_class_of({**CLASSES, "disposal": CLASSES["disposal"] + DISPOSALS}))
    for function in _FUNCTIONS.values():
        op.execute(function)
    for table in GOING:
        op.create_index(
            f"{table}_retention_ix",
            table,
            ["project_id", "created_at", "id"],
            schema="holdfast",
            postgresql_where=sa.text("state <> 'purged'"),
        )
    op.create_index(
        "artifact_attached_ix",
        "artifact",
        ["project_id", "created_at", "id"],
        schema="holdfast",
        postgresql_where=sa.text("state <> 'purged' AND provenance = 'attached'"),
    )
    for table in TABLES:
        changes = table == "retention_plan_item"
        op.execute(
            f"CREATE TRIGGER {table}_guard BEFORE {'DELETE' if changes else 'UPDATE OR DELETE'} ON holdfast.{table}"
            " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_row()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_truncate_guard BEFORE TRUNCATE ON holdfast.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION holdfast.guard_table()"
        )
    op.execute(
        "CREATE TRIGGER retention_plan_item_update_guard BEFORE UPDATE ON holdfast.retention_plan_item"
        " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_update_of_retention_plan_item()"
    )
    op.execute(
        "CREATE TRIGGER retention_plan_decision_birth_guard BEFORE INSERT ON holdfast.retention_plan_decision"
        " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_birth_of_decision()"
    )
    op.execute(
        "CREATE TRIGGER retention_plan_item_late_guard AFTER INSERT ON holdfast.retention_plan_item"
        " REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION holdfast.guard_late_retention_plan_item()"
    )
    for table in GOING:
        op.execute(
            f"CREATE TRIGGER {table}_plan_guard BEFORE UPDATE ON holdfast.{table} FOR EACH ROW"
            " WHEN (NEW.state IS DISTINCT FROM OLD.state AND NEW.state IN ('expired', 'purged'))"
            " EXECUTE FUNCTION holdfast.guard_plan()"
        )
    for table in REFERRING:
        op.execute(
            f"CREATE TRIGGER {table}_reference_guard AFTER INSERT ON holdfast.{table} REFERENCING NEW TABLE AS added"
            f" FOR EACH STATEMENT EXECUTE FUNCTION holdfast.guard_references_of_{table}()"
        )
    for table in POINTING:
        op.execute(
            f"CREATE TRIGGER {table}_reference_guard BEFORE INSERT ON holdfast.{table} FOR EACH ROW"
            " EXECUTE FUNCTION holdfast.guard_pointing()"
        )
    _grant()


def downgrade():
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM holdfast.retention_plan_item WHERE state = 'purging') THEN"
        " RAISE EXCEPTION 'a retention plan is being carried out, of which no earlier revision knows: it stays at 0010'"
        " USING ERRCODE = 'HF012'; END IF; END $$"
    )
    op.execute(_class_of(CLASSES))
    _guard_artifact("state", "retention_class")
    op.drop_index("artifact_attached_ix", "artifact", schema="holdfast")
    for table in GOING:
        op.drop_index(f"{table}_retention_ix", table, schema="holdfast")
    for table in POINTING:
        op.execute(f"DROP TRIGGER {table}_reference_guard ON holdfast.{table}")
    for table in REFERRING:
        op.execute(f"DROP TRIGGER {table}_reference_guard ON holdfast.{table}")
    for table in GOING:
        op.execute(f"DROP TRIGGER {table}_plan_guard ON holdfast.{table}")
    for function in (
        "certify_plan(uuid, uuid, text, bytea, bytea)",
        "end_disposal(uuid, bigint[], text[], text[])",
        "begin_disposal(uuid, bigint[])",
        "approval_of(uuid)",
        "guard_pointing()",
        *(f"guard_references_of_{table}()" for table in REFERRING),
        "guard_plan()",
        "stands_as_planned(holdfast.retention_plan_item)",
        "obstacle_to_disposal(text, uuid)",
        "retained_until(text, uuid)",
        "referrers_of(text, uuid)",
        "clocks_of(text, uuid)",
        "policies_in_force(uuid)",
    ):
        op.execute(f"DROP FUNCTION holdfast.{function}")
    op.execute("GRANT UPDATE (retention_class) ON holdfast.artifact TO holdfast_service")
    for table in DISPOSER_READS[:-1]:
        op.execute(f"REVOKE SELECT ON holdfast.{table} FROM holdfast_disposer")
    for table in reversed(TABLES):
        op.drop_table(table, schema="holdfast")
    op.execute("DROP FUNCTION holdfast.guard_update_of_retention_plan_item()")
    op.execute("DROP FUNCTION holdfast.guard_late_retention_plan_item()")
    op.execute("DROP FUNCTION holdfast.guard_birth_of_decision()")


def _create_tables():
    op.create_table(
        "retention_plan",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        # Of the database server: a copy of the database somewhere else carries out nothing.
        sa.Column(
            "server",
            sa.BigInteger(),
            server_default=sa.text("(pg_control_system()).system_identifier"),
            nullable=False,
        ),
        sa.Column("item_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("left_out", sa.dialects.postgresql.JSONB(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("planned_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("item_count > 0 AND size_bytes >= 0", name=op.f("retention_plan_sizes_ck")),
        sa.CheckConstraint("reason <> ''", name=op.f("retention_plan_reason_ck")),
        sa.CheckConstraint("octet_length(root) = 32", name=op.f("retention_plan_root_ck")),
        sa.ForeignKeyConstraint(["project_id"], ["holdfast.project.id"], name=op.f("retention_plan_project_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("retention_plan_pk")),
        sa.UniqueConstraint("number", name=op.f("retention_plan_number_uq")),
        sa.UniqueConstraint("id", "planned_by", "root", name="retention_plan_made_uq"),
        schema="holdfast",
    )
    op.create_index("retention_plan_project_ix", "retention_plan", ["project_id", "id"], schema="holdfast")
    op.create_table(
        "retention_plan_item",
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("object_key", sa.Text()),
        sa.Column("version_id", sa.Text()),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("policy_digest", sa.LargeBinary(), nullable=False),
        sa.Column("disposition", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'planned'"), nullable=False),
        sa.Column("says", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("index >= 0", name=op.f("retention_plan_item_index_ck")),
        sa.CheckConstraint(
            "object_type IN ('artifact', 'dataset_version')", name=op.f("retention_plan_item_object_type_ck")
        ),
        sa.CheckConstraint(
            "num_nulls(object_key, version_id) = CASE object_type WHEN 'artifact' THEN 0 ELSE 2 END",
            name=op.f("retention_plan_item_bytes_ck"),
        ),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("retention_plan_item_digest_ck")),
        sa.CheckConstraint("octet_length(policy_digest) = 32", name=op.f("retention_plan_item_policy_digest_ck")),
        sa.CheckConstraint("disposition IN ('delete')", name=op.f("retention_plan_item_disposition_ck")),
        sa.CheckConstraint(
            "state IN ('planned', 'purging', 'purged', 'kept', 'residual')", name=op.f("retention_plan_item_state_ck")
        ),
        sa.CheckConstraint(
            "(ended_at IS NOT NULL) = (state IN ('purged', 'kept', 'residual'))",
            name=op.f("retention_plan_item_ended_ck"),
        ),
        sa.CheckConstraint(
            "says <> '' OR state IN ('planned', 'purging', 'purged')", name=op.f("retention_plan_item_says_ck")
        ),
        # Later in the transaction: the plan's root is known once the last of its items is.
        sa.ForeignKeyConstraint(
            ["plan_id"],
            ["holdfast.retention_plan.id"],
            name=op.f("retention_plan_item_plan_id_fk"),
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["holdfast.retention_policy.id"], name=op.f("retention_plan_item_policy_id_fk")
        ),
        sa.PrimaryKeyConstraint("plan_id", "index", name=op.f("retention_plan_item_pk")),
        sa.UniqueConstraint("plan_id", "object_id", name="retention_plan_item_object_uq"),
        schema="holdfast",
    )
    op.create_index("retention_plan_item_object_ix", "retention_plan_item", ["object_id"], schema="holdfast")
    op.create_table(
        "retention_plan_decision",
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("planned_by", sa.Text(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "decision IN ('approve', 'reject', 'withdraw')", name=op.f("retention_plan_decision_decision_ck")
        ),
        sa.CheckConstraint(
            "decision = 'withdraw' OR principal <> planned_by",
            name=op.f("retention_plan_decision_planner_is_not_approver_ck"),
        ),
        sa.CheckConstraint(
            "decision = 'withdraw' OR 'security_officer' = ANY (roles) AND principal LIKE 'user:_%'",
            name=op.f("retention_plan_decision_approver_is_officer_ck"),
        ),
        sa.ForeignKeyConstraint(
            ["plan_id", "planned_by", "root"],
            [f"holdfast.retention_plan.{column}" for column in ("id", "planned_by", "root")],
            name="retention_plan_decision_made_fk",
        ),
        sa.PrimaryKeyConstraint("plan_id", name=op.f("retention_plan_decision_pk")),
        schema="holdfast",
    )
    op.create_table(
        "retention_certificate",
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "digest = sha256(convert_to(content, 'UTF8'))", name=op.f("retention_certificate_digest_ck")
        ),
        sa.CheckConstraint("octet_length(root) = 32", name=op.f("retention_certificate_root_ck")),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["holdfast.retention_plan.id"], name=op.f("retention_certificate_plan_id_fk")
        ),
        sa.PrimaryKeyConstraint("plan_id", name=op.f("retention_certificate_pk")),
        schema="holdfast",
    )


def _guard_artifact(*mutable):
    """Replace what sees every UPDATE of an Artifact: only these columns may be given another value."""
    columns = op.get_bind().scalars(
        sa.text(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('holdfast.artifact') AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum"
        )
    )
    # Word for word as revision 0002 has it, so that the way back leaves what was there.
    rules = (
        (
            _changes(*(column for column in columns if column not in mutable)),
            "'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001'",
        ),
        (
            (
                "NEW.state <> OLD.state AND NOT ((OLD.state = 'available' AND NEW.state IN ('expired'))"
                " OR (OLD.state = 'expired' AND NEW.state IN ('purged')))"
            ),
            "'% % is % and cannot become %', TG_TABLE_NAME, OLD.id, OLD.state, NEW.state USING ERRCODE = 'HF005'",
        ),
    )
    body = " ".join(f"IF {broken} THEN RAISE EXCEPTION {refusal}; END IF;" for broken, refusal in rules)
    op.execute(
        "CREATE OR REPLACE FUNCTION holdfast.guard_update_of_artifact() RETURNS trigger LANGUAGE plpgsql"
        f" SET search_path = pg_catalog, pg_temp AS $$ BEGIN {body} RETURN NEW; END $$"
    )


def _grant():
    op.execute("REVOKE UPDATE (retention_class) ON holdfast.artifact FROM holdfast_service")
    for function in (
        "guard_update_of_retention_plan_item()",
        "guard_late_retention_plan_item()",
        "guard_birth_of_decision()",
        "guard_plan()",
        "guard_pointing()",
        *(f"guard_references_of_{table}()" for table in REFERRING),
    ):
        op.execute(f"REVOKE ALL ON FUNCTION holdfast.{function} FROM PUBLIC")
    for function, roles in (
        ("policies_in_force(uuid)", "holdfast_service, holdfast_disposer"),
        ("clocks_of(text, uuid)", "holdfast_service"),
        ("stands_as_planned(holdfast.retention_plan_item)", "holdfast_service"),
        ("referrers_of(text, uuid)", "holdfast_service"),
        ("retained_until(text, uuid)", "holdfast_service"),
        ("obstacle_to_disposal(text, uuid)", "holdfast_service"),
        ("approval_of(uuid)", "holdfast_disposer"),
        ("begin_disposal(uuid, bigint[])", "holdfast_disposer"),
        ("end_disposal(uuid, bigint[], text[], text[])", "holdfast_disposer"),
        ("certify_plan(uuid, uuid, text, bytea, bytea)", "holdfast_disposer"),
    ):
        op.execute(f"REVOKE ALL ON FUNCTION holdfast.{function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION holdfast.{function} TO {roles}")
    for table in TABLES:
        op.execute(f"GRANT SELECT ON holdfast.{table} TO {READERS}")
    for table, columns in INSERTED.items():
        op.execute(f"GRANT INSERT ({columns}) ON holdfast.{table} TO holdfast_service")
    for table in DISPOSER_READS:
        op.execute(f"GRANT SELECT ON holdfast.{table} TO holdfast_disposer")


def _class_of(classes):
    cases = " ".join(
        "WHEN action IN ('{}') THEN '{}'".format("', '".join(actions), one) for one, actions in classes.items()
    )
    return (
        "CREATE OR REPLACE FUNCTION holdfast.class_of_action(action text) RETURNS text LANGUAGE sql IMMUTABLE AS"
        f" $$ SELECT CASE {cases} ELSE 'change' END $$"
    )


_CLOCK = " ".join(f"WHEN '{clock}' THEN c.{clock}_at" for clock in ("created", "run_ended", "last_used", "retired"))
# A later assignment of the same alias; the newest has none.
_LATER = """
    SELECT b.valid_from FROM holdfast.alias_assignment b WHERE b.model_id = a.model_id AND b.alias = a.alias
    AND (b.valid_from, b.recorded_at, b.id) > (a.valid_from, a.recorded_at, a.id)
"""


def _changes(*columns):
    """Return whether one of the columns is given another value, as `holdfast db check` looks for it."""
    return " OR ".join(f'NEW."{column}" IS DISTINCT FROM OLD."{column}"' for column in columns)


def _references(table):
    """Return the function that refuses a reference to what goes or has gone."""
    checks = "".join(
        f"""
        SELECT t.id, t.state INTO that FROM added a JOIN holdfast.{kind} t ON t.id = a.{column}
            WHERE t.state IN ('expired', 'purged') LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '{kind} % is % and takes no more references', that.id, that.state USING ERRCODE = 'HF014';
        END IF;"""
        for kind, column in REFERRING[table]
    )
    return f"""
    CREATE FUNCTION holdfast.guard_references_of_{table}() RETURNS trigger {_DEFINER} AS $$
    DECLARE
        that record;
    BEGIN
        -- Whoever lets something go holds this lock alone meanwhile, and then sees this row; or this sees that it goes.
        PERFORM holdfast.lock_holds(ARRAY(SELECT DISTINCT project_id FROM added), false);{checks}
        RETURN NULL;
    END $$
    """


_FUNCTIONS = {
    "in_force": """
    CREATE FUNCTION holdfast.policies_in_force(its_project uuid) RETURNS SETOF holdfast.retention_policy LANGUAGE sql STABLE AS $$
        SELECT p.* FROM holdfast.retention_policy p JOIN holdfast.retention_policy_decision d ON d.policy_id = p.id
        WHERE d.decision = 'approve' AND NOT p.is_end AND (p.project_id = its_project OR p.project_id IS NULL) AND NOT EXISTS (
            SELECT FROM holdfast.retention_policy q JOIN holdfast.retention_policy_decision e ON e.policy_id = q.id
            WHERE e.decision = 'approve' AND q.name = p.name AND q.version > p.version
            AND q.project_id IS NOT DISTINCT FROM p.project_id
        )
    $$
    """,
    # As policies see an object: NULL where its clock has not started.
    "clocks": f"""
    CREATE FUNCTION holdfast.clocks_of(its_type text, its uuid) RETURNS TABLE (
        project_id uuid, kind text, label text, created_at timestamptz, run_ended_at timestamptz, last_used_at timestamptz,
        retired_at timestamptz
    ) LANGUAGE sql STABLE AS $$
        SELECT o.project_id, o.kind, o.retention_class, o.created_at, made.ended_at,
            CASE WHEN used.is_used THEN NULL ELSE COALESCE(used.used_at, o.created_at) END, retired.retired_at
        FROM holdfast.artifact o JOIN holdfast.run made ON made.id = o.run_id CROSS JOIN LATERAL (
            SELECT bool_or(r.ended_at IS NULL) AS is_used, max(r.ended_at) AS used_at
            FROM holdfast.run_input i JOIN holdfast.run r ON r.id = i.run_id WHERE i.artifact_id = o.id
        ) used CROSS JOIN LATERAL (
            SELECT CASE WHEN bool_and(later.valid_from IS NOT NULL) THEN max(later.valid_from) END AS retired_at
            FROM holdfast.model_version_artifact part JOIN holdfast.model_version v ON v.id = part.model_version_id
            JOIN holdfast.alias_assignment a ON a.model_id = v.model_id AND a.model_version_id = v.id
            LEFT JOIN LATERAL ({_LATER} ORDER BY b.valid_from, b.recorded_at, b.id LIMIT 1) later ON true
            WHERE part.artifact_id = o.id
        ) retired WHERE its_type = 'artifact' AND o.id = its
        UNION ALL SELECT v.project_id, v.source_type, d.name, v.created_at, NULL,
            CASE WHEN used.is_used THEN NULL ELSE COALESCE(used.used_at, v.created_at) END, NULL
        FROM holdfast.dataset_version v JOIN holdfast.dataset d ON d.id = v.dataset_id CROSS JOIN LATERAL (
            SELECT bool_or(r.ended_at IS NULL) AS is_used, max(r.ended_at) AS used_at
            FROM holdfast.run_input i JOIN holdfast.run r ON r.id = i.run_id WHERE i.dataset_version_id = v.id
        ) used WHERE its_type = 'dataset_version' AND v.id = its
    $$
    """,
    "referrers": """
    CREATE FUNCTION holdfast.referrers_of(its_type text, its uuid) RETURNS TABLE (type text, id uuid) LANGUAGE sql STABLE AS $$
        SELECT 'run', i.run_id FROM holdfast.run_input i WHERE its_type = 'dataset_version' AND i.dataset_version_id = its
        UNION ALL SELECT 'run', i.run_id FROM holdfast.run_input i WHERE its_type = 'artifact' AND i.artifact_id = its
        UNION ALL SELECT 'artifact', a.id FROM holdfast.artifact a WHERE its_type = 'run' AND a.run_id = its AND a.state <> 'purged'
        UNION ALL SELECT 'model_version', m.model_version_id FROM holdfast.model_version_artifact m
            WHERE its_type = 'artifact' AND m.artifact_id = its
        UNION ALL SELECT 'artifact', m.artifact_id
            FROM holdfast.model_version_artifact m JOIN holdfast.artifact a ON a.id = m.artifact_id
            WHERE its_type = 'model_version' AND m.model_version_id = its AND m.role = 'model' AND a.state <> 'purged'
    $$
    """,
    # In hours: a day of the calendar is longer or shorter where clocks are put forward and back.
    "retained": f"""
    CREATE FUNCTION holdfast.retained_until(its_type text, its uuid) RETURNS TABLE (until timestamptz) LANGUAGE sql STABLE AS $$
        SELECT COALESCE(max(COALESCE(
            CASE p.starts {_CLOCK} END + make_interval(hours => 24 * p.period_days), 'infinity'
        )), 'infinity') FROM holdfast.clocks_of(its_type, its) c JOIN LATERAL holdfast.policies_in_force(c.project_id) p
        ON p.object_type = its_type AND (p.kind IS NULL OR p.kind = c.kind) AND (p.label IS NULL OR p.label = c.label)
    $$
    """,
    # The same as is decided when it is planned, over whatever refers to it, straight or not.
    "obstacle": f"""
    CREATE FUNCTION holdfast.obstacle_to_disposal(its_type text, its uuid) RETURNS text LANGUAGE sql STABLE {_PATH} AS $$
        WITH RECURSIVE found (type, id) AS (
            SELECT its_type, its
            UNION SELECT n.type, n.id FROM found f CROSS JOIN LATERAL holdfast.referrers_of(f.type, f.id) n
        ) SELECT string_agg(said.says, '; ' ORDER BY said.place) FILTER (WHERE said.place <= {MOST_NAMED})
            || CASE WHEN count(*) > {MOST_NAMED} THEN format('; and %s more', count(*) - {MOST_NAMED}) ELSE '' END
        FROM (SELECT row_number() OVER (ORDER BY o.rank, o.type <> its_type OR o.id <> its, o.id, o.why) AS place,
            CASE WHEN o.type = its_type AND o.id = its THEN 'it' ELSE format('%s %s, which refers to it,', o.type, o.id) END
            || ' ' || o.why AS says
        FROM (
            SELECT 0 AS rank, its_type AS type, its AS id, 'has gone by another plan' AS why WHERE EXISTS (
                SELECT FROM holdfast.artifact a WHERE its_type = 'artifact' AND a.id = its AND a.state = 'purged'
                UNION ALL SELECT FROM holdfast.dataset_version v WHERE its_type = 'dataset_version' AND v.id = its AND v.state = 'purged'
            )
            UNION ALL SELECT 1, f.type, f.id, format('is under legal hold LH-%s', h.number) AS why
            FROM found f JOIN holdfast.legal_hold_object l ON l.object_id = f.id
            JOIN holdfast.legal_hold h ON h.id = l.hold_id WHERE h.released_at IS NULL
            UNION ALL SELECT 2, f.type, f.id, 'has not ended' FROM found f JOIN holdfast.run r ON r.id = f.id
            WHERE f.type = 'run' AND r.ended_at IS NULL
            UNION ALL SELECT 3, f.type, f.id, format('has the alias %s', a.alias)
            FROM found f JOIN holdfast.model_version v ON v.id = f.id
            JOIN holdfast.alias_assignment a ON a.model_id = v.model_id AND a.model_version_id = v.id
            WHERE f.type = 'model_version' AND NOT EXISTS ({_LATER})
            UNION ALL SELECT 4, f.type, f.id, format('is asked to be promoted by %s', p.id)
            FROM found f JOIN holdfast.promotion p ON p.model_version_id = f.id
            WHERE f.type = 'model_version' AND p.state IN ('pending', 'approved') AND p.expires_at > now()
            UNION ALL SELECT 5, f.type, f.id, CASE r.until WHEN 'infinity' THEN 'is kept with no end that is known'
                ELSE format('is kept by a policy until %s', to_char(r.until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) END
            FROM found f CROSS JOIN LATERAL holdfast.retained_until(f.type, f.id) r
            WHERE f.type IN ('artifact', 'dataset_version') AND r.until > now()
        ) o) said
    $$
    """,
    # Of the very object that it names: with another one's key the bytes of that would go.
    "as_planned": """
    CREATE FUNCTION holdfast.stands_as_planned(i holdfast.retention_plan_item) RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT EXISTS (
            SELECT FROM holdfast.artifact a WHERE i.object_type = 'artifact' AND a.id = i.object_id AND a.project_id = i.project_id
            AND (a.object_key, a.version_id, a.digest, a.size_bytes) = (i.object_key, i.version_id, i.digest, i.size_bytes)
            UNION ALL SELECT FROM holdfast.dataset_version v WHERE i.object_type = 'dataset_version' AND v.id = i.object_id
            AND v.project_id = i.project_id AND (v.digest, v.size_bytes) = (i.digest, i.size_bytes)
        )
    $$
    """,
    "decision_birth": f"""
    CREATE FUNCTION holdfast.guard_birth_of_decision() RETURNS trigger LANGUAGE plpgsql {_PATH} AS $$
    BEGIN
        IF NEW.created_at <> now() THEN
            RAISE EXCEPTION 'a decision on plan % is given a time that is not now', NEW.plan_id USING ERRCODE = 'HF001';
        END IF;
        RETURN NEW;
    END $$
    """,
    "item_update": f"""
    CREATE FUNCTION holdfast.guard_update_of_retention_plan_item() RETURNS trigger LANGUAGE plpgsql {_PATH} AS $$
    BEGIN
        IF {_changes(*INSERTED["retention_plan_item"].split(", "))}
            OR NEW.state = 'purging' AND ({_changes("says", "ended_at")}) THEN
            RAISE EXCEPTION 'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001';
        END IF;
        IF NOT ({_changes("state")}) OR NOT (OLD.state = 'planned' AND NEW.state IN ('purging', 'kept')
                OR OLD.state = 'purging' AND NEW.state IN ('purged', 'kept', 'residual')) THEN
            RAISE EXCEPTION 'item % of plan % is % and cannot become %', OLD.index, OLD.plan_id, OLD.state, NEW.state
                USING ERRCODE = 'HF005';
        END IF;
        IF NEW.ended_at IS NOT NULL AND NEW.ended_at <> now() THEN
            RAISE EXCEPTION '% % is given a time that is not now', TG_TABLE_NAME, OLD.index USING ERRCODE = 'HF001';
        END IF;
        IF NEW.state = 'purging' AND NOT EXISTS (
            SELECT FROM holdfast.retention_plan_decision d WHERE d.plan_id = OLD.plan_id AND d.decision = 'approve'
            AND EXISTS (SELECT FROM holdfast.approval_of(OLD.plan_id))
        ) THEN
            RAISE EXCEPTION 'item % of plan % has no approval that stands in the log', OLD.index, OLD.plan_id USING ERRCODE = 'HF012';
        END IF;
        RETURN NEW;
    END $$
    """,
    "item_late": f"""
    CREATE FUNCTION holdfast.guard_late_retention_plan_item() RETURNS trigger {_DEFINER} AS $$
    DECLARE
        late uuid;
    BEGIN
        SELECT a.plan_id INTO late FROM added a JOIN holdfast.retention_plan p ON p.id = a.plan_id
            WHERE p.created_at <> now() OR p.project_id <> a.project_id OR a.state <> 'planned' LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'plan % is complete and takes no more items', late USING ERRCODE = 'HF001';
        END IF;
        SELECT a.object_id INTO late FROM added a JOIN holdfast.retention_plan_item i ON i.plan_id = a.plan_id AND i.index = a.index
            WHERE NOT holdfast.stands_as_planned(i) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'what a plan says of object % is not what is on record', late USING ERRCODE = 'HF007';
        END IF;
        RETURN NULL;
    END $$
    """,
    "plan": f"""
    CREATE FUNCTION holdfast.guard_plan() RETURNS trigger {_DEFINER} AS $$
    BEGIN
        IF NOT EXISTS (
            SELECT FROM holdfast.retention_plan_item i WHERE i.object_id = OLD.id AND i.object_type = TG_TABLE_NAME
            AND (NEW.state = 'expired' AND i.state = 'purging'
                OR NEW.state = 'purged' AND i.state = 'purged' AND i.ended_at = now())
        ) THEN
            RAISE EXCEPTION '% % goes only as an item of a retention plan that is being carried out', TG_TABLE_NAME, OLD.id
                USING ERRCODE = 'HF012';
        END IF;
        RETURN NEW;
    END $$
    """,
    **{f"references_of_{table}": _references(table) for table in REFERRING},
    "pointing": f"""
    CREATE FUNCTION holdfast.guard_pointing() RETURNS trigger {_DEFINER} AS $$
    DECLARE
        that record;
    BEGIN
        PERFORM holdfast.lock_holds(ARRAY(
            SELECT project_id FROM holdfast.model_version WHERE id = NEW.model_version_id
        ), false);
        SELECT t.id, t.state INTO that FROM holdfast.model_version_artifact m JOIN holdfast.artifact t ON t.id = m.artifact_id
            WHERE m.model_version_id = NEW.model_version_id AND t.state IN ('expired', 'purged') LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'artifact % of model_version % is %: nothing points there any more', that.id, NEW.model_version_id,
                that.state USING ERRCODE = 'HF014';
        END IF;
        RETURN NEW;
    END $$
    """,
    # Only what stands in the log, and for exactly this root.
    "approval": f"""
    CREATE FUNCTION holdfast.approval_of(plan uuid) RETURNS TABLE (event uuid, index bigint) {_DEFINER} STABLE AS $$
    BEGIN
        RETURN QUERY SELECT e.id, l.index FROM holdfast.retention_plan p
            JOIN holdfast.audit_event e ON e.target_id = plan::text JOIN holdfast.ledger_leaf l ON l.event_id = e.id
            WHERE p.id = plan AND e.target_type = 'retention_plan' AND e.action = 'retention_plan.approved'
            AND e.outcome = 'succeeded' AND e.content::jsonb #>> '{{content,root}}' = 'sha256:' || encode(p.root, 'hex');
    END $$
    """,
    # Returns the items that had not ended, each with what is in its way: those that had not begun are kept by it, and the others go.
    "begin": f"""
    CREATE FUNCTION holdfast.begin_disposal(plan uuid, indexes bigint[]) RETURNS TABLE (index bigint, obstacle text, was_begun boolean)
    {_DEFINER} AS $$
    DECLARE
        that record;
        late boolean;
        forged uuid;
    BEGIN
        SELECT p.*, d.decision, d.created_at AS decided_at INTO that FROM holdfast.retention_plan p
            LEFT JOIN holdfast.retention_plan_decision d ON d.plan_id = p.id WHERE p.id = plan;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no retention plan %', plan USING ERRCODE = 'HF012';
        ELSIF that.server <> (pg_control_system()).system_identifier THEN
            RAISE EXCEPTION 'retention plan RP-% was made on another database server', that.number USING ERRCODE = 'HF012';
        ELSIF that.decision IS DISTINCT FROM 'approve' THEN
            RAISE EXCEPTION 'retention plan RP-% is not approved', that.number USING ERRCODE = 'HF012';
        ELSIF EXISTS (SELECT FROM holdfast.retention_certificate WHERE plan_id = plan) THEN
            RAISE EXCEPTION 'retention plan RP-% is carried out', that.number USING ERRCODE = 'HF012';
        END IF;
        late := now() NOT BETWEEN that.decided_at AND that.decided_at + interval '{24 * APPROVAL_DAYS} hours';
        IF late AND NOT EXISTS (SELECT FROM holdfast.retention_plan_item i WHERE i.plan_id = plan AND i.state <> 'planned') THEN
            RAISE EXCEPTION 'the approval of retention plan RP-% has expired', that.number USING ERRCODE = 'HF012';
        ELSIF NOT EXISTS (SELECT FROM holdfast.approval_of(plan)) THEN
            RAISE EXCEPTION 'the approval of retention plan RP-% is not in the log yet', that.number USING ERRCODE = 'HF013';
        -- Written by who began before the plan was there, and ended after it.
        ELSIF EXISTS (SELECT FROM unnest(indexes) AS asked WHERE asked >= that.item_count) THEN
            RAISE EXCEPTION 'retention plan RP-% has only % items', that.number, that.item_count USING ERRCODE = 'HF012';
        END IF;
        SELECT i.object_id INTO forged FROM holdfast.retention_plan_item i
            WHERE i.plan_id = plan AND i.index = ANY (indexes) AND NOT holdfast.stands_as_planned(i) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'what retention plan RP-% says of object % is not what is on record', that.number, forged
                USING ERRCODE = 'HF007';
        END IF;
        -- Alone: nobody places a hold or takes a reference before this is over, and then he sees it.
        PERFORM holdfast.lock_holds(ARRAY[that.project_id], true);
        RETURN QUERY WITH looked AS MATERIALIZED (
            SELECT i.index AS its, i.state, CASE
            -- What has begun by then comes to its end.
            WHEN late AND i.state = 'planned' THEN 'the approval had expired when its turn came'
            WHEN NOT EXISTS (
                SELECT FROM holdfast.policies_in_force(that.project_id) f WHERE f.id = i.policy_id AND f.digest = i.policy_digest
            ) THEN 'the version of the policy that let it go is not in force any more'
            ELSE holdfast.obstacle_to_disposal(i.object_type, i.object_id) END AS why
            FROM holdfast.retention_plan_item i
            WHERE i.plan_id = plan AND i.index = ANY (indexes) AND i.state IN ('planned', 'purging')
        ), changed AS (
            UPDATE holdfast.retention_plan_item i SET state = CASE WHEN why IS NULL THEN 'purging' ELSE 'kept' END,
                says = COALESCE(why, ''), ended_at = CASE WHEN why IS NOT NULL THEN now() END
            FROM looked WHERE i.plan_id = plan AND i.index = looked.its AND looked.state = 'planned' RETURNING i.index
        ) SELECT looked.its, why, looked.state = 'purging' FROM looked;
        UPDATE holdfast.artifact SET state = 'expired' WHERE state = 'available' AND id IN (
            SELECT object_id FROM holdfast.retention_plan_item i
            WHERE i.plan_id = plan AND i.index = ANY (indexes) AND i.state = 'purging' AND i.object_type = 'artifact'
        );
        UPDATE holdfast.dataset_version SET state = 'expired' WHERE state IN ('available', 'deprecated') AND id IN (
            SELECT object_id FROM holdfast.retention_plan_item i
            WHERE i.plan_id = plan AND i.index = ANY (indexes) AND i.state = 'purging' AND i.object_type = 'dataset_version'
        );
    END $$
    """,
    "end": f"""
    CREATE FUNCTION holdfast.end_disposal(plan uuid, indexes bigint[], states text[], why text[]) RETURNS void {_DEFINER} AS $$
    BEGIN
        UPDATE holdfast.retention_plan_item i SET state = one.state, says = one.says, ended_at = now()
            FROM unnest(indexes, states, why) AS one (index, state, says) WHERE i.plan_id = plan AND i.index = one.index;
        UPDATE holdfast.artifact SET state = 'purged' WHERE state = 'expired' AND id IN (
            SELECT object_id FROM holdfast.retention_plan_item i
            WHERE i.plan_id = plan AND i.index = ANY (indexes) AND i.state = 'purged' AND i.object_type = 'artifact'
        );
        UPDATE holdfast.dataset_version SET state = 'purged' WHERE state = 'expired' AND id IN (
            SELECT object_id FROM holdfast.retention_plan_item i
            WHERE i.plan_id = plan AND i.index = ANY (indexes) AND i.state = 'purged' AND i.object_type = 'dataset_version'
        );
    END $$
    """,
    "certify": f"""
    CREATE FUNCTION holdfast.certify_plan(plan uuid, event uuid, content text, digest bytea, root bytea) RETURNS void {_DEFINER} AS $$
    DECLARE
        open bigint;
    BEGIN
        SELECT index INTO open FROM holdfast.retention_plan_item WHERE plan_id = plan AND state IN ('planned', 'purging') LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'item % of retention plan % has not ended', open, plan USING ERRCODE = 'HF012';
        END IF;
        IF NOT EXISTS (
            SELECT FROM holdfast.audit_event e WHERE e.id = event AND e.action = 'retention_plan.certified'
            AND e.target_id = plan::text AND e.content::jsonb #>> '{{content,certificate}}' = 'sha256:' || encode(digest, 'hex')
        ) THEN
            RAISE EXCEPTION 'no event says so of the certificate of retention plan %', plan USING ERRCODE = 'HF012';
        END IF;
        INSERT INTO holdfast.retention_certificate (plan_id, event_id, content, digest, root)
            VALUES (plan, event, content, digest, root);
    END $$
    """,
}
