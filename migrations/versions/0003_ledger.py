"""The audit ledger: which index each event has in the log, how far that has come, and every checkpoint that was signed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import UserDefinedType

revision = "0003"
down_revision = "0002"

TABLES = ("ledger_checkpoint", "ledger_head", "ledger_leaf")
_HEAD_CHANGES = ("size", "cursor_xid", "cursor_event", "server")


class Xid8(UserDefinedType):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_):
        return "xid8"


def upgrade():
    op.create_table(
        "ledger_leaf",
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("index >= 0", name=op.f("ledger_leaf_index_ck")),
        sa.PrimaryKeyConstraint("index", name=op.f("ledger_leaf_pk")),
        sa.UniqueConstraint("event_id", name=op.f("ledger_leaf_event_id_uq")),
        schema="holdfast",
    )
    op.create_table(
        "ledger_head",
        sa.Column("is_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cursor_xid", Xid8(), server_default=sa.text("'0'::xid8"), nullable=False),
        sa.Column(
            "cursor_event",
            sa.Uuid(),
            server_default=sa.text("'00000000-0000-0000-0000-000000000000'::uuid"),
            nullable=False,
        ),
        sa.Column("server", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("is_only", name=op.f("ledger_head_is_only_ck")),
        sa.CheckConstraint("size >= 0", name=op.f("ledger_head_size_ck")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("ledger_head_pk")),
        schema="holdfast",
    )
    op.create_table(
        "ledger_checkpoint",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(root) = 32", name=op.f("ledger_checkpoint_root_ck")),
        sa.CheckConstraint("size > 0", name=op.f("ledger_checkpoint_size_ck")),
        sa.PrimaryKeyConstraint("size", name=op.f("ledger_checkpoint_pk")),
        schema="holdfast",
    )
    for table in TABLES:
        events = "DELETE" if table == "ledger_head" else "UPDATE OR DELETE"
        op.execute(
            f"CREATE TRIGGER {table}_guard BEFORE {events} ON holdfast.{table}"
            " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_row()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_truncate_guard BEFORE TRUNCATE ON holdfast.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION holdfast.guard_table()"
        )
        op.execute(f"GRANT SELECT ON holdfast.{table} TO holdfast_service, holdfast_reader, holdfast_auditor")
    op.execute(_GUARD_HEAD)
    op.execute(
        "CREATE TRIGGER ledger_head_update_guard BEFORE UPDATE ON holdfast.ledger_head"
        " FOR EACH ROW EXECUTE FUNCTION holdfast.guard_update_of_ledger_head()"
    )
    op.execute("REVOKE ALL ON FUNCTION holdfast.guard_update_of_ledger_head() FROM PUBLIC")
    op.execute("INSERT INTO holdfast.ledger_head (server) SELECT system_identifier FROM pg_control_system()")
    op.execute("GRANT INSERT (index, event_id) ON holdfast.ledger_leaf TO holdfast_service")
    op.execute("GRANT INSERT (size, root, note) ON holdfast.ledger_checkpoint TO holdfast_service")
    op.execute(f"GRANT UPDATE ({', '.join(_HEAD_CHANGES)}) ON holdfast.ledger_head TO holdfast_service")
    # Events are taken in this order, and one transaction may have many of them.
    op.execute("DROP INDEX holdfast.audit_event_order_ix")
    op.create_index("audit_event_order_ix", "audit_event", ["xid", "id"], schema="holdfast")


def downgrade():
    op.execute("DROP INDEX holdfast.audit_event_order_ix")
    op.create_index("audit_event_order_ix", "audit_event", ["xid"], schema="holdfast")
    for table in TABLES:
        op.drop_table(table, schema="holdfast")
    op.execute("DROP FUNCTION holdfast.guard_update_of_ledger_head()")


_GUARD_HEAD = """
    CREATE FUNCTION holdfast.guard_update_of_ledger_head() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF NEW."is_only" IS DISTINCT FROM OLD."is_only" THEN
            RAISE EXCEPTION 'a row of % does not change: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'HF001';
        END IF;
        IF NEW.size < OLD.size THEN
            RAISE EXCEPTION 'a log never becomes smaller: % to % refused', OLD.size, NEW.size USING ERRCODE = 'HF001';
        END IF;
        RETURN NEW;
    END $$
"""
