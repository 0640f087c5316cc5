"""Runs the revisions on the connection and inside the transaction that `holdfast.store.migrate` opened."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS holdfast"))
context.configure(
    connection=connection,
    version_table="schema_version",
    version_table_schema="holdfast",
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
