"""Legal holds: what each covers, how that was reached, and how one is released.

Whoever writes what a hold may cover, or lets go of it, first takes the shared lock of its Project; whoever places a hold takes the same
lock for itself alone. So either the hold sees the row, or the writer sees the hold. A snapshot that is older than the lock would not,
so that nothing is let go under another isolation than READ COMMITTED. Error codes: HF008 something is held, HF009 a hold is not released.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"

TABLES = ("legal_hold_object", "legal_hold_release", "legal_hold")
TYPES = ("artifact", "dataset_version", "model_version", "run")
QUERY = ("query_kind", "query_label", "query_name", "query_after", "query_before")
UPDATED = {
    "legal_hold": ("released_at",),
    "legal_hold_release": ("decision", "decided_by", "decided_at", "decision_reason"),
    "legal_hold_object": ("lock_state", "read_back_at"),
}
INSERTED = {
    "legal_hold": (
        "id",
        "matter",
        "custodians",
        "reason",
        "is_expanded",
        "query_type",
        "query_project_id",
        *QUERY,
        "cooling_off_s",
        "placed_by",
    ),
    "legal_hold_release": ("id", "hold_id", "requested_by", "reason"),
}
# What is gone where a row of the table goes, by the column that names it.
HELD = {
    "artifact": ("artifact", "id"),
    "dataset_file": ("dataset_version", "dataset_version_id"),
    "dataset_version": ("dataset_version", "id"),
    "model_version": ("model_version", "id"),
    "model_version_artifact": ("model_version", "model_version_id"),
    "run": ("run", "id"),
    "run_input": ("run", "run_id"),
}
LET_GO = ("artifact", "dataset_version")
LATER = ("artifact", "dataset_version", "model_version_artifact", "run_input")
READERS = "holdfast_service, holdfast_disposer, holdfast_reader, holdfast_auditor"
_PATH = "SET search_path = pg_catalog, pg_temp"
# By indexes alone: a plan that was made when the tables were small would read all of them when they are large.
_BY_INDEX = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"


def upgrade():
    _create_tables()
    for function in _FUNCTIONS.values():
        op.execute(function)
    for table in TABLES:
        _trigger(table, "guard", "BEFORE DELETE", "ROW", "guard_row()")
        _trigger(table, "truncate_guard", "BEFORE TRUNCATE", "STATEMENT", "guard_table()")
        op.execute(_update_guard(table))
        _trigger(table, "update_guard", "BEFORE UPDATE", "ROW", f"guard_update_of_{table}()")
    for table, (kind, column) in HELD.items():
        _trigger(table, "held_guard", "BEFORE DELETE", "ROW", f"guard_held('{kind}', '{column}')")
    for table in LET_GO:
        going = "ROW WHEN (NEW.state NOT IN ('available', 'deprecated'))"
        _trigger(table, "hold_guard", "BEFORE UPDATE", going, f"guard_held('{table}', 'id')")
    op.execute(
        "CREATE TRIGGER legal_hold_release_birth_guard BEFORE INSERT ON holdfast.legal_hold_release"
        " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_birth_of_release()"
    )
    for table in LATER:
        statement = "REFERENCING NEW TABLE AS added FOR EACH STATEMENT"
        op.execute(
            f"CREATE TRIGGER {table}_covered_guard AFTER INSERT ON holdfast.{table} {statement}"
            f" EXECUTE FUNCTION holdfast.cover_{table}()"
        )
    _grant()


def downgrade():
    op.execute(
        "DO $$ BEGIN IF EXISTS (SELECT FROM holdfast.legal_hold WHERE released_at IS NULL) THEN"
        " RAISE EXCEPTION 'a legal hold is not released, of which no earlier revision knows: it stays at 0009'"
        " USING ERRCODE = 'HF008'; END IF; END $$"
    )
    for table in LATER:
        op.execute(f"DROP TRIGGER {table}_covered_guard ON holdfast.{table}")
        op.execute(f"DROP FUNCTION holdfast.cover_{table}()")
    for table in LET_GO:
        op.execute(f"DROP TRIGGER {table}_hold_guard ON holdfast.{table}")
    for table in HELD:
        op.execute(f"DROP TRIGGER {table}_held_guard ON holdfast.{table}")
    for function in (
        "guard_held()",
        "place_hold(uuid, text[], uuid[], bigint)",
        "extend_hold(uuid, text, uuid[], text, text, uuid[], bigint)",
        "say_covered(uuid, text, uuid[], bigint)",
        "upstream_of(text, uuid)",
        "downstream_of(text, uuid)",
        "lock_holds(uuid[], boolean)",
    ):
        op.execute(f"DROP FUNCTION holdfast.{function}")
    for table in TABLES:
        op.drop_table(table, schema="holdfast")
        op.execute(f"DROP FUNCTION holdfast.guard_update_of_{table}()")
    op.execute("DROP FUNCTION holdfast.guard_birth_of_release()")
    op.execute("DROP FUNCTION holdfast.matches(text, text)")


def _create_tables():
    op.create_table(
        "legal_hold",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("matter", sa.Text(), nullable=False),
        sa.Column("custodians", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("is_expanded", sa.Boolean(), nullable=False),
        sa.Column("query_type", sa.Text()),
        sa.Column("query_project_id", sa.Uuid()),
        sa.Column("query_kind", sa.Text()),
        sa.Column("query_label", sa.Text()),
        sa.Column("query_name", sa.Text()),
        sa.Column("query_after", sa.DateTime(timezone=True)),
        sa.Column("query_before", sa.DateTime(timezone=True)),
        sa.Column("cooling_off_s", sa.Integer(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("matter <> ''", name=op.f("legal_hold_matter_ck")),
        sa.CheckConstraint("reason <> ''", name=op.f("legal_hold_reason_ck")),
        sa.CheckConstraint("query_type IN ('artifact', 'dataset_version')", name=op.f("legal_hold_query_type_ck")),
        sa.CheckConstraint(
            "(query_type IS NULL) = (query_project_id IS NULL)"
            f" AND (query_type IS NOT NULL OR num_nonnulls({', '.join(QUERY)}) = 0)",
            name=op.f("legal_hold_query_ck"),
        ),
        sa.CheckConstraint("query_after < query_before", name=op.f("legal_hold_window_ck")),
        # So that somebody sees the request before it is granted; the setting may ask for more.
        sa.CheckConstraint("cooling_off_s BETWEEN 3600 AND 31536000", name=op.f("legal_hold_cooling_off_s_ck")),
        sa.ForeignKeyConstraint(
            ["query_project_id"], ["holdfast.project.id"], name=op.f("legal_hold_query_project_id_fk")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("legal_hold_pk")),
        sa.UniqueConstraint("number", name=op.f("legal_hold_number_uq")),
        schema="holdfast",
    )
    op.create_index(
        "legal_hold_active_ix",
        "legal_hold",
        ["query_project_id"],
        schema="holdfast",
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_table(
        "legal_hold_release",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("decision", sa.Text()),
        sa.Column("decided_by", sa.Text()),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decision_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint("reason <> ''", name=op.f("legal_hold_release_reason_ck")),
        sa.CheckConstraint("decision IN ('approve', 'reject')", name=op.f("legal_hold_release_decision_ck")),
        sa.CheckConstraint(
            "num_nulls(decision, decided_by, decided_at) IN (0, 3)", name=op.f("legal_hold_release_decided_ck")
        ),
        sa.CheckConstraint(
            "requested_by LIKE 'user:_%' AND decided_by LIKE 'user:_%'", name=op.f("legal_hold_release_people_ck")
        ),
        sa.CheckConstraint(
            "decision <> 'approve' OR decided_by <> requested_by", name=op.f("legal_hold_release_two_people_ck")
        ),
        sa.ForeignKeyConstraint(["hold_id"], ["holdfast.legal_hold.id"], name=op.f("legal_hold_release_hold_id_fk")),
        sa.PrimaryKeyConstraint("id", name=op.f("legal_hold_release_pk")),
        schema="holdfast",
    )
    op.create_index("legal_hold_release_hold_ix", "legal_hold_release", ["hold_id", "id"], schema="holdfast")
    op.create_index(
        "legal_hold_release_open_ix",
        "legal_hold_release",
        ["hold_id"],
        unique=True,
        schema="holdfast",
        postgresql_where=sa.text("decision IS NULL"),
    )
    op.create_table(
        "legal_hold_object",
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("reached_by", sa.Text(), nullable=False),
        sa.Column("from_type", sa.Text()),
        sa.Column("from_id", sa.Uuid()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lock_state", sa.Text()),
        sa.Column("read_back_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(f"object_type IN ({_quoted(TYPES)})", name=op.f("legal_hold_object_object_type_ck")),
        sa.CheckConstraint(
            "reached_by IN ('scope', 'downstream', 'upstream')", name=op.f("legal_hold_object_reached_by_ck")
        ),
        sa.CheckConstraint(
            "(reached_by = 'scope') = (from_id IS NULL) AND (from_type IS NULL) = (from_id IS NULL)",
            name=op.f("legal_hold_object_from_ck"),
        ),
        sa.CheckConstraint(
            "lock_state IN ('wanted', 'locked', 'released')", name=op.f("legal_hold_object_lock_state_ck")
        ),
        sa.CheckConstraint(
            "(object_type = 'artifact') = (lock_state IS NOT NULL)", name=op.f("legal_hold_object_lock_ck")
        ),
        sa.ForeignKeyConstraint(["hold_id"], ["holdfast.legal_hold.id"], name=op.f("legal_hold_object_hold_id_fk")),
        sa.PrimaryKeyConstraint("hold_id", "object_id", name=op.f("legal_hold_object_pk")),
        schema="holdfast",
    )
    op.create_index("legal_hold_object_object_ix", "legal_hold_object", ["object_id"], schema="holdfast")
    op.create_index(
        "legal_hold_object_wanted_ix",
        "legal_hold_object",
        ["hold_id", "object_id"],
        schema="holdfast",
        postgresql_where=sa.text("lock_state = 'wanted'"),
    )


def _trigger(table, name, when, level, function):
    op.execute(
        f"CREATE TRIGGER {table}_{name} {when} ON holdfast.{table} FOR EACH {level} EXECUTE FUNCTION holdfast.{function}"
    )


def _grant():
    for function in (
        *(f"guard_update_of_{table}()" for table in TABLES),
        *(f"cover_{table}()" for table in LATER),
        "guard_held()",
        "guard_birth_of_release()",
        "extend_hold(uuid, text, uuid[], text, text, uuid[], bigint)",
        "say_covered(uuid, text, uuid[], bigint)",
        "place_hold(uuid, text[], uuid[], bigint)",
        "upstream_of(text, uuid)",
        "downstream_of(text, uuid)",
        "lock_holds(uuid[], boolean)",
        "matches(text, text)",
    ):
        op.execute(f"REVOKE ALL ON FUNCTION holdfast.{function} FROM PUBLIC")
    for function in (
        "place_hold(uuid, text[], uuid[], bigint)",
        "upstream_of(text, uuid)",
        "downstream_of(text, uuid)",
        "matches(text, text)",
    ):
        op.execute(f"GRANT EXECUTE ON FUNCTION holdfast.{function} TO holdfast_service")
    for table in TABLES:
        op.execute(f"GRANT SELECT ON holdfast.{table} TO {READERS}")
        op.execute(f"GRANT UPDATE ({', '.join(UPDATED[table])}) ON holdfast.{table} TO holdfast_service")
    for table, columns in INSERTED.items():
        op.execute(f"GRANT INSERT ({', '.join(columns)}) ON holdfast.{table} TO holdfast_service")


def _quoted(values):
    return ", ".join(f"'{value}'" for value in values)


_RULES = {
    "legal_hold": (
        (
            "OLD.released_at IS NOT NULL",
            "'% % has ended and does not change', TG_TABLE_NAME, OLD.id USING ERRCODE = 'HF002'",
        ),
        (
            "NEW.released_at IS DISTINCT FROM OLD.released_at AND NEW.released_at IS DISTINCT FROM now()",
            "'% % is given a time that is not now', TG_TABLE_NAME, OLD.id USING ERRCODE = 'HF001'",
        ),
        (
            (
                "NEW.released_at IS NOT NULL AND NOT EXISTS (SELECT FROM holdfast.legal_hold_release"
                " WHERE hold_id = OLD.id AND decision = 'approve' AND decided_at = now())"
            ),
            "'legal hold LH-% has no release that was just approved', OLD.number USING ERRCODE = 'HF009'",
        ),
    ),
    "legal_hold_release": (
        (
            "OLD.decision IS NOT NULL",
            "'% % has ended and does not change', TG_TABLE_NAME, OLD.id USING ERRCODE = 'HF002'",
        ),
        (
            "NEW.decided_at IS DISTINCT FROM OLD.decided_at AND NEW.decided_at IS DISTINCT FROM now()",
            "'% % is given a time that is not now', TG_TABLE_NAME, OLD.id USING ERRCODE = 'HF001'",
        ),
        (
            (
                "NEW.decision = 'approve' AND now() < OLD.requested_at"
                " + (SELECT make_interval(secs => cooling_off_s) FROM holdfast.legal_hold WHERE id = OLD.hold_id)"
            ),
            "'release % was asked for too short a while ago to be approved', OLD.id USING ERRCODE = 'HF009'",
        ),
    ),
    "legal_hold_object": (
        (
            "NEW.read_back_at IS DISTINCT FROM OLD.read_back_at AND NEW.read_back_at IS DISTINCT FROM now()",
            "'% % is given a time that is not now', TG_TABLE_NAME, OLD.object_id USING ERRCODE = 'HF001'",
        ),
        (
            "NEW.lock_state <> OLD.lock_state AND (OLD.lock_state = 'released' OR NEW.read_back_at IS DISTINCT FROM now())",
            "'lock of % is % and cannot become %', OLD.object_id, OLD.lock_state, NEW.lock_state USING ERRCODE = 'HF005'",
        ),
        (
            (
                "NEW.lock_state = 'released' AND NOT EXISTS (SELECT FROM holdfast.legal_hold"
                " WHERE id = OLD.hold_id AND released_at IS NOT NULL)"
            ),
            "'the lock of % stays while its legal hold does', OLD.object_id USING ERRCODE = 'HF009'",
        ),
    ),
}


def _update_guard(table):
    columns = op.get_bind().scalars(
        sa.text(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum"
        ),
        {"table": f"holdfast.{table}"},
    )
    frozen = " OR ".join(
        f'NEW."{column}" IS DISTINCT FROM OLD."{column}"' for column in columns if column not in UPDATED[table]
    )
    unchanging = (frozen, "'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001'")
    first, *others = _RULES[table]
    rules = (first, unchanging, *others)
    body = " ".join(f"IF {broken} THEN RAISE EXCEPTION {refusal}; END IF;" for broken, refusal in rules)
    return (
        f"CREATE FUNCTION holdfast.guard_update_of_{table}() RETURNS trigger LANGUAGE plpgsql"
        f" {_PATH} AS $$ BEGIN {body} RETURN NEW; END $$"
    )


def _matches(table, hold, row):
    """Return the condition under which a row is one that a hold's query means; of a DatasetVersion, `d` is its Dataset."""
    kind, label, name = {
        "artifact": (f"{row}.kind", f"{row}.retention_class", f"{row}.name"),
        "dataset_version": (f"{row}.source_type", "d.name", "d.name"),
    }[table]
    return (
        f"{hold}.query_type = '{table}' AND {row}.project_id = {hold}.query_project_id AND {row}.state <> 'purged'"
        f" AND ({hold}.query_kind IS NULL OR {kind} = {hold}.query_kind)"
        f" AND ({hold}.query_label IS NULL OR {label} = {hold}.query_label)"
        f" AND ({hold}.query_name IS NULL OR holdfast.matches({name}, {hold}.query_name))"
        f" AND ({hold}.query_after IS NULL OR {row}.created_at >= {hold}.query_after)"
        f" AND ({hold}.query_before IS NULL OR {row}.created_at < {hold}.query_before)"
    )


def _cover(table, *steps):
    """Return the function that lets active holds cover what is written: each step finds (hold, ids, how reached, from where)."""
    body = "".join(
        f"""
        FOR found IN {query} LOOP
            PERFORM holdfast.say_covered(found.hold_id, '{kind}', found.ids, holdfast.extend_hold(
                found.hold_id, '{kind}', found.ids, found.reached_by, {origin}, found.origins, NULL));
        END LOOP;"""
        for kind, origin, query in steps
    )
    return f"""
    CREATE FUNCTION holdfast.cover_{table}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {_PATH} {_BY_INDEX} AS $$
    DECLARE
        found record;
    BEGIN
        PERFORM holdfast.lock_holds(ARRAY(SELECT DISTINCT project_id FROM added), false);
        IF NOT EXISTS (SELECT FROM holdfast.legal_hold WHERE released_at IS NULL) THEN
            RETURN NULL;
        END IF;{body}
        RETURN NULL;
    END $$
    """


def _of_query(table):
    dataset = " JOIN holdfast.dataset d ON d.id = a.dataset_id" if table == "dataset_version" else ""
    return (
        table,
        "NULL",
        (
            "SELECT h.id AS hold_id, array_agg(a.id ORDER BY a.id) AS ids, 'scope' AS reached_by, NULL::uuid[] AS origins"
            f" FROM added a JOIN holdfast.legal_hold h ON h.query_project_id = a.project_id{dataset}"
            f" WHERE h.released_at IS NULL AND {_matches(table, 'h', 'a')} GROUP BY h.id"
        ),
    )


def _of_lineage(kind, origin, column, reached, *, whom):
    """Return the step for what a row of `added` binds to something that is held; only a Run is held whole, however it was reached."""
    followed = "" if kind == "artifact" else " AND o.reached_by <> 'upstream'"
    return (
        kind,
        f"'{origin}'",
        (
            "SELECT hold_id, array_agg(id) AS ids, reached_by, array_agg(origin) AS origins FROM ("
            f"SELECT DISTINCT ON (o.hold_id, a.{whom}) o.hold_id, a.{whom} AS id, a.{column} AS origin, {reached} AS reached_by"
            f" FROM added a JOIN holdfast.legal_hold_object o ON o.object_id = a.{column}"
            " JOIN holdfast.legal_hold h ON h.id = o.hold_id WHERE h.released_at IS NULL AND h.is_expanded"
            f" {followed}"
            f" ORDER BY o.hold_id, a.{whom}, a.{column}) bound GROUP BY hold_id, reached_by"
        ),
    )


_INHERITED = "CASE o.reached_by WHEN 'upstream' THEN 'upstream' ELSE 'downstream' END"
_FUNCTIONS = {
    # In the order of the Projects, so that nobody waits for somebody who waits for him.
    "lock": f"""
    CREATE FUNCTION holdfast.lock_holds(projects uuid[], alone boolean) RETURNS void LANGUAGE plpgsql {_PATH} AS $$
    DECLARE
        place uuid;
    BEGIN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'under isolation % a legal hold might not be seen', current_setting('transaction_isolation')
                USING ERRCODE = 'HF008';
        END IF;
        FOREACH place IN ARRAY ARRAY(SELECT DISTINCT one FROM unnest(projects) AS one ORDER BY one) LOOP
            IF alone THEN
                PERFORM pg_advisory_xact_lock(hashtextextended('legal_hold/' || place, 0));
            ELSE
                PERFORM pg_advisory_xact_lock_shared(hashtextextended('legal_hold/' || place, 0));
            END IF;
        END LOOP;
    END $$
    """,
    "matches": r"""
    CREATE FUNCTION holdfast.matches(name text, pattern text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
        SELECT name LIKE replace(replace(regexp_replace(pattern, '([\\%_])', '\\\1', 'g'), '*', '%'), '?', '_')
    $$
    """,
    "downstream": """
    CREATE FUNCTION holdfast.downstream_of(its_type text, its uuid) RETURNS TABLE (object_type text, object_id uuid)
    LANGUAGE sql STABLE AS $$
        SELECT 'run', i.run_id FROM holdfast.run_input i WHERE its_type = 'dataset_version' AND i.dataset_version_id = its
        UNION ALL SELECT 'run', i.run_id FROM holdfast.run_input i WHERE its_type = 'artifact' AND i.artifact_id = its
        UNION ALL SELECT 'artifact', a.id FROM holdfast.artifact a WHERE its_type = 'run' AND a.run_id = its
        UNION ALL SELECT 'model_version', m.model_version_id FROM holdfast.model_version_artifact m
            WHERE its_type = 'artifact' AND m.artifact_id = its
    $$
    """,
    # A Run is held whole: what it read, and all that it made.
    "upstream": """
    CREATE FUNCTION holdfast.upstream_of(its_type text, its uuid) RETURNS TABLE (object_type text, object_id uuid)
    LANGUAGE sql STABLE AS $$
        SELECT 'artifact', m.artifact_id FROM holdfast.model_version_artifact m
            WHERE its_type = 'model_version' AND m.model_version_id = its
        UNION ALL SELECT 'run', a.run_id FROM holdfast.artifact a WHERE its_type = 'artifact' AND a.id = its
        UNION ALL SELECT CASE WHEN i.artifact_id IS NULL THEN 'dataset_version' ELSE 'artifact' END,
            COALESCE(i.artifact_id, i.dataset_version_id) FROM holdfast.run_input i WHERE its_type = 'run' AND i.run_id = its
        UNION ALL SELECT 'artifact', a.id FROM holdfast.artifact a WHERE its_type = 'run' AND a.run_id = its
    $$
    """,
    # First all that came of it, then all that went into any of that: what else came of the latter is not held.
    "extend": f"""
    CREATE FUNCTION holdfast.extend_hold(
        hold uuid, kind text, ids uuid[], reached text, from_kind text, from_ids uuid[], most bigint
    ) RETURNS bigint LANGUAGE plpgsql {_PATH} {_BY_INDEX} AS $$
    DECLARE
        expanded boolean;
        way text := 'downstream';
        types text[];
        waves text[] := '{{}}';
        covered uuid[] := '{{}}';
        count bigint := 0;
    BEGIN
        SELECT is_expanded INTO expanded FROM holdfast.legal_hold WHERE id = hold AND released_at IS NULL;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no legal hold % that is not released', hold USING ERRCODE = 'HF002';
        END IF;
        WITH added AS (
            INSERT INTO holdfast.legal_hold_object (hold_id, object_type, object_id, reached_by, from_type, from_id, lock_state)
            SELECT hold, kind, one.id, reached, CASE WHEN one.origin IS NOT NULL THEN from_kind END, one.origin,
                CASE kind WHEN 'artifact' THEN 'wanted' END
            FROM unnest(ids, from_ids) AS one (id, origin) ON CONFLICT DO NOTHING RETURNING object_id
        ) SELECT array_agg(object_id), array_agg(kind) INTO ids, types FROM added;
        IF reached = 'upstream' THEN
            way := 'upstream';
        END IF;
        LOOP
            IF ids IS NOT NULL THEN
                count := count + cardinality(ids);
                IF count > most THEN
                    RAISE EXCEPTION 'the legal hold would cover more than % objects', most USING ERRCODE = 'HF010';
                END IF;
                covered := covered || ids;
                waves := waves || types;
            ELSIF way = 'downstream' THEN
                way := 'upstream';
                ids := covered;
                types := waves;
            END IF;
            EXIT WHEN ids IS NULL OR cardinality(ids) = 0 OR NOT expanded;
            WITH next AS (
                SELECT DISTINCT ON (n.object_id) n.object_type, n.object_id, wave.kind, wave.id
                FROM unnest(types, ids) AS wave (kind, id) CROSS JOIN LATERAL (
                    SELECT * FROM holdfast.downstream_of(wave.kind, wave.id) WHERE way = 'downstream'
                    UNION ALL SELECT * FROM holdfast.upstream_of(wave.kind, wave.id) WHERE way = 'upstream'
                ) n
            ), added AS (
                INSERT INTO holdfast.legal_hold_object (hold_id, object_type, object_id, reached_by, from_type, from_id, lock_state)
                SELECT hold, object_type, object_id, way, next.kind, next.id, CASE object_type WHEN 'artifact' THEN 'wanted' END
                FROM next ON CONFLICT DO NOTHING RETURNING object_type, object_id
            ) SELECT array_agg(object_id), array_agg(object_type) INTO ids, types FROM added;
        END LOOP;
        RETURN count;
    END $$
    """,
    # The service makes an event of it, in the same transaction.
    "say": f"""
    CREATE FUNCTION holdfast.say_covered(hold uuid, kind text, ids uuid[], count bigint) RETURNS void LANGUAGE plpgsql {_PATH} AS $$
    BEGIN
        IF count > 0 THEN
            RAISE NOTICE 'legal hold % covers what was just written', hold USING ERRCODE = 'HF100', DETAIL = jsonb_build_object(
                'hold', hold, 'number', (SELECT number FROM holdfast.legal_hold WHERE id = hold), 'count', count,
                'type', kind, 'objects', to_jsonb(ids[1:100]))::text;
        END IF;
    END $$
    """,
    "place": f"""
    CREATE FUNCTION holdfast.place_hold(hold uuid, types text[], ids uuid[], most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER {_PATH} AS $$
    DECLARE
        placed holdfast.legal_hold;
        seed record;
        missing text;
        count bigint := 0;
    BEGIN
        SELECT * INTO placed FROM holdfast.legal_hold WHERE id = hold;
        IF placed.created_at IS DISTINCT FROM now() THEN
            RAISE EXCEPTION 'legal hold % stands and takes no other scope', hold USING ERRCODE = 'HF001';
        END IF;
        PERFORM holdfast.lock_holds(placed.query_project_id || ARRAY(
            SELECT project_id FROM unnest(types, ids) AS one (kind, id) CROSS JOIN LATERAL (
                SELECT project_id FROM holdfast.artifact WHERE one.kind = 'artifact' AND artifact.id = one.id
                UNION ALL SELECT project_id FROM holdfast.dataset_version WHERE one.kind = 'dataset_version' AND dataset_version.id = one.id
                UNION ALL SELECT project_id FROM holdfast.model_version WHERE one.kind = 'model_version' AND model_version.id = one.id
                UNION ALL SELECT project_id FROM holdfast.run WHERE one.kind = 'run' AND run.id = one.id
            ) found
        ), true);
        -- What stands there now, after whoever wrote at the same time.
        SELECT format('%s %s', one.kind, one.id) INTO missing FROM unnest(types, ids) AS one (kind, id) WHERE NOT (
            one.kind = 'artifact' AND EXISTS (SELECT FROM holdfast.artifact WHERE artifact.id = one.id AND state <> 'purged')
            OR one.kind = 'dataset_version' AND EXISTS (SELECT FROM holdfast.dataset_version v WHERE v.id = one.id AND state <> 'purged')
            OR one.kind = 'model_version' AND EXISTS (SELECT FROM holdfast.model_version v WHERE v.id = one.id)
            OR one.kind = 'run' AND EXISTS (SELECT FROM holdfast.run WHERE run.id = one.id)
        ) LIMIT 1;
        IF missing IS NOT NULL THEN
            RAISE EXCEPTION 'there is no % to hold', missing USING ERRCODE = 'HF011';
        END IF;
        FOR seed IN SELECT one.kind, array_agg(DISTINCT one.id) AS ids FROM unnest(types, ids) AS one (kind, id) GROUP BY one.kind
            UNION ALL SELECT 'artifact', array_agg(a.id) FROM holdfast.artifact a
                WHERE {_matches("artifact", "placed", "a")}
            UNION ALL SELECT 'dataset_version', array_agg(v.id)
                FROM holdfast.dataset_version v JOIN holdfast.dataset d ON d.id = v.dataset_id
                WHERE {_matches("dataset_version", "placed", "v")}
        LOOP
            CONTINUE WHEN seed.ids IS NULL;
            count := count + holdfast.extend_hold(hold, seed.kind, seed.ids, 'scope', NULL, NULL, most - count);
        END LOOP;
        IF count = 0 THEN
            RAISE EXCEPTION 'a legal hold on nothing' USING ERRCODE = 'HF011';
        END IF;
        RETURN count;
    END $$
    """,
    # It is asked for now, and decided on later: else it would have cooled off before anybody saw it.
    "birth": f"""
    CREATE FUNCTION holdfast.guard_birth_of_release() RETURNS trigger LANGUAGE plpgsql {_PATH} AS $$
    BEGIN
        IF NEW.decision IS NOT NULL OR NEW.requested_at NOT BETWEEN now() AND clock_timestamp() THEN
            RAISE EXCEPTION 'a release is asked for now, and decided on later' USING ERRCODE = 'HF009';
        END IF;
        RETURN NEW;
    END $$
    """,
    "held": f"""
    CREATE FUNCTION holdfast.guard_held() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {_PATH} AS $$
    DECLARE
        its uuid := (to_jsonb(OLD) ->> TG_ARGV[1])::uuid;
        found_number bigint;
        found_matter text;
    BEGIN
        PERFORM holdfast.lock_holds(ARRAY[OLD.project_id], false);
        SELECT h.number, h.matter INTO found_number, found_matter FROM holdfast.legal_hold_object o
            JOIN holdfast.legal_hold h ON h.id = o.hold_id
            WHERE o.object_id = its AND h.released_at IS NULL ORDER BY h.number LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% % is under legal hold LH-% (matter %)', TG_ARGV[0], its, found_number, found_matter
                USING ERRCODE = 'HF008';
        END IF;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END $$
    """,
    "cover_artifact": _cover(
        "artifact", _of_query("artifact"), _of_lineage("artifact", "run", "run_id", _INHERITED, whom="id")
    ),
    "cover_dataset_version": _cover("dataset_version", _of_query("dataset_version")),
    "cover_run_input": _cover(
        "run_input",
        _of_lineage("run", "dataset_version", "dataset_version_id", "'downstream'", whom="run_id"),
        _of_lineage("run", "artifact", "artifact_id", "'downstream'", whom="run_id"),
    ),
    "cover_model_version_artifact": _cover(
        "model_version_artifact",
        _of_lineage("model_version", "artifact", "artifact_id", "'downstream'", whom="model_version_id"),
    ),
}
