"""Many rows, copied from one inside the database, so that what a list costs can be seen at size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from holdfast.store.tables import Table

if TYPE_CHECKING:
    from sqlalchemy import Connection

# What must differ from row to row, as SQL over the number `n` of the copy.
_DISTINCT = {
    "artifact": {"name": "'model' || n"},
    "audit_event": {},
    "dataset_file": {"path": "'file' || n"},
    "dataset_version": {"number": "n + 1000", "digest": "sha256(n::text::bytea)"},
    "environment_lock": {"number": "n + 1000", "digest": "sha256(n::text::bytea)"},
    "model": {"name": "'model' || n"},
    "model_version": {"number": "n + 1000"},
    "pipeline_run": {"run_id": "'run' || n", "dag_id": "'dag' || n % 50"},
    "project": {"name": "'copy' || n"},
    "promotion": {"state": "'pending'"},
    "promotion_policy": {"version": "n + 1000"},
    "role_binding": {"subject": "'user:' || n"},
    "run": {"idempotency_key": "sha256(gen_random_uuid()::text::bytea)", "pipeline_run_id": "NULL"},
    "service_token": {},
}
TABLES = tuple(_DISTINCT)


def multiply(connection: Connection, table: str, count: int, where: str) -> None:
    """Add so many copies of the one row that `where` finds; the guards sleep meanwhile, since some copies are born in a later state."""
    columns = [column.name for column in Table.metadata.tables[f"holdfast.{table}"].columns]
    new = {"id": "gen_random_uuid()", **_DISTINCT[table]}
    values = ", ".join(new.get(name, f"t.{name}") for name in columns)
    connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    connection.execute(
        text(
            f"INSERT INTO {table} ({', '.join(columns)})"
            f" SELECT {values} FROM (SELECT * FROM {table} WHERE {where} LIMIT 1) t, generate_series(1, {count}) n"
        )
    )
    connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
    connection.execute(text(f"ANALYZE {table}"))
