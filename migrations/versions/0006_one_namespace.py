"""A namespace is one Project's: Runs of another could read its Secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade():
    op.create_index(
        "project_namespace_uq",
        "project",
        ["namespace"],
        unique=True,
        schema="holdfast",
        postgresql_where=sa.text("archived_at IS NULL"),
    )


def downgrade():
    op.drop_index("project_namespace_uq", "project", schema="holdfast")
