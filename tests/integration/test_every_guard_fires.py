"""Every constraint and trigger of the schema, taken from PostgreSQL's own catalogue: each is alone with a row that it must refuse.

A constraint or trigger that is added without a row here fails the suite.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from holdfast.core.access import Caller
from holdfast.core.audit import EventClass
from holdfast.core.promotion import PromotionState
from holdfast.core.run import PIPELINE_RUN_TRANSITIONS, RUN_TRANSITIONS, PipelineRunState, RunState
from holdfast.ops.segments import define_retention
from holdfast.service.transaction import Transactions
from holdfast.settings import Platform
from holdfast.store.tables import Table
from holdfast.wire.project import Reason, RoleBindingRequest, TokenRequest
from holdfast.wire.run import EnvironmentRequest, PipelineRunTransition, RunStart
from tests.integration.test_database_guards import approve
from tests.support.disposal import dispose_something
from tests.support.export import export_something
from tests.support.holds import hold_something
from tests.support.ledger import unguarded
from tests.support.postgres import PostgresServer
from tests.support.probe import record_probe
from tests.support.retention import approve_retention
from tests.support.story import Story, digest_of

COLUMNS = {table.name: [column.name for column in table.columns] for table in Table.metadata.sorted_tables}
FRESH = {"uuid": "gen_random_uuid()", "bytea": "sha256(gen_random_uuid()::text::bytea)"}
TOO_SHORT = "'\\x00'::bytea"

# Constraint → the columns that make a copied row break it and no other one.
CHECKS = {
    "audit_event_commitment_binds_ck": {"content": "content || ' '"},
    "audit_event_erased_ck": {"erased_at": "now()"},
    "audit_retention_period_days_ck": {"period_days": "0"},
    "audit_retention_quota_ck": {"quota": "0"},
    "audit_retention_reason_ck": {"reason": "''"},
    "audit_segment_closed_ck": {"closed_at": "NULL", "sealed_at": "now()"},
    "audit_segment_disposed_ck": {"disposed_at": "now()"},
    "audit_segment_sealed_ck": {"count": "1"},
    "audit_event_salt_ck": {
        "salt": TOO_SHORT,
        "commitment": f"sha256({TOO_SHORT} || convert_to(content, 'UTF8'))",
    },
    "artifact_size_bytes_ck": {"size_bytes": "-1"},
    "dataset_file_size_bytes_ck": {"size_bytes": "-1"},
    "dataset_version_sizes_ck": {"file_count": "0"},
    "export_dead_letter_range_ck": {"first": "last + 1"},
    "export_sink_cursor_ck": {"first": "cursor + 1", "name": "name || 'x'"},
    "export_sink_first_ck": {"first": "-1"},
    "export_sink_leaf_hash_ck": {"leaf_hash": TOO_SHORT},
    "export_sink_leaf_hash_given_ck": {"leaf_hash": "NULL"},
    "environment_lock_image_by_digest_ck": {"kind": "'image'", "reference": "'sklearn:1.5'"},
    "ledger_checkpoint_size_ck": {"size": "0"},
    "ledger_head_is_only_ck": {"is_only": "false"},
    "ledger_head_size_ck": {"size": "-1"},
    "ledger_leaf_index_ck": {"index": "-1"},
    "legal_hold_cooling_off_s_ck": {"cooling_off_s": "0"},
    "legal_hold_matter_ck": {"matter": "''"},
    "legal_hold_query_ck": {"query_type": "NULL"},
    "legal_hold_reason_ck": {"reason": "''"},
    "legal_hold_window_ck": {"query_after": "query_before"},
    "legal_hold_object_from_ck": {"reached_by": "'upstream'", "from_type": "NULL", "from_id": "NULL"},
    "legal_hold_object_lock_ck": {"object_type": "'artifact'", "lock_state": "NULL"},
    "legal_hold_object_lock_state_ck": {"object_type": "'artifact'", "lock_state": "'nonsense'"},
    "legal_hold_object_object_type_ck": {"object_type": "'nonsense'", "lock_state": "NULL"},
    "legal_hold_object_reached_by_ck": {"reached_by": "'nonsense'", "from_type": "'run'", "from_id": "object_id"},
    "legal_hold_release_decided_ck": {"decision": "'approve'", "decided_by": "NULL", "decided_at": "NULL"},
    "legal_hold_release_decision_ck": {"decision": "'nonsense'", "decided_by": "'user:z'", "decided_at": "now()"},
    "legal_hold_release_people_ck": {"requested_by": "'token:x'"},
    "legal_hold_release_reason_ck": {"reason": "''"},
    "legal_hold_release_two_people_ck": {
        "decision": "'approve'",
        "decided_by": "requested_by",
        "decided_at": "now()",
    },
    "pipeline_run_commit_ck": {"commit": "'main'"},
    "pipeline_run_ended_ck": {"state": "'succeeded'", "ended_at": "NULL"},
    "project_name_ck": {"name": "'Not A Name'"},
    "project_production_is_isolated_ck": {"project_class": "'production'", "data_plane": "'local'"},
    "promotion_creators_ck": {"creators": "'{}'"},
    "promotion_expires_ck": {"expires_at": "created_at"},
    "promotion_decision_creator_is_not_approver_ck": {"principal": "creators[1]"},
    "retention_certificate_digest_ck": {"content": "content || ' '"},
    "retention_plan_reason_ck": {"reason": "''"},
    "retention_plan_sizes_ck": {"item_count": "0"},
    "retention_plan_decision_approver_is_officer_ck": {"decision": "'approve'", "roles": "'{viewer}'"},
    "retention_plan_decision_planner_is_not_approver_ck": {"decision": "'approve'", "principal": "planned_by"},
    "retention_plan_item_bytes_ck": {"object_key": "CASE object_type WHEN 'artifact' THEN NULL ELSE 'x' END"},
    "retention_plan_item_disposition_ck": {"disposition": "'archive'"},
    "retention_plan_item_ended_ck": {"ended_at": "CASE WHEN ended_at IS NULL THEN now() END"},
    "retention_plan_item_index_ck": {"index": "-1"},
    "retention_plan_item_object_type_ck": {"object_type": "'run'", "object_key": "NULL", "version_id": "NULL"},
    "retention_plan_item_says_ck": {"state": "'kept'", "says": "''", "ended_at": "now()"},
    "retention_plan_item_state_ck": {"state": "'nonsense'", "says": "'x'", "ended_at": "NULL"},
    "retention_policy_decision_approver_is_officer_ck": {"decision": "'approve'", "roles": "'{viewer}'"},
    "retention_policy_decision_proposer_is_not_approver_ck": {"decision": "'reject'", "principal": "proposed_by"},
    "retention_policy_period_days_ck": {"period_days": "0"},
    "retention_policy_reason_ck": {"reason": "''"},
    "retention_policy_version_ck": {"version": "0"},
    "role_binding_subject_ck": {"subject": "'system:root'"},
    "run_code_ck": {"code_repository": "NULL"},
    "run_code_commit_ck": {"code_commit": "'main'"},
    "run_ended_ck": {"state": "'running'", "ended_at": "now()"},
    "run_error_class_ck": {"state": "'failed'", "ended_at": "now()", "error_class": "'nobody'"},
    "run_failed_has_class_ck": {"state": "'failed'", "ended_at": "now()", "error_class": "NULL"},
    "run_origin_ck": {"origin_reason": "'retry'", "origin_run_id": "NULL"},
    "run_origin_reason_ck": {"origin_reason": "'boredom'", "origin_run_id": "id"},
    "run_state_ck": {"state": "'nonsense'", "ended_at": "NULL", "error_class": "NULL"},
    "pipeline_run_state_ck": {"state": "'nonsense'", "ended_at": "NULL"},
    "run_unknown_has_cause_ck": {"state": "'unknown'", "ended_at": "NULL", "cause": "NULL"},
    "run_input_one_source_ck": {"artifact_id": "gen_random_uuid()", "dataset_version_id": "gen_random_uuid()"},
    "store_probe_findings_ck": {"findings": "'[]'"},
    "store_probe_is_honest_ck": {"findings": """'[{"outcome": "broken"}]'""", "is_honest": "true"},
    "store_probe_place_ck": {"place": "''"},
    "service_token_expires_ck": {"expires_at": "created_at"},
}

# Trigger's ending → (SQLSTATE, statement that it refuses when it is the only one left).
PENDING = "(SELECT id FROM promotion WHERE state = 'pending' LIMIT 1)"
ENDED = "(SELECT project_id FROM project p JOIN pipeline_run r ON r.project_id = p.id WHERE p.archived_at IS NOT NULL LIMIT 1)"
PURGED = "(SELECT id FROM {table} WHERE state = 'purged' LIMIT 1)"
LOST = (
    "(SELECT m.model_version_id FROM model_version_artifact m JOIN artifact a ON a.id = m.artifact_id"
    " WHERE a.state = 'purged' LIMIT 1)"
)
TRIGGERS = {
    "truncate_guard": ("HF001", "TRUNCATE {table} CASCADE"),
    "archive_guard": ("HF003", {"project_id": ENDED}),
    "legal_hold_release_birth_guard": ("HF009", {"requested_at": "now() - interval '1 day'"}),
    "retention_plan_decision_birth_guard": ("HF001", {"created_at": "now() + interval '1 day'"}),
    "birth_guard": ("HF005", {"state": "'nonsense'"}),
    "run_input_late_guard": ("HF001", {}),
    "dataset_file_late_guard": ("HF001", {}),
    "model_version_artifact_late_guard": ("HF001", {}),
    "artifact_late_guard": ("HF002", {}),
    "request_guard": ("HF004", {"creators": "'{user:nobody}'"}),
    "approval_guard": ("HF004", "UPDATE promotion SET state = 'approved' WHERE state = 'pending'"),
    "pending_guard": ("HF004", {"principal": "'user:late'"}),
    "alias_assignment_promotion_guard": ("HF004", {"promotion_id": PENDING}),
    "artifact_hold_guard": ("HF008", "UPDATE {table} SET state = 'purged'"),
    "dataset_version_hold_guard": ("HF008", "UPDATE {table} SET state = 'purged'"),
    **{
        f"{table}_plan_guard": ("HF012", "UPDATE {table} SET state = 'expired' WHERE state = 'available'")
        for table in ("artifact", "dataset_version")
    },
    "retention_plan_item_late_guard": ("HF001", {}),
    "run_input_reference_guard": (
        "HF014",
        {"artifact_id": "NULL", "dataset_version_id": PURGED.format(table="dataset_version")},
    ),
    "model_version_artifact_reference_guard": ("HF014", {"artifact_id": PURGED.format(table="artifact")}),
    "alias_assignment_reference_guard": ("HF014", {"model_version_id": LOST}),
    "promotion_reference_guard": ("HF014", {"model_version_id": LOST}),
    "held_guard": ("HF008", "DELETE FROM {table}"),
    "guard": ("HF001", "DELETE FROM {table}"),
}


# The rules of each table's guard of UPDATEs, in its order: (SQLSTATE, what its message says, statement).
ENDS = {
    **dict.fromkeys(("run", "pipeline_run"), "state = 'succeeded'"),
    "promotion": "state = 'executed'",
    "project": "archived_at IS NOT NULL",
    **dict.fromkeys(("role_binding", "service_token"), "revoked_at IS NOT NULL"),
    "export_dead_letter": "replayed_at IS NOT NULL",
    "audit_event": "erased_at IS NOT NULL",
    "audit_segment": "disposed_at IS NOT NULL",
    "legal_hold": "released_at IS NOT NULL",
    "legal_hold_release": "decision IS NOT NULL",
}
TIMES = {
    "run": ("since", "started_at", "ended_at"),
    "pipeline_run": ("ended_at",),
    "project": ("archived_at",),
    "role_binding": ("revoked_at",),
    "service_token": ("revoked_at",),
    "export_dead_letter": ("replayed_at",),
    "legal_hold": ("released_at",),
    "legal_hold_object": ("read_back_at",),
    "legal_hold_release": ("decided_at",),
}
# What changes by functions of the disposer alone.
DISPOSED = {"retention_plan_item": {"state", "says", "ended_at"}}
CHANGED = {"text": "'changed'", "jsonb": """'{"changed": true}'""", "uuid": FRESH["uuid"], "bytea": FRESH["bytea"]}
CHANGED |= {"boolean": "false", "ARRAY": "'{}'", "integer": "1000001", "bigint": "1000001", "smallint": "101"}
CHANGED |= {"timestamp with time zone": "'2000-01-01'", "xid8": "'1'", "int8multirange": "'{[1,2)}'"}

# What a table's guard refuses besides.
RULES = {
    "ledger_head": [("HF001", "never becomes smaller", "UPDATE ledger_head SET size = size - 1")],
    "export_sink": [
        ("HF001", "never goes back", "UPDATE export_sink SET cursor = cursor - 1"),
        ("HF001", "never beyond the log", "UPDATE export_sink SET cursor = cursor + 1"),
    ],
    "legal_hold": [
        ("HF009", "no release that was just approved", "UPDATE legal_hold SET released_at = now() WHERE {open_row}")
    ],
    "legal_hold_release": [
        (
            "HF009",
            "too short a while",
            "UPDATE legal_hold_release SET decision = 'approve', decided_by = 'user:z', decided_at = now() WHERE {open_row}",
        )
    ],
    "legal_hold_object": [
        ("HF005", "cannot become", "UPDATE legal_hold_object SET lock_state = 'locked' WHERE lock_state = 'wanted'"),
        (
            "HF009",
            "stays while its legal hold does",
            "UPDATE legal_hold_object SET lock_state = 'released', read_back_at = now() WHERE lock_state = 'wanted'",
        ),
    ],
    "retention_plan_item": [
        (
            "HF001",
            "does not change",
            "UPDATE retention_plan_item SET state = 'purging', says = 'x' WHERE state = 'planned'",
        ),
        ("HF005", "cannot become", "UPDATE retention_plan_item SET says = 'otherwise' WHERE state = 'purged'"),
        (
            "HF001",
            "a time that is not now",
            "UPDATE retention_plan_item SET state = 'kept', says = 'x', ended_at = '2000-01-01' WHERE state = 'planned'",
        ),
    ],
    "run": [
        ("HF001", "keeps the fence", "UPDATE run SET fence = 'pod-2' WHERE fence IS NOT NULL AND {open_row}"),
    ],
}


def broken_rules(table: str, columns: dict[str, str], mutable: set[str]) -> list[tuple[str, str, str]]:
    """Return what the guard of a table's UPDATEs must refuse.

    Args:
        table: its name.
        columns: the type of each column.
        mutable: the columns that the service login, or a function of the disposer, may change.
    """
    open_row = f"NOT ({ENDS[table]})" if table in ENDS else "true"
    rules = [
        ("HF001", "does not change", f"UPDATE {table} SET {column} = {CHANGED[kind]} WHERE {open_row}")
        for column, kind in columns.items()
        if column not in mutable
    ]
    if table in ENDS:
        column = min(mutable or columns)
        rules.append(("HF002", "does not change", f"UPDATE {table} SET {column} = {column} WHERE {ENDS[table]}"))
    if "state" in mutable:
        rules.append(("HF005", "cannot become", f"UPDATE {table} SET state = 'nonsense' WHERE {open_row}"))
    for column in TIMES.get(table, ()):
        forged = f"UPDATE {table} SET {column} = '2000-01-01' WHERE {open_row}"
        rules.append(("HF001", "a time that is not now", forged))
    rules += [(state, words, statement.format(open_row=open_row)) for state, words, statement in RULES.get(table, ())]
    return rules


@dataclass
class Catalogue:
    """PostgreSQL as the superuser sees it; every attempt is rolled back."""

    connection: Connection

    def constraints(self) -> list[tuple[str, str, str, str]]:
        """Return (table, name, kind, definition)."""
        return [
            tuple(row)
            for row in self.connection.execute(
                text(
                    "SELECT c.relname, k.conname, k.contype::text, pg_get_constraintdef(k.oid) FROM pg_constraint k"
                    " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
                    " WHERE n.nspname = 'holdfast' AND c.relname <> 'schema_version' AND k.contype IN ('c', 'f', 'p', 'u')"
                    " AND NOT c.relispartition"
                    " ORDER BY 1, 2"
                )
            )
        ]

    def triggers(self) -> list[tuple[str, str]]:
        """Return (table, name) of our own triggers."""
        return [
            tuple(row)
            for row in self.connection.execute(
                text(
                    "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
                    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'holdfast' AND NOT t.tgisinternal"
                    " AND NOT c.relispartition ORDER BY 1, 2"
                )
            )
        ]

    def types(self, table: str) -> dict[str, str]:
        """Return the type of each column."""
        rows = self.connection.execute(
            text("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = :table"),
            {"table": table},
        )
        return {str(column): str(kind) for column, kind in rows}

    def mutable(self, table: str) -> set[str]:
        """Return the columns that the service login, or a function of the disposer, may change."""
        if table in DISPOSED:
            return DISPOSED[table]
        statement = (
            "SELECT column_name FROM information_schema.column_privileges"
            " WHERE table_name = :table AND grantee = 'holdfast_service' AND privilege_type = 'UPDATE'"
        )
        return {str(column) for column in self.connection.scalars(text(statement), {"table": table})}

    def refusal(self, table: str, statement: str, *, enable: str = "", constraint: str = "") -> tuple[str, str, str]:
        """Return (SQLSTATE, constraint, message) of a statement, with no trigger of the table but the named ones."""
        try:
            self.connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            if enable:
                self.connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER {enable}"))
            if constraint:
                names = self.connection.scalars(
                    text(
                        "SELECT tgname FROM pg_trigger WHERE tgconstraint = (SELECT oid FROM pg_constraint WHERE conname = :name)"
                        " AND tgrelid = to_regclass(:table)"
                    ),
                    {"name": constraint, "table": f"holdfast.{table}"},
                ).all()
                for name in names:
                    self.connection.execute(text(f'ALTER TABLE {table} ENABLE TRIGGER "{name}"'))
            self.connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
            with pytest.raises(DBAPIError) as refused:
                self.connection.execute(text(statement))
            diagnosis = refused.value.orig.diag
            return str(diagnosis.sqlstate), diagnosis.constraint_name or "", diagnosis.message_primary
        finally:
            self.connection.rollback()
            self.connection.execute(text("SET search_path = holdfast"))

    def copy(self, table: str, changes: dict[str, str], *, keep: set[str] = frozenset()) -> str:
        """Return the statement that inserts a copy of a row, with fresh unique columns but those to keep."""
        fresh = {
            "id": "gen_random_uuid()",
            "name": "left(name, 40) || 'x'",
            "number": "number + 100000",
            "version": "version" if table == "store_probe" else "version + 100000",
            "key": "key || 'x'",
            "path": "path || 'x'",
            "run_id": "gen_random_uuid()" if table == "pipeline_run" else "run_id",
            "idempotency_key": FRESH["bytea"],
            "promotion_id": "gen_random_uuid()" if table == "alias_assignment" else "promotion_id",
            "principal": "principal || 'x'",
            "subject": "subject || 'x'",
            "object_id": "gen_random_uuid()",
        }
        if table in ("environment_lock", "policy_snapshot", "dataset_version"):
            fresh["digest"] = FRESH["bytea"]
        if table.startswith("ledger_"):
            fresh |= {"index": "index + 1000000", "event_id": "gen_random_uuid()", "size": "size + 1000000"}
        if table == "retention_plan_item":
            fresh["index"] = "index + 1000000"
        if table == "audit_segment":
            fresh["segment"] = "segment + 1000000"
        if table == "model_version_artifact":
            fresh["artifact_id"] = "gen_random_uuid()"
        values = ", ".join(changes.get(c) or (c if c in keep else fresh.get(c, c)) for c in COLUMNS[table])
        named = ", ".join(f'"{c}"' for c in COLUMNS[table])
        return f"INSERT INTO {table} ({named}) SELECT {values} FROM {table} LIMIT 1"


# As segments and events are that nobody makes here: one is sealed, one has gone, and one event is erased.
_SEALED = """
    INSERT INTO audit_segment (class, closed_at, sealed_at, count, first_index, last_index, oldest_at, newest_at, root, indexes,
    disposed_at, certificate) VALUES ('read', now(), now(), 1, 0, 0, now(), now(), sha256(''), '{{[0,1)}}', {more})
"""
_ERASE_ONE = """
    UPDATE audit_event SET content = NULL, salt = NULL, erased_at = now() WHERE id = (SELECT min(id::text)::uuid FROM audit_event)
"""
# And as a hold is that was released.
_RELEASED = (
    (
        "INSERT INTO legal_hold (id, matter, custodians, reason, is_expanded, cooling_off_s, placed_by, released_at)"
        " VALUES (gen_random_uuid(), 'm', '{}', 'r', false, 3600, 'user:x', now())"
    ),
    (
        "INSERT INTO legal_hold_release (id, hold_id, requested_by, reason, decision, decided_by, decided_at)"
        " SELECT gen_random_uuid(), id, 'user:x', 'r', 'approve', 'user:y', now() FROM legal_hold WHERE released_at IS NOT NULL"
    ),
)


@pytest.fixture(scope="module")
def catalogue(
    story: Story,
    platform: Platform,
    postgres: PostgresServer,
    database: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Catalogue]:
    """A database in which every table has a row of every kind that a case needs."""
    install, fresh = story.act_as("system:install"), secrets.token_hex(4)
    promotion = story.request_promotion()
    approve(story, promotion)
    story.mia.promotions.execute(story.project, promotion.id, key=fresh)
    story.request_promotion(alias="challenger")
    image = EnvironmentRequest(
        name="image", kind="image", reference="r/i@sha256:" + "0" * 64, sbom_digest=digest_of(b"sbom")
    )
    story.mia.runs.lock_environment(story.project, image)
    token = story.mia.projects.create_token(story.project, TokenRequest(name="t", scope=["run.write"])).token
    story.mia.projects.revoke_token(story.project, token.id)
    story.mia.projects.create_token(story.project, TokenRequest(name="good", scope=["run.write"]))
    binding = install.projects.bind_role(story.project, RoleBindingRequest(subject="user:x", role="viewer"))
    install.projects.unbind_role(story.project, binding.id)
    pipeline = story.pipeline_run(run_id="over")
    story.mia.runs.change_pipeline_run(story.project, pipeline, PipelineRunTransition(state="succeeded"))
    open_run = story.mia.runs.create(story.project, story.run_request())
    story.mia.runs.start(story.project, open_run.id, RunStart(fence="pod-1"))
    closed = Story.begin(story.act_as, story.objects)
    closed.pipeline_run()
    install.projects.archive(closed.project, Reason(reason="over"))
    dispose_something(story, platform, postgres, database[0])
    export_something(platform.engine, tmp_path_factory.mktemp("ledger"))
    define_retention(Transactions(platform.engine, Caller("system:tests")), EventClass.READ, 365, None, "tests")
    record_probe(platform)
    approve_retention(story)
    hold_something(story)
    engine = create_engine(database[0])
    with engine.connect() as connection:
        connection.execute(text("SET search_path = holdfast"))
        with unguarded(connection):
            connection.execute(text(_SEALED.format(more="NULL, NULL")))
            connection.execute(text(_SEALED.format(more="now(), gen_random_uuid()")))
            connection.execute(text(_ERASE_ONE))
        with unguarded(connection, "legal_hold_release"):
            for statement in _RELEASED:
                connection.execute(text(statement))
        connection.commit()
        connection.execute(text("SET search_path = holdfast"))
        yield Catalogue(connection)
    engine.dispose()


def breaking_check(name: str, definition: str) -> dict[str, str]:
    """Return the changes under which a CHECK is broken."""
    if name in CHECKS:
        return CHECKS[name]
    if digest := re.search(r"octet_length\((\w+)\) = 32", definition):
        return {digest[1]: TOO_SHORT}
    if closed := re.fullmatch(r"CHECK \(\(\(?(\w+)\)?(?:::text)? = ANY \(ARRAY\[.*\]\)\)\)", definition):
        return {closed[1]: "'nonsense'"}
    pytest.fail(f"no row is known that breaks {name}: {definition}; add it to CHECKS")


def test_every_check_is_seen_to_refuse(catalogue: Catalogue) -> None:
    checks = [found for found in catalogue.constraints() if found[2] == "c"]
    assert len(checks) > 50
    for table, name, _, definition in checks:
        statement = catalogue.copy(table, breaking_check(name, definition))
        assert catalogue.refusal(table, statement)[:2] == ("23514", name), statement


def test_every_key_is_seen_to_refuse(catalogue: Catalogue) -> None:
    found = catalogue.constraints()
    columns = {
        name: set(re.findall(r"\w+", definition.split("(")[1])) for _, name, kind, definition in found if kind in "pu"
    }
    seen = 0
    for table, name, kind, _ in found:
        # A key that holds the whole primary key is there to be referred to; the primary key refuses before it.
        if kind not in "pu" or (kind == "u" and columns[f"{table}_pk"] <= columns[name]):
            continue
        statement = catalogue.copy(table, {}, keep=columns[name])
        # Of a partitioned table each part has the key under a name of its own.
        state, constraint, _ = catalogue.refusal(table, statement)
        assert (state, re.sub(r"_\d+_pkey$", "_pk", constraint)) == ("23505", name), statement
        seen += 1
    assert seen > 30


def test_every_reference_is_seen_to_refuse(catalogue: Catalogue) -> None:
    references = [found for found in catalogue.constraints() if found[2] == "f"]
    assert len(references) > 30
    for table, name, _, definition in references:
        columns = re.findall(r"\w+", definition.split("(")[1].split(")")[0])
        changed = next((c for c in columns if c.endswith("_id") and c != "project_id"), "project_id")
        values = {column: "gen_random_uuid()" for column in columns if column == changed}
        beside = {"origin_run_id": {"origin_reason": "'retry'"}, "artifact_id": {"dataset_version_id": "NULL"}}
        more = beside.get(changed, {}) if table in ("run", "run_input") else {}
        statement = catalogue.copy(table, {**values, **more})
        assert catalogue.refusal(table, statement, constraint=name)[:2] == ("23503", name), statement


def test_every_trigger_is_seen_to_refuse(catalogue: Catalogue) -> None:
    triggers = catalogue.triggers()
    assert len(triggers) > 70
    for table, name in triggers:
        if name == f"{table}_update_guard":
            continue  # it has more than one rule: see the next test
        if name == f"{table}_covered_guard":
            continue  # it refuses nothing, and covers what is written: see test_legal_holds.py
        ending = max((ending for ending in TRIGGERS if f"_{name}".endswith(f"_{ending}")), key=len)
        state, case = TRIGGERS[ending]
        statement = case.format(table=table) if isinstance(case, str) else catalogue.copy(table, case)
        found = catalogue.refusal(table, statement, enable=name)
        assert found[0] == state, f"{name}: {statement} → {found}"
        if ending == "truncate_guard":
            assert found[2] == f"{table} is never truncated"


def test_every_rule_of_the_guards_of_updates_is_seen_to_refuse(catalogue: Catalogue) -> None:
    guarded = [table for table, name in catalogue.triggers() if name == f"{table}_update_guard"]
    assert len(guarded) == 18
    seen = 0
    for table in guarded:
        for state, words, statement in broken_rules(table, catalogue.types(table), catalogue.mutable(table)):
            found = catalogue.refusal(table, statement, enable=f"{table}_update_guard")
            assert (found[0], words in found[2]) == (state, True), f"{statement} → {found}"
            seen += 1
    assert seen > 100


@pytest.mark.parametrize("table", ["run", "pipeline_run", "promotion"])
def test_the_database_allows_exactly_the_transitions_of_the_core(table: str, catalogue: Catalogue) -> None:
    allowed = {
        "run": {(a, b) for a, after in RUN_TRANSITIONS.items() for b in after},
        "pipeline_run": {(a, b) for a, after in PIPELINE_RUN_TRANSITIONS.items() for b in after},
        "promotion": {
            ("pending", "approved"),
            ("pending", "rejected"),
            ("pending", "voided"),
            ("approved", "executed"),
            ("approved", "voided"),
        },
    }[table]
    states = {"run": RunState, "pipeline_run": PipelineRunState, "promotion": PromotionState}[table]

    def put(state: str) -> str:
        more = ""
        if table != "promotion":
            more = ", ended_at = " + (
                "now()" if state in ("succeeded", "failed", "canceled", "partially_succeeded") else "NULL"
            )
        if table == "run":
            error_class = "'user'" if state == "failed" else "NULL"
            more += f", cause = 'c', owner = 'o', error_class = {error_class}"
        return f"UPDATE {table} SET state = '{state}'{more} WHERE id = (SELECT id FROM {table} ORDER BY id LIMIT 1)"

    connection = catalogue.connection
    for before in states:
        for after in states:
            if before == after:
                continue
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            connection.execute(text(put(before)))
            connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER {table}_update_guard"))
            try:
                connection.execute(text(put(after)))
                refused = ""
            except DBAPIError as error:
                refused = str(error.orig.sqlstate)
            connection.rollback()
            connection.execute(text("SET search_path = holdfast"))
            assert (refused == "") == ((before, after) in allowed), (
                f"{table} {before} → {after}: {refused or 'allowed'}"
            )
            assert refused in ("", "HF005", "HF002")
