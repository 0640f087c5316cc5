"""What somebody can do who has stolen the service's login: not make history that was not, nor unmake what was."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import Connection, create_engine, text

from holdfast.core.access import Caller, Permission, Role
from holdfast.core.audit import AuditAction
from holdfast.core.errors import IntegrityViolation, PolicyViolation, StateConflict
from holdfast.service.event import event_row, record_events
from holdfast.settings import Platform
from holdfast.store.tables import Table
from holdfast.wire.model import ApprovalGateSpec, PolicyRequest
from holdfast.wire.project import RoleBindingRequest, TokenRequest
from holdfast.wire.run import InputRef
from tests.integration.test_database_guards import approve, refusal
from tests.support.disposal import PLANNER, approve_plan, begin, disposer_of, grow_old, index, make_plan
from tests.support.holds import hold_on, place
from tests.support.ledger import unguarded
from tests.support.postgres import PostgresServer
from tests.support.story import Story

SET_BY_DATABASE = {
    "alias_assignment": {"valid_from", "recorded_at"},
    "audit_event": {"recorded_at", "xid", "erased_at"},
    "audit_retention": {"defined_at"},
    "audit_segment": {column.name for column in Table.metadata.tables["holdfast.audit_segment"].columns},
    "export_dead_letter": {"replayed_at"},
    "export_sink": {"leaf_hash", "delivered_at", "error", "failing_since", "paused_at"},
    "ledger_checkpoint": {"signed_at"},
    "ledger_head": {"is_only", "size", "cursor_xid", "cursor_event", "server"},
    "legal_hold": {"number", "released_at"},
    "legal_hold_object": {column.name for column in Table.metadata.tables["holdfast.legal_hold_object"].columns},
    "legal_hold_release": {"requested_at", "decision", "decided_by", "decided_at", "decision_reason"},
    "pipeline_run": {"ended_at"},
    "project": {"archived_at"},
    "retention_certificate": {
        column.name for column in Table.metadata.tables["holdfast.retention_certificate"].columns
    },
    "retention_plan": {"number", "server"},
    "retention_plan_item": {"state", "says", "ended_at"},
    "role_binding": {"revoked_at"},
    "run": {
        "since",
        "started_at",
        "ended_at",
        "fence",
        "cause",
        "owner",
        "error_class",
        "exit_code",
        "metrics",
        "observed",
    },
    "service_token": {"revoked_at"},
}
COLUMNS = [(table.name, column.name) for table in Table.metadata.sorted_tables for column in table.columns]
POLICY = PolicyRequest(name="two", gates=[ApprovalGateSpec(count=2, roles=[Role.SECURITY_OFFICER])])
_NEW_PROMOTION = (
    "INSERT INTO promotion (id, project_id, model_id, model_version_id, alias, policy_id, evidence, evidence_digest, creators,"
    " requested_by, state, expires_at) SELECT gen_random_uuid(), project_id, model_id, model_version_id, alias, policy_id, evidence,"
    " evidence_digest, {creators}, {requested_by}, '{state}', {expires_at} FROM promotion WHERE id = :id RETURNING id"
)
NEW_DECISION = (
    "INSERT INTO promotion_decision (promotion_id, principal, project_id, creators, roles, decision, evidence_digest, reason)"
    " SELECT id, {principal}, project_id, creators, {roles}, 'approve', evidence_digest, '' FROM promotion WHERE id = :id"
)


def new_promotion(**changes: str) -> str:
    """Return the INSERT of a promotion like the one named by `:id`, with other SQL for some of its columns."""
    as_it_is = {"creators": "creators", "requested_by": "requested_by", "expires_at": "expires_at - interval '1 h'"}
    return _NEW_PROMOTION.format(**{**as_it_is, "state": "pending", **changes})


@pytest.fixture
def thief(database: tuple[str, str]) -> Iterator[Connection]:
    """The service's login, without the service."""
    engine = create_engine(database[1], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET search_path = holdfast"))
        yield connection
    engine.dispose()


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_times_and_endings_are_not_for_the_service_to_insert(table: str, column: str, thief: Connection) -> None:
    may = thief.scalar(
        text("SELECT has_column_privilege(:table, :column, 'INSERT')"), {"table": table, "column": column}
    )
    assert may == (column != "created_at" and column not in SET_BY_DATABASE.get(table, ()))


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "ALTER TABLE run DISABLE TRIGGER run_guard",
        "ALTER TABLE run DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_event_guard ON audit_event",
        "ALTER TABLE promotion_decision DROP CONSTRAINT promotion_decision_creator_is_not_approver_ck",
        "CREATE OR REPLACE FUNCTION holdfast.guard_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TABLE holdfast.mine (id int)",
        "CREATE RULE away AS ON INSERT TO audit_event DO INSTEAD NOTHING",
        "CREATE TRIGGER mine BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION holdfast.guard_row()",
        "SELECT holdfast.guard_archive()",
        "SET ROLE holdfast_disposer",
        "SELECT begin_disposal(gen_random_uuid(), '{}')",
        "SELECT end_disposal(gen_random_uuid(), '{}', '{}', '{}')",
        "SELECT certify_plan(gen_random_uuid(), gen_random_uuid(), '', '', '')",
        "UPDATE retention_plan_item SET state = 'purging'",
        "UPDATE retention_plan SET root = sha256('')",
        "DELETE FROM retention_plan_decision",
        "SET ROLE postgres",
        "ALTER ROLE holdfast_service SUPERUSER",
        "COPY audit_event TO PROGRAM 'cat'",
        "SELECT pg_read_file('postgresql.conf')",
        "ALTER SYSTEM SET fsync = off",
        "DELETE FROM pg_catalog.pg_trigger",
    ],
)
def test_the_service_login_does_not_take_the_guards_away(statement: str, thief: Connection) -> None:
    assert refusal(thief, statement) in ("42501", "0A000")


def test_shadow_tables_do_not_deceive_a_guard(story: Story, thief: Connection) -> None:
    promotion = story.request_promotion()
    for table in ("promotion", "promotion_decision", "promotion_policy", "project"):
        thief.execute(text(f"CREATE TEMP TABLE {table} (LIKE holdfast.{table})"))
    thief.execute(
        text("CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'epoch'::timestamptz $$")
    )
    thief.execute(
        text(
            "INSERT INTO pg_temp.promotion_decision (promotion_id, principal, project_id, creators, roles, decision,"
            " evidence_digest, reason, created_at) SELECT id, 'user:olaf', project_id, creators, '{security_officer}', 'approve',"
            " evidence_digest, '', now() FROM holdfast.promotion WHERE id = :id"
        ),
        {"id": promotion.id},
    )
    thief.execute(text("SET search_path = pg_temp, holdfast, pg_catalog"))
    assert refusal(thief, "UPDATE holdfast.promotion SET state = 'approved' WHERE id = :id", id=promotion.id) == "HF004"


def test_fewer_approvals_than_the_policy_asks_for_do_not_approve(story: Story, thief: Connection) -> None:
    story.mia.promotions.define_policy(story.project, POLICY)
    install = story.act_as("system:install")
    install.projects.bind_role(story.project, RoleBindingRequest(subject="user:otto", role="security_officer"))
    promotion = story.request_promotion(policy="two")
    approving = "UPDATE promotion SET state = 'approved' WHERE id = :id"
    assert approve(story, promotion).state == "pending"
    assert refusal(thief, approving, id=promotion.id) == "HF004"
    # A second approval by somebody without the role does not count.
    thief.execute(text(NEW_DECISION.format(principal="'user:vera'", roles="'{viewer}'")), {"id": promotion.id})
    assert refusal(thief, approving, id=promotion.id) == "HF004"
    assert approve(story, promotion, "user:otto").state == "approved"


def test_a_promotion_is_not_born_approved_nor_outlives_its_policy(story: Story, thief: Connection) -> None:
    promotion = story.request_promotion()
    for state in ("approved", "executed", "rejected"):
        assert refusal(thief, new_promotion(state=state), id=promotion.id) == "HF005"
    assert refusal(thief, new_promotion(expires_at="expires_at + interval '1 h'"), id=promotion.id) == "HF004"


@pytest.mark.parametrize("creators", ["'{user:nobody}'", "'{user:mia,user:nobody}'", "'{}'"])
def test_the_creators_of_a_promotion_are_not_chosen(creators: str, story: Story, thief: Connection) -> None:
    pipeline = story.pipeline_run(run_id="by hand", triggered_by="tina")
    promotion = story.request_promotion(story.register_model(story.succeed(pipeline_run=pipeline, parameters={"n": 1})))
    assert promotion.creators == ["user:mia", "user:tina"]
    forged = new_promotion(creators=creators, requested_by="'user:nobody'")
    assert refusal(thief, forged, id=promotion.id) == "HF004"


@pytest.mark.parametrize("part", ["ended a Run", "made an input", "made an input's input", "registered the data"])
def test_whoever_had_a_part_in_a_model_does_not_decide_on_it(part: str, story: Story, thief: Connection) -> None:
    story.act_as("system:install").projects.bind_role(
        story.project, RoleBindingRequest(subject="user:olaf", role="project_maintainer")
    )
    # Olaf in the place of Mia, for that part.
    by_olaf = replace(story, act_as=lambda who: story.act_as("user:olaf" if who == "user:mia" else who))

    if part == "ended a Run":
        run = by_olaf.finish_run(story.start_run())
    elif part == "registered the data":
        data = story.olaf.datasets.register(story.project, secrets.token_hex(4), story.dataset_request(part))
        run = story.succeed(inputs={"data": InputRef(dataset_version=data.id)})
    else:
        run = by_olaf.succeed()
        for _ in range(1 if part == "made an input" else 2):
            run = story.succeed(inputs={"base": InputRef(artifact=story.artifact(run, "model"))})
    promotion = story.request_promotion(story.register_model(run))
    assert promotion.creators == ["user:mia", "user:olaf"]
    with pytest.raises(PolicyViolation, match="took part"):
        approve(story, promotion)
    assert refusal(thief, new_promotion(creators="'{user:mia}'"), id=promotion.id) == "HF004"


def test_who_made_a_service_token_is_a_creator_of_what_the_token_made(story: Story, thief: Connection) -> None:
    story.act_as("system:install").projects.bind_role(
        story.project, RoleBindingRequest(subject="user:tom", role="project_maintainer")
    )
    request = TokenRequest(name="toms", scope=[Permission.PROJECT_READ, Permission.PROMOTION_REQUEST])
    token = story.act_as("user:tom").projects.create_token(story.project, request).token
    version = story.register_model()
    from holdfast.core.access import Caller

    service = story.act_as("user:mia")
    bearer = replace(service, caller=Caller(f"token:{token.id}", project=story.project, scope=frozenset(request.scope)))
    from holdfast.wire.model import PromotionRequest

    promotion = bearer.promotions.request(
        story.project, PromotionRequest(model_version=version.id, alias="champion", policy="clinical")
    )
    assert {"user:tom", f"token:{token.id}"} <= set(promotion.creators)
    with pytest.raises(PolicyViolation, match="took part"):
        approve(story, promotion, "user:tom")
    without = new_promotion(creators="array_remove(creators, 'user:tom')")
    assert refusal(thief, without, id=promotion.id) == "HF004"


def test_no_decision_is_added_to_what_is_decided(story: Story, thief: Connection) -> None:
    promotion = story.request_promotion()
    approve(story, promotion)
    late = NEW_DECISION.format(principal="'user:late'", roles="'{security_officer}'")
    assert refusal(thief, late, id=promotion.id) == "HF004"
    story.mia.promotions.execute(story.project, promotion.id)
    assert refusal(thief, late, id=promotion.id) == "HF004"


def test_a_rejection_cannot_be_stepped_over(story: Story, thief: Connection) -> None:
    promotion = story.request_promotion()
    for principal, decision in (("user:otto", "reject"), ("user:olaf", "approve")):
        thief.execute(
            text(
                NEW_DECISION.format(principal=f"'{principal}'", roles="'{security_officer}'").replace(
                    "'approve'", f"'{decision}'"
                )
            ),
            {"id": promotion.id},
        )
    assert refusal(thief, "UPDATE promotion SET state = 'approved' WHERE id = :id", id=promotion.id) == "HF004"


def test_an_alias_points_only_where_its_promotion_does(story: Story, thief: Connection) -> None:
    promotion, other = story.request_promotion(), story.register_model(story.succeed(parameters={"n": 2}))
    approve(story, promotion)
    thief.execute(text("UPDATE promotion SET state = 'executed' WHERE id = :id"), {"id": promotion.id})
    move = (
        "INSERT INTO alias_assignment (id, project_id, model_id, alias, model_version_id, promotion_id)"
        " SELECT gen_random_uuid(), project_id, model_id, {alias}, {version}, id FROM promotion WHERE id = :id"
    )
    assert refusal(thief, move.format(alias="'other'", version="model_version_id"), id=promotion.id) == "23503"
    assert refusal(thief, move.format(alias="alias", version=f"'{other.id}'"), id=promotion.id) == "23503"
    backdated = move.replace("promotion_id)", "promotion_id, valid_from)").replace(
        ", id FROM", ", id, '2000-01-01' FROM"
    )
    assert refusal(thief, backdated.format(alias="alias", version="model_version_id"), id=promotion.id) == "42501"


def test_a_run_is_not_born_ended_and_not_bound_to_more_later(story: Story, thief: Connection) -> None:
    run = story.start_run()
    columns = [
        c.name
        for c in Table.metadata.tables["holdfast.run"].columns
        if c.name not in SET_BY_DATABASE["run"] | {"created_at"}
    ]
    born = (
        f"INSERT INTO run ({', '.join(columns)}) SELECT "
        + ", ".join(
            {"id": "gen_random_uuid()", "state": "'succeeded'", "idempotency_key": "sha256(idempotency_key)"}.get(c, c)
            for c in columns
        )
        + " FROM run WHERE id = :id"
    )
    assert refusal(thief, born, id=run.id) == "HF005"
    assert refusal(thief, "UPDATE run SET state = 'created' WHERE id = :id", id=run.id) == "HF005"
    assert refusal(thief, "UPDATE run SET fence = 'pod-2' WHERE id = :id", id=run.id) == "HF001"
    assert (
        refusal(thief, "UPDATE run SET started_at = started_at - interval '1 h' WHERE id = :id", id=run.id) == "HF001"
    )
    bound = (
        "INSERT INTO run_input (run_id, name, project_id, dataset_version_id, digest)"
        " SELECT run_id, name || '2', project_id, dataset_version_id, digest FROM run_input WHERE run_id = :id"
    )
    assert refusal(thief, bound, id=run.id) == "HF001"


def test_what_is_whole_takes_no_new_part(story: Story, thief: Connection) -> None:
    version = story.register_model()
    run = version.source_run
    artifact = (
        "INSERT INTO artifact (id, project_id, run_id, name, kind, object_key, version_id, digest, size_bytes, retention_class,"
        " provenance, state, created_by) SELECT gen_random_uuid(), project_id, run_id, name || '2', kind, object_key, version_id,"
        " digest, size_bytes, retention_class, provenance, state, created_by FROM artifact WHERE run_id = :id LIMIT 1"
    )
    assert refusal(thief, artifact, id=run) == "HF002"
    evidence = (
        "INSERT INTO model_version_artifact (model_version_id, artifact_id, project_id, role, digest)"
        " SELECT :version, a.id, a.project_id, 'evidence', a.digest FROM artifact a WHERE a.run_id = :id AND NOT EXISTS"
        " (SELECT FROM model_version_artifact m WHERE m.artifact_id = a.id)"
    )
    assert refusal(thief, evidence, id=run, version=version.id) == "HF001"
    file = (
        "INSERT INTO dataset_file (dataset_version_id, path, project_id, digest, size_bytes)"
        " SELECT dataset_version_id, path || '2', project_id, digest, size_bytes FROM dataset_file LIMIT 1"
    )
    assert refusal(thief, file) == "HF001"


@pytest.mark.parametrize(
    ("table", "column"), [("project", "archived_at"), ("role_binding", "revoked_at"), ("service_token", "revoked_at")]
)
def test_an_ending_is_dated_now(table: str, column: str, story: Story, thief: Connection) -> None:
    story.mia.projects.create_token(story.project, TokenRequest(name=secrets.token_hex(4), scope=["run.write"]))
    assert refusal(thief, f"UPDATE {table} SET {column} = now() - interval '1 day'") == "HF001"


def test_the_refusals_of_the_new_guards_are_polite(story: Story, thief: Connection) -> None:
    from sqlalchemy.exc import DBAPIError

    from holdfast.service.refusals import translate

    run = story.start_run()
    with pytest.raises(StateConflict, match="cannot become created"), translate():
        thief.execute(text("UPDATE run SET state = 'created' WHERE id = :id"), {"id": run.id})
    with pytest.raises(DBAPIError):
        thief.execute(text("SELECT nonsense"))


ITEM = "project_id, object_type, object_key, version_id, digest, size_bytes, policy_id, policy_digest, disposition"
MADE = "project_id, place, item_count, size_bytes, left_out, root, reason, planned_by"


def test_an_item_that_was_slipped_into_a_plan_while_it_was_made_is_not_carried_out(
    story: Story,
    platform: Platform,
    postgres: PostgresServer,
    database: tuple[str, str],
    owner_sql: Connection,
    thief: Connection,
) -> None:
    project = begin(story)
    project.succeed()
    grow_old(owner_sql)
    made, forged = make_plan(project), uuid4()
    young_run = project.succeed(parameters={"n": 2})
    young, another = (project.artifact(young_run, name) for name in ("model", "metrics"))
    thieves = create_engine(database[1])
    with thieves.begin() as early:
        early.execute(text("SET search_path = holdfast"))
        slip = f"INSERT INTO retention_plan_item (plan_id, index, object_id, {ITEM}) SELECT :new, {{index}}, {{object}}, {ITEM}"
        from_plan = " FROM retention_plan_item WHERE plan_id = :plan"
        slipped = (
            "INSERT INTO retention_plan_item (plan_id, index, object_id, project_id, object_type, object_key, version_id, digest,"
            " size_bytes, policy_id, policy_digest, disposition) SELECT :new, 4, a.id, a.project_id, 'artifact', a.object_key,"
            " a.version_id, a.digest, a.size_bytes, i.policy_id, i.policy_digest, 'delete' FROM artifact a, retention_plan_item i"
            " WHERE a.id = :young AND i.plan_id = :plan AND i.index = 0"
        )
        early.execute(text(slipped), {"new": forged, "plan": made.id, "young": young})
        with thieves.begin() as other:
            other.execute(text("SET search_path = holdfast"))
            whole = slip.format(index="index", object="object_id") + from_plan
            other.execute(text(whole), {"new": forged, "plan": made.id})
            plan = f"INSERT INTO retention_plan (id, {MADE}) SELECT :new, {MADE} FROM retention_plan WHERE id = :plan"
            other.execute(text(plan), {"new": forged, "plan": made.id})
    thieves.dispose()
    again = slipped.replace(":new, 4,", ":new, 5,")
    assert refusal(thief, again, new=forged, plan=made.id, young=another) == "HF001"
    assert owner_sql.scalar(text("SELECT count(*) FROM retention_plan_item WHERE plan_id = :id"), {"id": forged}) == 5
    found = project.act_as(PLANNER).retention_plans.get(project.project, str(forged))
    with pytest.raises(IntegrityViolation, match="are not those that were approved"):
        approve_plan(project, found, platform.engine)
    # Nor where the thief writes the approval, too, with the event that it has to have.
    thief.execute(
        text(
            "INSERT INTO retention_plan_decision (plan_id, planned_by, root, principal, roles, decision, reason)"
            " SELECT id, planned_by, root, 'user:sam', ARRAY['security_officer'], 'approve', '' FROM retention_plan WHERE id = :plan"
        ),
        {"plan": forged},
    )
    approved = (Caller("user:sam"), project.project, AuditAction.RETENTION_PLAN_APPROVED)
    record_events(platform.engine, event_row(*approved, ("retention_plan", str(forged)), {"root": found.root}))
    index(platform.engine)
    carry_out = "SELECT * FROM begin_disposal(:plan, CAST(:indexes AS bigint[]))"
    with disposer_of(postgres, database[0]) as engine:
        for indexes in ([4], [0, 1, 2, 3, 4]):
            with engine.connect() as connection:
                assert refusal(connection, carry_out, plan=forged, indexes=indexes) == "HF012"


def test_a_plan_speaks_of_each_object_as_it_is_on_record(
    story: Story,
    platform: Platform,
    postgres: PostgresServer,
    database: tuple[str, str],
    owner_sql: Connection,
    thief: Connection,
) -> None:
    """With the key of another object the bytes of that would go, whatever holds it."""
    project = begin(story)
    run = project.succeed()
    grow_old(owner_sql)
    made = approve_plan(project, make_plan(project), platform.engine)
    other = project.artifact(project.succeed(parameters={"n": 2}), "model")
    mine = {"new": uuid4(), "plan": made.id, "its": project.artifact(run, "metrics"), "other": other}
    its = dict(zip(names := [name.strip() for name in ITEM.split(",")], (f"i.{name}" for name in names), strict=True))
    changes = {
        "object_key": "o.object_key",
        "version_id": "o.version_id",
        "digest": "o.digest",
        "size_bytes": "i.size_bytes + 1",
        "project_id": "(SELECT id FROM project WHERE id <> i.project_id LIMIT 1)",
    }
    source = "FROM retention_plan_item i, artifact o WHERE i.plan_id = :plan AND i.object_id = :its AND o.id = :other"
    for column, value in changes.items():
        values = ", ".join({**its, column: value}.values())
        forge = f"INSERT INTO retention_plan_item (plan_id, index, object_id, {ITEM}) SELECT :new, 0, i.object_id, {values} {source}"
        assert refusal(thief, forge, **mine) in ("HF007", "23503"), column
    # And where it was changed afterwards, with the guards asleep.
    with unguarded(owner_sql, "retention_plan_item"):
        owner_sql.execute(
            text(
                "UPDATE retention_plan_item i SET object_key = o.object_key, version_id = o.version_id FROM artifact o"
                " WHERE i.plan_id = :plan AND i.object_id = :its AND o.id = :other"
            ),
            mine,
        )
    with disposer_of(postgres, database[0]) as engine, engine.connect() as connection:
        assert (
            refusal(connection, "SELECT * FROM begin_disposal(:plan, ARRAY[0, 1, 2, 3]::bigint[])", plan=made.id)
            == "HF007"
        )


def test_the_owner_makes_nothing_go_and_releases_nothing_while_the_guards_are_awake(
    story: Story, platform: Platform, owner_sql: Connection
) -> None:
    project = begin(story)
    run = project.succeed()
    hold = place(project, hold_on("artifact", project.artifact(run, "model"), is_expanded=False))
    grow_old(owner_sql)
    plan = make_plan(project)
    released = (
        "INSERT INTO legal_hold_release (id, hold_id, requested_by, reason, requested_at, decision, decided_by, decided_at)"
        " VALUES (gen_random_uuid(), :hold, 'user:sofia', 'x', now() - interval '3 days', {decision})"
    )
    for decision in ("'approve', 'user:sam', now()", "NULL, NULL, NULL"):
        assert refusal(owner_sql, released.format(decision=decision), hold=hold.id) == "HF009"
    assert (
        refusal(owner_sql, "UPDATE retention_plan_item SET state = 'purging' WHERE plan_id = :id", id=plan.id)
        == "HF012"
    )
    decided = (
        "INSERT INTO retention_plan_decision (plan_id, planned_by, root, principal, roles, decision, reason, created_at)"
        " SELECT id, planned_by, root, 'user:sam', ARRAY['security_officer'], 'approve', '', now() + interval '100 years'"
        " FROM retention_plan WHERE id = :id"
    )
    assert refusal(owner_sql, decided, id=plan.id) == "HF001"
