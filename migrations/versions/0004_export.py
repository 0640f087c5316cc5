"""Export: how far each sink has come, and what one has refused for good."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

CHANGES = {
    "export_sink": ("cursor", "leaf_hash", "delivered_at", "error", "failing_since", "paused_at"),
    "export_dead_letter": ("replayed_at",),
}
INSERTED = {
    "export_sink": ("name", "first", "cursor"),
    "export_dead_letter": ("id", "sink", "first", "last", "reason"),
}


def _moment(name, **more):
    return sa.Column(name, sa.DateTime(timezone=True), **more)


def upgrade():
    op.create_table(
        "export_sink",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary()),
        _moment("delivered_at"),
        sa.Column("error", sa.Text(), server_default=sa.text("''"), nullable=False),
        _moment("failing_since"),
        _moment("paused_at"),
        _moment("created_at", server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("first >= 0", name=op.f("export_sink_first_ck")),
        sa.CheckConstraint("cursor >= first", name=op.f("export_sink_cursor_ck")),
        sa.CheckConstraint("(leaf_hash IS NULL) = (cursor = first)", name=op.f("export_sink_leaf_hash_given_ck")),
        sa.CheckConstraint("octet_length(leaf_hash) = 32", name=op.f("export_sink_leaf_hash_ck")),
        sa.PrimaryKeyConstraint("name", name=op.f("export_sink_pk")),
        schema="holdfast",
    )
    op.create_table(
        "export_dead_letter",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _moment("created_at", server_default=sa.text("now()"), nullable=False),
        _moment("replayed_at"),
        sa.CheckConstraint("0 <= first AND first <= last", name=op.f("export_dead_letter_range_ck")),
        sa.PrimaryKeyConstraint("id", name=op.f("export_dead_letter_pk")),
        schema="holdfast",
    )
    op.create_index("export_dead_letter_sink_ix", "export_dead_letter", ["sink", "first"], schema="holdfast")
    for table, changes in CHANGES.items():
        op.execute(_GUARDS[table])
        for name, event, level, function in (
            ("guard", "DELETE", "ROW", "guard_row"),
            ("truncate_guard", "TRUNCATE", "STATEMENT", "guard_table"),
            ("update_guard", "UPDATE", "ROW", f"guard_update_of_{table}"),
        ):
            op.execute(
                f"CREATE TRIGGER {table}_{name} BEFORE {event} ON holdfast.{table}"
                f" FOR EACH {level} EXECUTE FUNCTION holdfast.{function}()"
            )
        op.execute(f"REVOKE ALL ON FUNCTION holdfast.guard_update_of_{table}() FROM PUBLIC")
        op.execute(f"GRANT SELECT ON holdfast.{table} TO holdfast_service, holdfast_reader, holdfast_auditor")
        op.execute(f"GRANT INSERT ({', '.join(INSERTED[table])}) ON holdfast.{table} TO holdfast_service")
        op.execute(f"GRANT UPDATE ({', '.join(changes)}) ON holdfast.{table} TO holdfast_service")


def downgrade():
    for table in CHANGES:
        op.drop_table(table, schema="holdfast")
        op.execute(f"DROP FUNCTION holdfast.guard_update_of_{table}()")


_GUARDS = {
    # SECURITY DEFINER, so that who moves a cursor need not be allowed to read the ledger's head.
    "export_sink": """
    CREATE FUNCTION holdfast.guard_update_of_export_sink() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF NEW."name" IS DISTINCT FROM OLD."name" OR NEW."first" IS DISTINCT FROM OLD."first"
        OR NEW."created_at" IS DISTINCT FROM OLD."created_at" THEN
            RAISE EXCEPTION 'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001';
        END IF;
        IF NEW.cursor < OLD.cursor THEN
            RAISE EXCEPTION 'the cursor of sink % never goes back: % to % refused', OLD.name, OLD.cursor, NEW.cursor
                USING ERRCODE = 'HF001';
        END IF;
        IF NEW.cursor > OLD.cursor AND NEW.cursor > (SELECT size FROM holdfast.ledger_head) THEN
            RAISE EXCEPTION 'the cursor of sink % is never beyond the log: % refused', OLD.name, NEW.cursor
                USING ERRCODE = 'HF001';
        END IF;
        RETURN NEW;
    END $$
    """,
    "export_dead_letter": """
    CREATE FUNCTION holdfast.guard_update_of_export_dead_letter() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF OLD.replayed_at IS NOT NULL THEN
            RAISE EXCEPTION '% % has ended and does not change', TG_TABLE_NAME, OLD.id USING ERRCODE = 'HF002';
        END IF;
        IF NEW."id" IS DISTINCT FROM OLD."id" OR NEW."sink" IS DISTINCT FROM OLD."sink"
        OR NEW."first" IS DISTINCT FROM OLD."first" OR NEW."last" IS DISTINCT FROM OLD."last"
        OR NEW."reason" IS DISTINCT FROM OLD."reason" OR NEW."created_at" IS DISTINCT FROM OLD."created_at" THEN
            RAISE EXCEPTION 'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001';
        END IF;
        IF NEW.replayed_at IS DISTINCT FROM OLD.replayed_at AND NEW.replayed_at IS DISTINCT FROM now() THEN
            RAISE EXCEPTION '% % is given a time that is not now', TG_TABLE_NAME, OLD.id USING ERRCODE = 'HF001';
        END IF;
        RETURN NEW;
    END $$
    """,
}
