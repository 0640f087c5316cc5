"""Migrations of the governance database: up, down, and whether the database is what this version expects.

One runner at a time (advisory lock). The runner's login needs CREATE on the database and, the first time, CREATEROLE.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from holdfast.core.errors import InvalidRequest, StateConflict, Unavailable
from holdfast.store.tables import SCHEMA, Table
from holdfast.store.tables.audit import Xid8

VERSION_TABLE = "schema_version"
_RUNNER_LOCK = 0x486F6C64
_MINIMUM_VERSION = 140000
_MORE_GUARDS = {
    "update": (
        "artifact",
        "audit_event",
        "audit_segment",
        "dataset_version",
        "export_dead_letter",
        "export_sink",
        "ledger_head",
        "legal_hold",
        "legal_hold_object",
        "legal_hold_release",
        "model_version",
        "pipeline_run",
        "project",
        "promotion",
        "retention_plan_item",
        "role_binding",
        "run",
        "service_token",
    ),
    "archive": (
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
    ),
    "birth": (
        "run",
        "pipeline_run",
        "artifact",
        "dataset_version",
        "legal_hold_release",
        "model_version",
        "promotion",
        "retention_plan_decision",
    ),
    "late": ("artifact", "run_input", "dataset_file", "model_version_artifact", "retention_plan_item"),
    "request": ("promotion",),
    "approval": ("promotion",),
    "pending": ("promotion_decision",),
    "promotion": ("alias_assignment",),
    "covered": ("artifact", "dataset_version", "model_version_artifact", "run_input"),
    "hold": ("artifact", "dataset_version"),
    "plan": ("artifact", "dataset_version"),
    "reference": ("alias_assignment", "model_version_artifact", "promotion", "run_input"),
    "held": (
        "artifact",
        "dataset_file",
        "dataset_version",
        "model_version",
        "model_version_artifact",
        "run",
        "run_input",
    ),
}


def scripts() -> Path:
    """Return the directory of the revisions: inside the wheel, or beside the sources."""
    shipped = Path(__file__).parents[1] / "_migrations"
    return shipped if shipped.is_dir() else Path(__file__).parents[3] / "migrations"


def upgrade(url: str, revision: str = "head") -> str | None:
    """Bring the database up to a revision and return the revision it is now at; running it again changes nothing.

    Raises:
        Unavailable: the database does not answer.
        InvalidRequest: it is not PostgreSQL 14 or newer, there is no such revision, or the login lacks a privilege.
        StateConflict: another migration is running, or a revision refuses what is there. In every case the database is at the revision where
            it was.
    """
    with _runner(url) as (connection, config):
        command.upgrade(config, revision)
        return _current(connection)


def downgrade(url: str, revision: str) -> str | None:
    """Take the database down to a revision (`base` for nothing at all) and return the revision it is now at; raises as `upgrade` does."""
    with _runner(url) as (connection, config):
        command.downgrade(config, revision)
        return _current(connection)


def current(url: str) -> str | None:
    """Return the revision the database is at, None for an empty one; raises as `upgrade` does."""
    with _runner(url) as (connection, _):
        return _current(connection)


def check(url: str) -> list[str]:
    """Return every difference between the database and what this version expects; an empty list is good. Raises as `upgrade` does."""
    with _runner(url) as (connection, config):
        found, head = _current(connection), ScriptDirectory.from_config(config).get_current_head()
        if found != head:
            return [
                f"the database is at revision {found or 'none'}, this version needs {head}: run `holdfast db upgrade`"
            ]
        connection.execute(text(f"SET LOCAL search_path = {SCHEMA}, public"))
        ischema_names["xid8"] = Xid8  # SQLAlchemy does not know the type yet
        segments = _segments(connection)
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: (
                    name == SCHEMA if kind == "schema" else name not in (VERSION_TABLE, *segments)
                ),
                "compare_type": True,
                "compare_server_default": False,
            },
        )
        differences = [f"schema differs: {difference}" for difference in compare_metadata(context, Table.metadata)]
        return differences + _missing_triggers(connection, segments) + _unguarded_columns(connection)


def _segments(connection: Connection) -> list[str]:
    """Return the names of the tables in which the events of the segments lie."""
    return list(
        connection.scalars(
            text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:parent) ORDER BY 1"),
            {"parent": f"{SCHEMA}.audit_event"},
        )
    )


def _missing_triggers(connection: Connection, segments: list[str]) -> list[str]:
    rows = connection.execute(
        text(
            "SELECT c.relname, t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema AND NOT t.tgisinternal"
        ),
        {"schema": SCHEMA},
    ).all()
    enabled = {(table, name) for table, name, state in rows if state in ("O", "A", b"O", b"A")}
    tables = sorted(table.name for table in Table.metadata.sorted_tables)
    expected = [(table, f"{table}_{guard}") for table in tables for guard in ("guard", "truncate_guard")]
    expected += [(table, f"{table}_{kind}_guard") for kind, guarded in _MORE_GUARDS.items() for table in guarded]
    for table in segments:
        expected += [
            (table, name) for name in ("audit_event_guard", "audit_event_update_guard", f"{table}_truncate_guard")
        ]
    return [
        f"table {table} has lost its guard: trigger {name} is missing or disabled"
        for table, name in expected
        if (table, name) not in enabled
    ]


def _unguarded_columns(connection: Connection) -> list[str]:
    """Return what is wrong with the guards of UPDATEs: a column that the service may not change has to stand in its table's."""
    rows = connection.execute(
        text(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = 'guard_update_of_' || c.relname"
            " WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
            " AND NOT has_column_privilege('holdfast_service', c.oid, a.attnum, 'UPDATE')"
            """ AND strpos(p.prosrc, 'NEW."' || a.attname || '" IS DISTINCT FROM OLD."' || a.attname || '"') = 0"""
            " ORDER BY c.relname, a.attnum"
        ),
        {"schema": SCHEMA},
    )
    return [f"table {table} has lost its guard: column {column} can be changed" for table, column in rows]


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "version_table_schema": SCHEMA}
    ).get_current_revision()


@contextmanager
def _runner(url: str) -> Iterator[tuple[Connection, Config]]:
    engine = create_engine(
        url, poolclass=NullPool, connect_args={"connect_timeout": 5, "options": "-c lock_timeout=10s -c timezone=UTC"}
    )
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            _check_server(connection)
            if not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _RUNNER_LOCK}):
                raise StateConflict(
                    "another migration of this database is running", remedy="Wait until it has ended, then run it again"
                )
            config.attributes["connection"] = connection
            yield connection, config
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if state.startswith("HF"):
            raise StateConflict(
                error.orig.diag.message_primary or "a revision refuses",  # type: ignore[union-attr]
                remedy="The database is as it was; bring what is named to its end first",
            ) from error
        if isinstance(error, OperationalError):
            raise Unavailable(
                "the governance database does not answer", remedy="Check that PostgreSQL runs and that the URL is right"
            ) from error
        if state == "42501":
            raise InvalidRequest(
                "the login may not migrate the database: it lacks a privilege",
                remedy="Use the owner's login; it needs CREATE on the database and, the first time, CREATEROLE",
            ) from error
        raise
    except CommandError as error:
        raise InvalidRequest(
            f"the migration cannot run: {error}", remedy="`holdfast db upgrade` without a revision goes to the newest"
        ) from error
    finally:
        engine.dispose()


def _check_server(connection: Connection) -> None:
    version = int(connection.scalar(text("SHOW server_version_num")) or 0)
    if version < _MINIMUM_VERSION:
        raise InvalidRequest(f"PostgreSQL {version // 10000} is too old", remedy="Use PostgreSQL 14 or newer")
