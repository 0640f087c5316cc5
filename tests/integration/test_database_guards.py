"""What the database itself refuses, whoever asks: each guard is seen to fire."""

from __future__ import annotations

import secrets

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from holdfast.core.access import Caller
from holdfast.core.audit import EventClass
from holdfast.ops.segments import define_retention
from holdfast.service.transaction import Transactions
from holdfast.settings import Platform
from holdfast.store.tables import Table
from holdfast.wire.model import DecisionRequest, Promotion
from tests.support.disposal import dispose_something
from tests.support.export import export_something
from tests.support.holds import hold_something
from tests.support.postgres import PostgresServer
from tests.support.probe import record_probe
from tests.support.retention import approve_retention, propose_retention
from tests.support.story import Story

OTHER_KEYS = {"is_only": "false", "segment": "segment + 1000"}
TABLES = sorted(table.name for table in Table.metadata.sorted_tables)
ROLES = ("holdfast_service", "holdfast_disposer", "holdfast_reader", "holdfast_auditor")
SECRET = {"audit_event", "idempotency_reply", "service_token"}
MUTABLE = {
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
}
# Only by functions of the disposer.
DISPOSED = {"audit_event", "audit_segment", "retention_plan_item"}
READ_BY_DISPOSER = {"export_sink", "project", "store_probe"}


def expected(role: str, verb: str, table: str) -> bool:
    match role, verb:
        case "holdfast_service", "SELECT":
            return True
        case "holdfast_service", "INSERT":
            return table not in ("ledger_head", "audit_segment", "legal_hold_object", "retention_certificate")
        case "holdfast_service", "UPDATE":
            return table in MUTABLE - DISPOSED
        case "holdfast_disposer", "SELECT":
            return table.startswith(("audit_", "ledger_", "legal_hold", "retention_")) or table in READ_BY_DISPOSER
        case "holdfast_disposer", "INSERT":
            return table == "audit_event"
        case "holdfast_reader", "SELECT":
            return table not in SECRET
        case "holdfast_auditor", "SELECT":
            return table not in SECRET or table == "audit_event"
        case _:
            return False


def refusal(connection: Connection, statement: str, **values: object) -> str:
    with pytest.raises(DBAPIError) as refused:
        connection.execute(text(statement), values)
    return str(refused.value.orig.sqlstate)


def approve(story: Story, promotion: Promotion, principal: str = "user:olaf") -> Promotion:
    decision = DecisionRequest(decision="approve", evidence_digest=promotion.evidence_digest)
    return story.act_as(principal).promotions.decide(story.project, promotion.id, decision)


@pytest.fixture(scope="module")
def promoted(
    story: Story,
    platform: Platform,
    postgres: PostgresServer,
    database: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Story:
    """A Project in which every table has a row."""
    promotion = story.request_promotion()
    story.olaf.promotions.decide(
        story.project, promotion.id, DecisionRequest(decision="approve", evidence_digest=promotion.evidence_digest)
    )
    story.mia.promotions.execute(story.project, promotion.id, key=secrets.token_hex(8))
    from holdfast.wire.project import TokenRequest

    story.mia.projects.create_token(story.project, TokenRequest(name="worker", scope=["run.write"]))
    dispose_something(story, platform, postgres, database[0])
    export_something(platform.engine, tmp_path_factory.mktemp("ledger"))
    define_retention(Transactions(platform.engine, Caller("system:tests")), EventClass.READ, 365, None, "tests")
    record_probe(platform)
    approve_retention(story)
    hold_something(story)
    return story


@pytest.mark.parametrize("role", ROLES)
def test_each_role_holds_exactly_its_privileges_on_every_table(role: str, owner_sql: Connection) -> None:
    for table in TABLES:
        for verb in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
            check = "has_any_column_privilege" if verb in ("SELECT", "INSERT", "UPDATE") else "has_table_privilege"
            held = owner_sql.scalar(
                text(f"SELECT {check}(:role, :table, :verb)"),
                {"role": role, "table": f"holdfast.{table}", "verb": verb},
            )
            assert held == expected(role, verb, table), f"{role} {verb} {table}"


# Who may call what runs with its owner's rights; what no role is named for is for triggers and other such functions alone.
CALLED_BY = {
    "open_segment": set(),
    **{
        name: {"holdfast_disposer"}
        for name in (
            "approval_of",
            "begin_disposal",
            "certify_plan",
            "close_segment",
            "dispose_segment",
            "end_disposal",
            "erase_event",
            "seal_segment",
        )
    },
    "place_hold": {"holdfast_service"},
}


def test_what_runs_with_the_rights_of_its_owner_has_a_path_of_its_own_and_is_called_by_whom_it_is_for(
    owner_sql: Connection,
) -> None:
    found = owner_sql.execute(
        text(
            "SELECT p.proname, p.prorettype = 'trigger'::regtype AS is_trigger, p.proconfig, ARRAY("
            " SELECT r.rolname::text FROM pg_roles r WHERE r.rolname = ANY (:roles) AND has_function_privilege(r.oid, p.oid, 'EXECUTE')"
            ") AS roles, has_function_privilege('public', p.oid, 'EXECUTE') AS is_public FROM pg_proc p"
            " WHERE p.pronamespace = 'holdfast'::regnamespace AND p.prosecdef ORDER BY 1"
        ),
        {"roles": list(ROLES)},
    ).all()
    called = {row.proname: set(row.roles) for row in found if not row.is_trigger}
    assert called == CALLED_BY
    for name, is_trigger, config, roles, is_public in found:
        assert "search_path=pg_catalog, pg_temp" in config, name
        assert not is_public, name
        assert not (is_trigger and roles), name


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
def test_not_even_the_owner_changes_or_removes_a_row(
    table: str, verb: str, promoted: Story, owner_sql: Connection
) -> None:
    assert owner_sql.scalar(text(f"SELECT count(*) FROM {table}")) > 0
    key = next(iter(Table.metadata.tables[f"holdfast.{table}"].primary_key.columns)).name
    statement = {
        "UPDATE": f"UPDATE {table} SET {key} = {key}"
        if table not in MUTABLE
        else f"UPDATE {table} SET {key} = {OTHER_KEYS.get(key, 'gen_random_uuid()')}",
        "DELETE": f"DELETE FROM {table}",
        "TRUNCATE": f"TRUNCATE {table} CASCADE",
    }[verb]
    assert refusal(owner_sql, statement) in ("HF001", "HF002", "HF004")


@pytest.mark.parametrize("table", TABLES)
def test_the_service_login_may_not_delete_or_truncate(
    table: str, postgres: PostgresServer, database: tuple[str, str], promoted: Story
) -> None:
    engine = create_engine(database[1], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET search_path = holdfast"))
        assert refusal(connection, f"DELETE FROM {table}") == "42501"
        assert refusal(connection, f"TRUNCATE {table}") == "42501"
    engine.dispose()


def test_a_run_that_has_ended_is_closed_to_the_owner_too(promoted: Story, owner_sql: Connection) -> None:
    statement = "UPDATE run SET cause = 'better so' WHERE state = 'succeeded'"
    assert refusal(owner_sql, statement) == "HF002"


@pytest.mark.parametrize(
    "column", ["seal", "parameters", "command", "code_commit", "environment_lock_id", "created_by"]
)
def test_a_binding_of_an_open_run_does_not_change(column: str, promoted: Story, owner_sql: Connection) -> None:
    run = promoted.start_run()
    value = {
        "seal": "decode(repeat('00', 32), 'hex')",
        "parameters": "'{}'",
        "command": "'[]'",
        "code_commit": "repeat('d', 40)",
    }
    new = value.get(column, "gen_random_uuid()" if column == "environment_lock_id" else "'x'")
    assert refusal(owner_sql, f"UPDATE run SET {column} = {new} WHERE id = :run", run=run.id) == "HF001"


@pytest.mark.parametrize(
    ("table", "column", "target"),
    [
        ("run", "pipeline_run_id", "pipeline_run"),
        ("run", "environment_lock_id", "environment_lock"),
        ("run_input", "dataset_version_id", "dataset_version"),
        ("artifact", "run_id", "run"),
        ("model_version", "source_run_id", "run"),
        ("model_version_artifact", "artifact_id", "artifact"),
        ("promotion", "policy_id", "promotion_policy"),
    ],
)
def test_a_reference_across_projects_cannot_be_stored(
    table: str, column: str, target: str, promoted: Story, owner_sql: Connection
) -> None:
    other = Story.begin(promoted.act_as, promoted.objects)
    other.register_model()
    columns = [c.name for c in Table.metadata.tables[f"holdfast.{table}"].columns]
    foreign = (
        f"(SELECT t.id FROM {target} t JOIN project p ON p.id = t.project_id WHERE p.name = '{other.project}' LIMIT 1)"
    )
    unique = {
        "id": "gen_random_uuid()",
        "idempotency_key": "sha256(gen_random_uuid()::text::bytea)",
        "number": "number + 1000",
        "name": "name || 'x'",
        "state": {"promotion": "'pending'", "run": "'created'", "model_version": "'draft'"}.get(table, "state"),
        "ended_at": "NULL",
        "created_at": "now()",
        "expires_at": "now() + interval '1 min'",
        column: foreign,
    }
    values = ", ".join(unique.get(name, name) for name in columns)
    copy = (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table}"
        f" WHERE project_id = (SELECT id FROM project WHERE name = '{promoted.project}') LIMIT 1"
    )
    if column == "dataset_version_id":
        copy = copy.replace(" LIMIT 1", " AND dataset_version_id IS NOT NULL LIMIT 1")
    assert refusal(owner_sql, copy) == "23503"


def test_a_namespace_is_of_one_project(promoted: Story, owner_sql: Connection) -> None:
    shared = (
        "INSERT INTO project (id, name, owner, project_class, data_plane, namespace)"
        " SELECT gen_random_uuid(), 'shared' || n, 'o', 'development', 'kubernetes', 'shared' FROM generate_series(1, 2) n"
    )
    assert refusal(owner_sql, shared) == "23505"


def test_creator_is_not_approver_is_held_by_a_constraint(promoted: Story, owner_sql: Connection) -> None:
    promotion = promoted.request_promotion()
    statement = (
        "INSERT INTO promotion_decision (promotion_id, principal, project_id, creators, roles, decision, evidence_digest, reason)"
        " SELECT id, creators[1], project_id, creators, '{security_officer}', 'approve', evidence_digest, '' FROM promotion WHERE id = :id"
    )
    with pytest.raises(DBAPIError) as refused:
        owner_sql.execute(text(statement), {"id": promotion.id})
    assert refused.value.orig.diag.constraint_name == "promotion_decision_creator_is_not_approver_ck"
    emptied = statement.replace("project_id, creators, '{sec", "project_id, '{nobody}', '{sec")
    assert refusal(owner_sql, emptied, id=promotion.id) == "23503"


def test_proposer_is_not_approver_of_a_retention_policy_is_held_by_a_constraint(
    promoted: Story, owner_sql: Connection
) -> None:
    policy = propose_retention(promoted, "guarded", label="guarded")
    statement = (
        "INSERT INTO retention_policy_decision (policy_id, proposed_by, principal, roles, decision, digest, reason)"
        " SELECT id, {proposed_by}, {principal}, {roles}, 'approve', {digest}, '' FROM retention_policy WHERE id = :id"
    )
    as_it_is = {
        "proposed_by": "proposed_by",
        "principal": "'user:olaf'",
        "roles": "'{security_officer}'",
        "digest": "digest",
    }
    for changes, state, constraint in (
        ({"principal": "proposed_by"}, "23514", "retention_policy_decision_proposer_is_not_approver_ck"),
        ({"roles": "'{project_maintainer,viewer}'"}, "23514", "retention_policy_decision_approver_is_officer_ck"),
        ({"proposed_by": "'user:nobody'"}, "23503", "retention_policy_decision_proposal_fk"),
        ({"digest": "sha256(digest)"}, "23503", "retention_policy_decision_proposal_fk"),
    ):
        with pytest.raises(DBAPIError) as refused:
            owner_sql.execute(text(statement.format(**{**as_it_is, **changes})), {"id": policy.id})
        assert (refused.value.orig.sqlstate, refused.value.orig.diag.constraint_name) == (state, constraint)
    owner_sql.execute(text(statement.format(**as_it_is)), {"id": policy.id})
    assert refusal(owner_sql, statement.format(**{**as_it_is, "principal": "'user:otto'"}), id=policy.id) == "23505"


def test_a_promotion_cannot_be_executed_without_approval_nor_an_alias_moved_without_a_promotion(
    promoted: Story, owner_sql: Connection
) -> None:
    promotion = promoted.request_promotion()
    assert refusal(owner_sql, "UPDATE promotion SET state = 'executed' WHERE id = :id", id=promotion.id) == "HF004"
    assert refusal(owner_sql, "UPDATE promotion SET state = 'approved' WHERE id = :id", id=promotion.id) == "HF004"
    move = (
        "INSERT INTO alias_assignment (id, project_id, model_id, alias, model_version_id, promotion_id)"
        " SELECT gen_random_uuid(), project_id, model_id, alias, model_version_id, id FROM promotion WHERE id = :id"
    )
    assert refusal(owner_sql, move, id=promotion.id) == "HF004"


def test_an_event_whose_content_is_not_what_it_commits_to_cannot_be_stored(
    promoted: Story, owner_sql: Connection
) -> None:
    columns = "project, action, initiator, target_type, target_id, outcome, salt, commitment"
    forged = (
        f"INSERT INTO audit_event (id, content, {columns})"
        f" SELECT gen_random_uuid(), content || ' ', {columns} FROM audit_event LIMIT 1"
    )
    assert refusal(owner_sql, forged) == "23514"


def test_an_archived_project_takes_no_new_run_from_anybody(promoted: Story, owner_sql: Connection) -> None:
    other = Story.begin(promoted.act_as, promoted.objects)
    other.start_run()
    owner_sql.execute(text("UPDATE project SET archived_at = now() WHERE name = :name"), {"name": other.project})
    copy = (
        "INSERT INTO pipeline_run (id, project_id, dag_id, run_id, parameters, state)"
        " SELECT gen_random_uuid(), id, 'd', 'r2', '{}', 'running' FROM project WHERE name = :name"
    )
    assert refusal(owner_sql, copy, name=other.project) == "HF003"
    assert refusal(owner_sql, "UPDATE project SET archived_at = NULL WHERE name = :name", name=other.project) == "HF002"
