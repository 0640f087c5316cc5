"""Segments: the audit trail in parts that go as a whole, each of one class of events, and events whose content is erased.

A segment is open, closed, sealed and disposed, in this order. New events of a class go to its open one. What is sealed is compared with
itself and takes no more events; what it was stays in its row when its events go: their number, indexes and root.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import UserDefinedType

revision = "0005"
down_revision = "0004"

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
ALL_CLASSES = ("change", *CLASSES)
SEALED = ("sealed_at", "count", "first_index", "last_index", "oldest_at", "newest_at", "root", "indexes")
ERASED = ("content", "salt", "initiator", "target_id")
INDEXES = {
    "action": ("project", "action", "id"),
    "order": ("xid", "id"),
    "project": ("project", "id"),
    "target": ("target_id", "id"),
}
READERS = "holdfast_service, holdfast_disposer, holdfast_reader, holdfast_auditor"
_INSERTED = "id, project, action, initiator, target_type, target_id, outcome, content, salt, commitment"
_BEFORE = f"{_INSERTED}, recorded_at, xid"


class Xid8(UserDefinedType):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_):
        return "xid8"


def upgrade():
    op.execute(_CLASS_OF)
    _create_segments()
    # Beside the new table until its rows are there: names of indexes are a schema's.
    op.execute("CREATE SCHEMA holdfast_before_0005")
    op.execute("ALTER TABLE holdfast.audit_event SET SCHEMA holdfast_before_0005")
    _create_events(
        sa.Column("erased_at", sa.DateTime(timezone=True)),
        sa.Column(
            "segment", sa.BigInteger(), server_default=sa.text("holdfast.current_segment('change')"), nullable=False
        ),
        sa.CheckConstraint(
            "(content IS NULL) = (erased_at IS NOT NULL) AND (salt IS NULL) = (erased_at IS NOT NULL)",
            name=op.f("audit_event_erased_ck"),
        ),
        key=("id", "segment"),
        is_kept=False,
        postgresql_partition_by="LIST (segment)",
    )
    for name in ("open", "close", "seal", "dispose", "erase"):
        op.execute(_FUNCTIONS[name])
    for of_class in ALL_CLASSES:
        op.execute(f"SELECT holdfast.open_segment('{of_class}')")
    op.execute(
        f"INSERT INTO holdfast.audit_event ({_BEFORE}, segment)"
        f" SELECT {_BEFORE}, holdfast.current_segment(holdfast.class_of_action(action)) FROM holdfast_before_0005.audit_event"
    )
    op.execute("DROP SCHEMA holdfast_before_0005 CASCADE")
    op.add_column("ledger_leaf", sa.Column("segment", sa.BigInteger()), schema="holdfast")
    op.execute("ALTER TABLE holdfast.ledger_leaf DISABLE TRIGGER USER")
    op.execute(
        "UPDATE holdfast.ledger_leaf l SET segment = e.segment FROM holdfast.audit_event e WHERE e.id = l.event_id"
    )
    op.execute("ALTER TABLE holdfast.ledger_leaf ENABLE TRIGGER USER")
    op.alter_column("ledger_leaf", "segment", nullable=False, schema="holdfast")
    _guard()
    _grant()


def downgrade():
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM holdfast.audit_segment WHERE disposed_at IS NOT NULL)"
        " OR EXISTS (SELECT FROM holdfast.audit_event WHERE erased_at IS NOT NULL) THEN"
        " RAISE EXCEPTION 'audit events have gone, of which revision 0004 knows nothing: it stays at 0005'"
        " USING ERRCODE = 'HF001'; END IF; END $$"
    )
    op.execute("DROP TRIGGER ledger_leaf_guard ON holdfast.ledger_leaf")
    op.execute(
        "CREATE TRIGGER ledger_leaf_guard BEFORE UPDATE OR DELETE ON holdfast.ledger_leaf"
        " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_row()"
    )
    op.drop_column("ledger_leaf", "segment", schema="holdfast")
    op.execute("CREATE SCHEMA holdfast_before_0004")
    op.execute("ALTER TABLE holdfast.audit_event SET SCHEMA holdfast_before_0004")
    _create_events(key=("id",), is_kept=True)
    op.execute(f"INSERT INTO holdfast.audit_event ({_BEFORE}) SELECT {_BEFORE} FROM holdfast_before_0004.audit_event")
    op.execute("DROP SCHEMA holdfast_before_0004 CASCADE")
    for name, event, level, function in (
        ("guard", "UPDATE OR DELETE", "ROW", "guard_row"),
        ("truncate_guard", "TRUNCATE", "STATEMENT", "guard_table"),
    ):
        _trigger("audit_event", name, event, level, function)
    op.execute("GRANT SELECT ON holdfast.audit_event TO holdfast_service, holdfast_auditor")
    op.execute(f"GRANT INSERT ({_INSERTED}) ON holdfast.audit_event TO holdfast_service")
    for function in ("open_segment(text)", "close_segment(text)", "seal_segment(bigint, bigint, bytea)"):
        op.execute(f"DROP FUNCTION holdfast.{function}")
    op.execute("DROP FUNCTION holdfast.dispose_segment(bigint, uuid)")
    op.execute("DROP FUNCTION holdfast.erase_event(uuid)")
    op.drop_table("audit_retention", schema="holdfast")
    op.drop_table("audit_segment", schema="holdfast")
    for function in (
        "guard_update_of_audit_event()",
        "guard_update_of_audit_segment()",
        "guard_sealed()",
        "guard_leaf()",
        "current_segment(text)",
        "class_of_action(text)",
    ):
        op.execute(f"DROP FUNCTION holdfast.{function}")
    for grant in _DISPOSER_READS:
        op.execute(f"REVOKE SELECT ON holdfast.{grant} FROM holdfast_disposer")


def _create_segments():
    op.create_table(
        "audit_segment",
        sa.Column("segment", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("sealed_at", sa.DateTime(timezone=True)),
        sa.Column("count", sa.BigInteger()),
        sa.Column("first_index", sa.BigInteger()),
        sa.Column("last_index", sa.BigInteger()),
        sa.Column("oldest_at", sa.DateTime(timezone=True)),
        sa.Column("newest_at", sa.DateTime(timezone=True)),
        sa.Column("root", sa.LargeBinary()),
        sa.Column("indexes", postgresql.INT8MULTIRANGE()),
        sa.Column("disposed_at", sa.DateTime(timezone=True)),
        sa.Column("certificate", sa.Uuid()),
        sa.CheckConstraint(f"class IN ({_quoted(ALL_CLASSES)})", name=op.f("audit_segment_class_ck")),
        sa.CheckConstraint("octet_length(root) = 32", name=op.f("audit_segment_root_ck")),
        sa.CheckConstraint("sealed_at IS NULL OR closed_at IS NOT NULL", name=op.f("audit_segment_closed_ck")),
        sa.CheckConstraint(
            f"num_nulls({', '.join(SEALED)}) IN (0, {len(SEALED)})", name=op.f("audit_segment_sealed_ck")
        ),
        sa.CheckConstraint(
            "disposed_at IS NULL AND certificate IS NULL"
            " OR disposed_at IS NOT NULL AND certificate IS NOT NULL AND sealed_at IS NOT NULL AND class <> 'disposal'",
            name=op.f("audit_segment_disposed_ck"),
        ),
        sa.PrimaryKeyConstraint("segment", name=op.f("audit_segment_pk")),
        schema="holdfast",
    )
    op.create_index(
        "audit_segment_open_ix",
        "audit_segment",
        ["class"],
        unique=True,
        schema="holdfast",
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "audit_retention",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("period_days", sa.Integer()),
        sa.Column("quota", sa.BigInteger()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("defined_by", sa.Text(), nullable=False),
        sa.Column("defined_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            f"class IN ({_quoted(one for one in ALL_CLASSES if one != 'disposal')})",
            name=op.f("audit_retention_class_ck"),
        ),
        sa.CheckConstraint("period_days BETWEEN 1 AND 36500", name=op.f("audit_retention_period_days_ck")),
        sa.CheckConstraint(
            "quota IS NULL OR quota >= 1 AND class IN ('denial', 'login', 'read')",
            name=op.f("audit_retention_quota_ck"),
        ),
        sa.CheckConstraint("reason <> ''", name=op.f("audit_retention_reason_ck")),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_retention_pk")),
        schema="holdfast",
    )
    op.create_index("audit_retention_class_ix", "audit_retention", ["class", "defined_at", "id"], schema="holdfast")
    op.execute(_FUNCTIONS["current"])


def _create_events(*more, key, is_kept, **options):
    """Create the table of events; where content is not kept for ever, it may be null."""
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
        sa.Column("content", sa.Text(), nullable=not is_kept),
        sa.Column("salt", sa.LargeBinary(), nullable=not is_kept),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        *(one for one in more if isinstance(one, sa.Column)),
        sa.CheckConstraint(
            "commitment = sha256(salt || convert_to(content, 'UTF8'))", name=op.f("audit_event_commitment_binds_ck")
        ),
        sa.CheckConstraint("outcome IN ('succeeded', 'refused')", name=op.f("audit_event_outcome_ck")),
        sa.CheckConstraint("octet_length(salt) = 32", name=op.f("audit_event_salt_ck")),
        *(one for one in more if not isinstance(one, sa.Column)),
        sa.PrimaryKeyConstraint(*key, name=op.f("audit_event_pk")),
        schema="holdfast",
        **options,
    )
    for name, columns in INDEXES.items():
        op.create_index(f"audit_event_{name}_ix", "audit_event", list(columns), schema="holdfast")


def _guard():
    for table, name, event, level, function in (
        ("audit_event", "guard", "DELETE", "ROW", "guard_row"),
        ("audit_event", "truncate_guard", "TRUNCATE", "STATEMENT", "guard_table"),
        ("audit_event", "update_guard", "UPDATE", "ROW", "guard_update_of_audit_event"),
        ("audit_segment", "guard", "DELETE", "ROW", "guard_row"),
        ("audit_segment", "truncate_guard", "TRUNCATE", "STATEMENT", "guard_table"),
        ("audit_segment", "update_guard", "UPDATE", "ROW", "guard_update_of_audit_segment"),
        ("audit_retention", "guard", "UPDATE OR DELETE", "ROW", "guard_row"),
        ("audit_retention", "truncate_guard", "TRUNCATE", "STATEMENT", "guard_table"),
    ):
        if function in _FUNCTIONS:
            op.execute(_FUNCTIONS[function])
        _trigger(table, name, event, level, function)
    op.execute(_FUNCTIONS["guard_leaf"])
    op.execute("DROP TRIGGER ledger_leaf_guard ON holdfast.ledger_leaf")
    _trigger("ledger_leaf", "guard", "UPDATE OR DELETE", "ROW", "guard_leaf")
    op.execute(_FUNCTIONS["guard_sealed"])


def _trigger(table, name, event, level, function):
    op.execute(
        f"CREATE TRIGGER {table}_{name} BEFORE {event} ON holdfast.{table}"
        f" FOR EACH {level} EXECUTE FUNCTION holdfast.{function}()"
    )


_DISPOSER_READS = (
    "schema_version",
    "ledger_head",
    "ledger_leaf",
    "ledger_checkpoint",
    "export_sink",
)


def _grant():
    for function in (
        "open_segment(text)",
        "guard_update_of_audit_event()",
        "guard_update_of_audit_segment()",
        "guard_leaf()",
        "guard_sealed()",
        "class_of_action(text)",
    ):
        op.execute(f"REVOKE ALL ON FUNCTION holdfast.{function} FROM PUBLIC")
    for function, roles in (
        ("current_segment(text)", "holdfast_service, holdfast_disposer"),
        ("close_segment(text)", "holdfast_disposer"),
        ("seal_segment(bigint, bigint, bytea)", "holdfast_disposer"),
        ("dispose_segment(bigint, uuid)", "holdfast_disposer"),
        ("erase_event(uuid)", "holdfast_disposer"),
    ):
        op.execute(f"REVOKE ALL ON FUNCTION holdfast.{function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION holdfast.{function} TO {roles}")
    op.execute(f"GRANT SELECT ON holdfast.audit_segment, holdfast.audit_retention TO {READERS}")
    op.execute(
        "GRANT INSERT (id, class, period_days, quota, reason, defined_by) ON holdfast.audit_retention TO holdfast_service"
    )
    op.execute("GRANT INSERT (segment) ON holdfast.ledger_leaf TO holdfast_service")
    op.execute("GRANT SELECT ON holdfast.audit_event TO holdfast_service, holdfast_auditor")
    # Who disposes of events sees that they are there, and not what is in them.
    op.execute(
        "GRANT SELECT (id, recorded_at, xid, project, action, target_type, outcome, commitment, erased_at, segment)"
        " ON holdfast.audit_event TO holdfast_disposer"
    )
    op.execute(f"GRANT INSERT ({_INSERTED}, segment) ON holdfast.audit_event TO holdfast_service, holdfast_disposer")
    for table in _DISPOSER_READS:
        op.execute(f"GRANT SELECT ON holdfast.{table} TO holdfast_disposer")


def _quoted(values):
    return ", ".join(f"'{value}'" for value in values)


def _changed(*columns):
    return " OR ".join(f'NEW."{column}" IS DISTINCT FROM OLD."{column}"' for column in columns)


_CLASS_OF = f"""
    CREATE FUNCTION holdfast.class_of_action(action text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
        SELECT CASE {" ".join(f"WHEN action IN ({_quoted(actions)}) THEN '{one}'" for one, actions in CLASSES.items())}
        ELSE 'change' END
    $$
"""
_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'"
_FUNCTIONS = {
    "current": """
    CREATE FUNCTION holdfast.current_segment(of_class text) RETURNS bigint LANGUAGE sql STABLE AS $$
        SELECT segment FROM holdfast.audit_segment WHERE class = of_class AND closed_at IS NULL
    $$
    """,
    # ATTACH and not PARTITION OF: it lets who writes events go on.
    "open": f"""
    CREATE FUNCTION holdfast.open_segment(of_class text) RETURNS bigint {_DEFINER} AS $$
    DECLARE
        number bigint;
        part text;
    BEGIN
        INSERT INTO holdfast.audit_segment (class) VALUES (of_class) RETURNING segment INTO number;
        part := 'audit_event_' || number;
        EXECUTE format('CREATE TABLE holdfast.%I (LIKE holdfast.audit_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
        EXECUTE format('ALTER TABLE holdfast.audit_event ATTACH PARTITION holdfast.%I FOR VALUES IN (%s)', part, number);
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON holdfast.%I FOR EACH STATEMENT'
            ' EXECUTE FUNCTION holdfast.guard_table()', part || '_truncate_guard', part);
        RETURN number;
    END $$
    """,
    "close": f"""
    CREATE FUNCTION holdfast.close_segment(of_class text) RETURNS bigint {_DEFINER} AS $$
    DECLARE
        number bigint;
    BEGIN
        UPDATE holdfast.audit_segment SET closed_at = now() WHERE class = of_class AND closed_at IS NULL
            RETURNING segment INTO number;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no open segment of class %', of_class USING ERRCODE = 'HF001';
        END IF;
        IF NOT EXISTS (SELECT FROM holdfast.audit_event WHERE segment = number) THEN
            RAISE EXCEPTION 'segment % has no event, and stays open', number USING ERRCODE = 'HF002';
        END IF;
        PERFORM holdfast.open_segment(of_class);
        RETURN number;
    END $$
    """,
    # The lock waits for who still writes to the segment, and keeps others out until the trigger does.
    "seal": f"""
    CREATE FUNCTION holdfast.seal_segment(number bigint, expected bigint, its_root bytea) RETURNS SETOF holdfast.audit_segment
    {_DEFINER} AS $$
    DECLARE
        part text := 'audit_event_' || number;
        of_class text;
        bad uuid;
    BEGIN
        SELECT class INTO of_class FROM holdfast.audit_segment
            WHERE segment = number AND closed_at IS NOT NULL AND sealed_at IS NULL FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'segment % is not one that is closed and not sealed', number USING ERRCODE = 'HF002';
        END IF;
        EXECUTE format('LOCK TABLE holdfast.%I IN SHARE MODE', part);
        EXECUTE format('SELECT id FROM holdfast.%I e WHERE holdfast.class_of_action(action) <> $1 OR erased_at IS NULL AND ('
            'commitment IS DISTINCT FROM sha256(salt || convert_to(content, ''UTF8''))'
            ' OR content::jsonb -> ''target'' ->> ''id'' IS DISTINCT FROM target_id'
            ' OR content::jsonb -> ''target'' ->> ''type'' IS DISTINCT FROM target_type'
            ' OR content::jsonb ->> ''id'' IS DISTINCT FROM id::text'
            ' OR content::jsonb ->> ''action'' IS DISTINCT FROM action'
            ' OR content::jsonb ->> ''project'' IS DISTINCT FROM project'
            ' OR content::jsonb ->> ''initiator'' IS DISTINCT FROM initiator'
            ' OR content::jsonb ->> ''outcome'' IS DISTINCT FROM outcome) LIMIT 1', part) INTO bad USING of_class;
        IF bad IS NOT NULL THEN
            RAISE EXCEPTION 'event % of segment % is not as it was recorded', bad, number USING ERRCODE = 'HF007';
        END IF;
        EXECUTE format('WITH found AS MATERIALIZED (SELECT e.id, e.recorded_at, l.index FROM holdfast.%I e'
            ' LEFT JOIN holdfast.ledger_leaf l ON l.event_id = e.id AND l.segment = $1)'
            ' UPDATE holdfast.audit_segment s SET sealed_at = now(), root = $2, count = f.count, first_index = f.first,'
            ' last_index = f.last, oldest_at = f.oldest, newest_at = f.newest, indexes = f.indexes FROM ('
            '  SELECT count(*) AS count, count(index) AS placed, min(index) AS first, max(index) AS last,'
            '  min(recorded_at) AS oldest, max(recorded_at) AS newest, range_agg(int8range(index, index + 1)) AS indexes FROM found'
            ' ) f WHERE s.segment = $1 AND f.placed = f.count AND f.count = $3', part) USING number, its_root, expected;
        IF NOT EXISTS (SELECT FROM holdfast.audit_segment WHERE segment = number AND sealed_at IS NOT NULL) THEN
            RAISE EXCEPTION 'segment % has events that are not in the log yet', number USING ERRCODE = 'HF006';
        END IF;
        EXECUTE format('CREATE TRIGGER %I BEFORE INSERT ON holdfast.%I FOR EACH ROW EXECUTE FUNCTION holdfast.guard_sealed()',
            part || '_sealed_guard', part);
        RETURN QUERY SELECT * FROM holdfast.audit_segment WHERE segment = number;
    END $$
    """,
    "dispose": f"""
    CREATE FUNCTION holdfast.dispose_segment(number bigint, its_certificate uuid) RETURNS void {_DEFINER} AS $$
    BEGIN
        UPDATE holdfast.audit_segment SET disposed_at = now(), certificate = its_certificate WHERE segment = number;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no segment %', number USING ERRCODE = 'HF001';
        END IF;
        DELETE FROM holdfast.ledger_leaf WHERE index IN (
            SELECT generate_series(lower(run), upper(run) - 1)
            FROM holdfast.audit_segment s, unnest(s.indexes) AS run WHERE s.segment = number
        );
        EXECUTE format('DROP TABLE holdfast.%I', 'audit_event_' || number);
    END $$
    """,
    "erase": f"""
    CREATE FUNCTION holdfast.erase_event(event uuid) RETURNS void {_DEFINER} AS $$
    BEGIN
        UPDATE holdfast.audit_event SET content = NULL, salt = NULL, initiator = 'erased', target_id = 'erased', erased_at = now()
            WHERE id = event;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no audit event %', event USING ERRCODE = 'HF001';
        END IF;
    END $$
    """,
    "guard_sealed": """
    CREATE FUNCTION holdfast.guard_sealed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        RAISE EXCEPTION 'segment % is sealed and takes no event', NEW.segment USING ERRCODE = '40001';
    END $$
    """,
    "guard_leaf": """
    CREATE FUNCTION holdfast.guard_leaf() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            PERFORM FROM holdfast.audit_segment WHERE segment = OLD.segment AND disposed_at = now();
            IF FOUND THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001';
    END $$
    """,
    "guard_update_of_audit_event": f"""
    CREATE FUNCTION holdfast.guard_update_of_audit_event() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF OLD.erased_at IS NOT NULL THEN
            RAISE EXCEPTION 'audit event % is erased and does not change', OLD.id USING ERRCODE = 'HF002';
        END IF;
        IF {_changed("id", "recorded_at", "xid", "project", "action", "target_type", "outcome", "commitment", "segment")} THEN
            RAISE EXCEPTION 'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001';
        END IF;
        IF ({_changed("content", "salt", "initiator", "target_id", "erased_at")}) AND (
            NEW.erased_at IS DISTINCT FROM now() OR NEW.content IS NOT NULL OR NEW.salt IS NOT NULL
            OR NEW.initiator <> 'erased' OR NEW.target_id <> 'erased'
        ) OR NEW.erased_at IS NULL THEN
            RAISE EXCEPTION 'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001';
        END IF;
        IF holdfast.class_of_action(OLD.action) = 'disposal' THEN
            RAISE EXCEPTION 'audit event % says what has gone, and is never erased', OLD.id USING ERRCODE = 'HF001';
        END IF;
        IF NOT EXISTS (SELECT FROM holdfast.audit_event WHERE target_id = OLD.id::text AND action = 'audit_event.erased'
            AND target_type = 'audit_event' AND outcome = 'succeeded' AND xid = pg_current_xact_id()) THEN
            RAISE EXCEPTION 'audit event % is not erased without an event that says so', OLD.id USING ERRCODE = 'HF001';
        END IF;
        IF NOT EXISTS (SELECT FROM holdfast.ledger_leaf WHERE event_id = OLD.id
            AND index < (SELECT max(size) FROM holdfast.ledger_checkpoint)) THEN
            RAISE EXCEPTION 'audit event % is not in the log yet', OLD.id USING ERRCODE = 'HF006';
        END IF;
        RETURN NEW;
    END $$
    """,
    # What a segment holds is decided at its seal; whether it may go is decided here once more, whoever has planned it.
    "guard_update_of_audit_segment": f"""
    CREATE FUNCTION holdfast.guard_update_of_audit_segment() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        rule holdfast.audit_retention;
        younger bigint;
    BEGIN
        IF OLD.disposed_at IS NOT NULL THEN
            RAISE EXCEPTION 'segment % is disposed of and does not change', OLD.segment USING ERRCODE = 'HF002';
        END IF;
        IF {_changed("segment", "class", "opened_at")} OR OLD.closed_at IS NOT NULL AND ({_changed("closed_at")})
        OR OLD.sealed_at IS NOT NULL AND ({_changed(*SEALED)})
        OR OLD.sealed_at IS NULL AND ({_changed("disposed_at", "certificate")})
        OR OLD.closed_at IS NULL AND NEW.sealed_at IS NOT NULL
        OR OLD.closed_at IS NULL AND NEW.closed_at IS DISTINCT FROM now()
        OR OLD.sealed_at IS NULL AND NEW.sealed_at <> now() OR NEW.disposed_at <> now() THEN
            RAISE EXCEPTION 'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001';
        END IF;
        IF NEW.sealed_at IS NOT NULL AND NEW.last_index >= (SELECT COALESCE(max(size), 0) FROM holdfast.ledger_checkpoint) THEN
            RAISE EXCEPTION 'segment % has events that are not in the log yet', OLD.segment USING ERRCODE = 'HF006';
        END IF;
        IF NEW.disposed_at IS NULL THEN
            RETURN NEW;
        END IF;
        -- A rule that is on record: whoever only writes a row lets nothing go.
        SELECT * INTO rule FROM holdfast.audit_retention r WHERE class = OLD.class AND EXISTS (
            SELECT FROM holdfast.audit_event e WHERE e.target_id = r.class AND e.action = 'audit_retention.defined'
            AND e.outcome = 'succeeded' AND e.content::jsonb -> 'content' ->> 'rule' = r.id::text
        ) ORDER BY defined_at DESC, id DESC LIMIT 1;
        SELECT COALESCE(sum(count), 0) INTO younger FROM holdfast.audit_segment
            WHERE class = OLD.class AND segment > OLD.segment AND sealed_at IS NOT NULL AND disposed_at IS NULL;
        IF NOT COALESCE(OLD.newest_at < now() - make_interval(days => rule.period_days), false)
        AND NOT COALESCE(younger >= rule.quota, false) THEN
            RAISE EXCEPTION 'segment % is kept: no rule lets it go', OLD.segment USING ERRCODE = 'HF006';
        END IF;
        -- Of a bundle that is not full yet all entries are read once more.
        IF OLD.last_index >= (SELECT max(size) / 256 * 256 FROM holdfast.ledger_checkpoint) THEN
            RAISE EXCEPTION 'segment % is kept: the log still needs its last events', OLD.segment USING ERRCODE = 'HF006';
        END IF;
        IF EXISTS (SELECT FROM holdfast.export_sink WHERE cursor <= OLD.last_index) THEN
            RAISE EXCEPTION 'segment % is kept: a sink has not got all of its events', OLD.segment USING ERRCODE = 'HF006';
        END IF;
        IF NOT EXISTS (SELECT FROM holdfast.audit_event WHERE id = NEW.certificate AND xid = pg_current_xact_id()
            AND action = 'audit_segment.disposed' AND target_id = OLD.segment::text
            AND content::jsonb -> 'content' ->> 'root' = 'sha256:' || encode(OLD.root, 'hex')
            AND content::jsonb -> 'content' ->> 'count' = OLD.count::text) THEN
            RAISE EXCEPTION 'segment % is kept: no event certifies its disposal', OLD.segment USING ERRCODE = 'HF006';
        END IF;
        RETURN NEW;
    END $$
    """,
}
