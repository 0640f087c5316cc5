"""What each honesty probe of the object store has found; the newest one decides what the product says of its holds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

TABLE = "store_probe"
INSERTED = ("id", "place", "is_honest", "findings", "leftovers", "version", "probed_by")


def upgrade():
    op.create_table(
        TABLE,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("is_honest", sa.Boolean(), nullable=False),
        sa.Column("findings", postgresql.JSONB(), nullable=False),
        sa.Column("leftovers", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("probed_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("place <> ''", name=op.f("store_probe_place_ck")),
        sa.CheckConstraint(
            "jsonb_typeof(findings) = 'array' AND findings <> '[]'::jsonb", name=op.f("store_probe_findings_ck")
        ),
        # A store that has broken a rule is never called honest, whoever writes the row.
        sa.CheckConstraint(
            """NOT (is_honest AND findings @> '[{"outcome": "broken"}]'::jsonb)""",
            name=op.f("store_probe_is_honest_ck"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("store_probe_pk")),
        schema="holdfast",
    )
    op.create_index("store_probe_place_ix", TABLE, ["place", "created_at", "id"], schema="holdfast")
    for name, event, level, function in (
        ("guard", "UPDATE OR DELETE", "ROW", "guard_row"),
        ("truncate_guard", "TRUNCATE", "STATEMENT", "guard_table"),
    ):
        op.execute(
            f"CREATE TRIGGER {TABLE}_{name} BEFORE {event} ON holdfast.{TABLE}"
            f" FOR EACH {level} EXECUTE FUNCTION holdfast.{function}()"
        )
    op.execute(f"GRANT SELECT ON holdfast.{TABLE} TO holdfast_service, holdfast_reader, holdfast_auditor")
    op.execute(f"GRANT INSERT ({', '.join(INSERTED)}) ON holdfast.{TABLE} TO holdfast_service")


def downgrade():
    op.drop_table(TABLE, schema="holdfast")
