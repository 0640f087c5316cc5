"""Retention plans: of exactly what may go, decided on by another person over exactly their root, and what the database refuses."""

from __future__ import annotations

import random
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from holdfast.core.errors import InvalidRequest, NotFound, PolicyViolation, StateConflict
from holdfast.core.retention.plan import root_of
from holdfast.objects.filesystem_eraser import FilesystemEraser
from holdfast.service import retention_plans as service
from holdfast.settings import Platform, Settings
from holdfast.store.engine import read_only
from holdfast.store.queries.retention_plans import item_of, items_of
from holdfast.wire.canonical import document_bytes
from holdfast.wire.retention_plan import RetentionPlanDecisionRequest, RetentionPlanWithdrawal
from holdfast.wire.run import InputRef
from tests.integration.test_database_guards import approve
from tests.support.disposal import (
    APPROVER,
    PLANNER,
    approve_plan,
    begin,
    disposal,
    grow_old,
    index,
    make_plan,
)
from tests.support.holds import hold_on, place
from tests.support.ledger import unguarded
from tests.support.retention import approve_retention, propose_retention
from tests.support.story import Story

ZEROS = f"sha256:{'0' * 64}"


@pytest.fixture
def eraser(settings: Settings) -> FilesystemEraser:
    assert settings.objects_root is not None
    return FilesystemEraser(settings.objects_root)


@pytest.fixture
def project(story: Story) -> Story:
    return begin(story)


def decided(story: Story, plan: str, root: str, decision: str = "approve", principal: str = APPROVER) -> Any:
    request = RetentionPlanDecisionRequest(decision=decision, root=root)
    return story.act_as(principal).retention_plans.decide(story.project, plan, request)


def contents(story: Story, plan: str) -> dict[str, Any]:
    found = story.vera.retention_plans.items(story.project, plan, limit=500)
    return {str(item.object): item for item in found.items}


def test_a_plan_has_exactly_what_may_go_and_its_root_binds_every_item(
    project: Story, owner: Connection, platform: Platform
) -> None:
    run = project.succeed()
    plot, model = project.artifact(run, "plots/roc.svg"), project.artifact(run, "model")
    project.mia.datasets.register(project.project, "cold", project.dataset_request("4,5"))
    cold = {"object_type": "dataset_version", "label": "cold", "disposition": "archive", "period_days": 2}
    approve_retention(project, propose_retention(project, "cold-data", **cold))
    version = project.register_model(run)
    promotion = project.request_promotion(version)
    approve(project, promotion)
    project.mia.promotions.execute(project.project, promotion.id, key=secrets.token_hex(8))
    other = project.succeed(parameters={"n": 2})
    grow_old(owner)
    held = project.artifact(other, "model")
    place(project, hold_on("artifact", held, is_expanded=False))

    plan = make_plan(project)
    found = contents(project, plan.name)
    # The champion with its evidence and its data is referred to, another Artifact is held, what is to be archived no plan can do.
    others = (project.artifact(other, name) for name in ("plots/roc.svg", "metrics"))
    assert set(found) == {str(plot), *map(str, others)}
    assert plan.left_out == {
        "something that is kept refers to it": 3,
        "its policy says archive, which no plan can do yet": 1,
    }, model
    assert (plan.item_count, plan.size_bytes) == (3, sum(item.size_bytes for item in found.values()))
    artifact = project.mia.artifacts.get(project.project, plot)
    item = found[str(plot)]
    assert (item.object_key, item.version_id, item.digest) == (
        artifact.object_key,
        artifact.version_id,
        artifact.digest,
    )
    assert item.policy in {policy.id for policy in project.vera.retention.list(project.project).items}
    with read_only(platform.engine) as connection:
        entries = [document_bytes(item_of(row).document(plan.id, row.index)) for row in items_of(connection, plan.id)]
    assert f"sha256:{root_of(entries).hex()}" == plan.root
    for changed in range(len(entries)):
        others = [entry + b" " if at == changed else entry for at, entry in enumerate(entries)]
        assert f"sha256:{root_of(others).hex()}" != plan.root
    event = project.olaf.audit.list(project.project, action="retention_plan.made", target=str(plan.id)).items[0]
    assert (event.content["root"], event.initiator) == (plan.root, PLANNER)
    assert explained_as_due(project, plot)


def explained_as_due(story: Story, identity: Any) -> bool:
    return story.vera.retention.explain(story.project, identity).outcome == "due"


def test_what_is_planned_is_what_is_explained_as_due(project: Story, owner: Connection) -> None:
    """The planner and `explain` are one decision: on what there is of every kind, they never differ."""
    runs = [project.succeed(parameters={"n": number}) for number in range(4)]
    project.start_run(inputs={"scores": InputRef(artifact=project.artifact(runs[0], "metrics"))})
    promotion = project.request_promotion(project.register_model(runs[1]))
    approve(project, promotion)
    grow_old(owner)
    project.succeed(parameters={"n": 9})  # too young
    place(project, hold_on("run", runs[2].id))
    plan = make_plan(project)
    objects = [artifact.id for artifact in project.vera.artifacts.list(project.project, limit=500).items]
    objects.append(project.register_dataset())
    due = {str(one) for one in objects if explained_as_due(project, one)}
    assert set(contents(project, plan.name)) == due
    assert len(due) not in (0, len(objects))


@pytest.mark.parametrize("seed", range(3))
def test_the_database_and_the_decision_agree_on_random_lineages(
    project: Story, owner: Connection, platform: Platform, seed: int
) -> None:
    """What is decided in Python when it is planned, and in SQL when it is carried out, is one rule written twice: so it is compared."""
    chance = random.Random(seed)
    approve_retention(
        project,
        propose_retention(project, "models", label="standard", starts="last_used", period_days=chance.randint(2, 6)),
    )
    runs: list[Any] = []
    for number in range(8):
        inputs: dict[str, InputRef] = {}
        if runs and chance.random() < 0.7:
            name = chance.choice(["model", "metrics", "plots/roc.svg"])
            inputs["before"] = InputRef(artifact=project.artifact(chance.choice(runs), name))
        if chance.random() < 0.5:
            inputs["data"] = InputRef(dataset_version=project.register_dataset())
        start = project.start_run if chance.random() < 0.15 else project.succeed
        run = start(inputs=inputs, parameters={"n": number})
        if start == project.succeed:
            runs.append(run)
            if chance.random() < 0.4:
                promotion = project.request_promotion(project.register_model(run))
                if chance.random() < 0.5:
                    approve(project, promotion)
                    project.mia.promotions.execute(project.project, promotion.id, key=secrets.token_hex(8))
    grow_old(owner, 1 + seed)
    objects = [("artifact", one.id) for one in project.vera.artifacts.list(project.project, limit=500).items]
    objects.append(("dataset_version", project.register_dataset()))
    with unguarded(owner, "artifact", "dataset_version"):
        for kind, one in objects:
            days = chance.randint(0, 4)
            owner.execute(
                text(f"UPDATE {kind} SET created_at = created_at - interval '{days} days' WHERE id = :id"), {"id": one}
            )
    owner.commit()
    place(project, hold_on("artifact", objects[0][1], is_expanded=seed == 1))
    ask = text("SELECT holdfast.obstacle_to_disposal(:kind, :id)")
    found = {}
    with read_only(platform.engine) as connection:
        for kind, one in objects:
            obstacle = connection.scalar(ask, {"kind": kind, "id": one})
            explained = project.vera.retention.explain(project.project, one)
            found[one] = obstacle
            assert (obstacle is None) == (explained.outcome == "due"), (kind, one, obstacle, explained.decided_by)
    if any(obstacle is None for obstacle in found.values()):
        assert set(contents(project, make_plan(project).name)) == {
            str(one) for one, why in found.items() if why is None
        }


def test_nothing_to_plan_says_why(project: Story) -> None:
    project.succeed()
    with pytest.raises(StateConflict, match="nothing in Project"):
        make_plan(project)


def test_only_another_person_decides_and_only_on_the_root_that_he_read(project: Story, owner: Connection) -> None:
    project.succeed()
    grow_old(owner)
    plan = make_plan(project)
    with pytest.raises(PolicyViolation, match="may not decide"):
        decided(project, plan.name, plan.root, principal=PLANNER)
    with pytest.raises(PolicyViolation, match="is no person"):
        decided(project, plan.name, plan.root, principal="system:install")
    with pytest.raises(StateConflict, match="another plan"):
        decided(project, plan.name, ZEROS)
    with pytest.raises(PolicyViolation, match=r"retention\.plan_decide"):
        decided(project, plan.name, plan.root, principal="user:mia")
    refused = project.olaf.audit.list(project.project, action="retention_plan.approved", target=str(plan.id)).items
    assert [event.outcome for event in refused] == ["refused"] * 3
    assert decided(project, str(plan.id), plan.root).state == "approved"
    for again in ("approve", "reject"):
        with pytest.raises(StateConflict, match="is approved already"):
            decided(project, plan.name, plan.root, again)
    with pytest.raises(StateConflict, match="is approved already"):
        project.act_as(PLANNER).retention_plans.withdraw(
            project.project, plan.name, RetentionPlanWithdrawal(reason="no")
        )
    with pytest.raises(NotFound, match="RP-999999"):
        project.vera.retention_plans.get(project.project, "RP-999999")
    elsewhere = begin(project)
    with pytest.raises(NotFound, match=plan.name):
        elsewhere.vera.retention_plans.get(elsewhere.project, plan.name)


def _sql(plan: Any) -> dict[str, str]:
    """Return what somebody with the service's login would do to let something go, by what refuses it."""
    item = "plan_id, index, project_id, object_type, object_id, object_key, version_id, digest, size_bytes, policy_id, policy_digest"
    copied = item.replace("index", "index + 100", 1).replace("object_id,", "gen_random_uuid(),", 1)
    decision = f"'{plan.id}', 'user:sofia', decode('{plan.root[7:]}', 'hex')"
    return {
        "UPDATE artifact SET state = 'expired' WHERE id = '{item}'": "HF012",
        "UPDATE artifact SET state = 'purged' WHERE id = '{item}'": "HF012",
        "UPDATE retention_plan_item SET state = 'purging'": "42501",
        "DELETE FROM retention_plan_item": "42501",
        "UPDATE retention_plan SET root = sha256('x')": "42501",
        f"INSERT INTO retention_plan_item ({item}, disposition) SELECT {copied}, disposition FROM retention_plan_item"
        f" WHERE plan_id = '{plan.id}' AND index = 0": "HF001",
        f"INSERT INTO retention_plan_decision (plan_id, planned_by, root, principal, roles, decision, reason) VALUES"
        f" ({decision}, 'user:sofia', ARRAY['security_officer'], 'approve', '')": "23514",
        f"INSERT INTO retention_plan_decision (plan_id, planned_by, root, principal, roles, decision, reason) VALUES"
        f" ({decision}, 'user:sam', ARRAY['viewer'], 'approve', '')": "23514",
        f"INSERT INTO retention_plan_decision (plan_id, planned_by, root, principal, roles, decision, reason) VALUES"
        f" ('{plan.id}', 'user:sofia', sha256('x'), 'user:sam', ARRAY['security_officer'], 'approve', '')": "23503",
        f"SELECT * FROM begin_disposal('{plan.id}', ARRAY[0])": "42501",
        f"SELECT end_disposal('{plan.id}', ARRAY[0], ARRAY['purged'], ARRAY[''])": "42501",
        f"SELECT certify_plan('{plan.id}', gen_random_uuid(), '', '', '')": "42501",
        "INSERT INTO retention_certificate (plan_id, event_id, content, digest, root) VALUES"
        f" ('{plan.id}', gen_random_uuid(), '', sha256(''), sha256(''))": "42501",
    }


def test_the_services_login_lets_nothing_go(project: Story, platform: Platform, owner: Connection) -> None:
    run = project.succeed()
    grow_old(owner)
    plan = make_plan(project)
    for statement, code in _sql(plan).items():
        with platform.engine.connect() as thief:
            with pytest.raises(DBAPIError) as refused:
                thief.execute(text(statement.format(item=project.artifact(run, "model"))))
            assert refused.value.orig.sqlstate == code, statement


def test_the_disposer_lets_go_only_what_is_planned_approved_and_in_the_log(
    project: Story, platform: Platform, owner: Connection, disposer: Engine
) -> None:
    project.succeed()
    grow_old(owner)
    plan = make_plan(project)

    def begun(its: Any = plan.id) -> str:
        with disposer.connect() as connection, pytest.raises(DBAPIError) as refused:
            connection.execute(text("SELECT * FROM begin_disposal(:plan, ARRAY[0])"), {"plan": its})
        return str(refused.value.orig)

    assert "there is no retention plan" in begun(uuid4())
    assert "is not approved" in begun()
    decided(project, plan.name, plan.root)
    assert "is not in the log yet" in begun()
    index(platform.engine)
    with disposer.connect() as thief:
        for statement, code in {
            "UPDATE artifact SET state = 'expired'": "42501",
            "DELETE FROM artifact": "42501",
            "UPDATE retention_plan_item SET state = 'purging'": "42501",
            "SELECT content FROM audit_event": "42501",
            f"SELECT end_disposal('{plan.id}', ARRAY[0], ARRAY['purged'], ARRAY[''])": "HF005",
            f"SELECT certify_plan('{plan.id}', gen_random_uuid(), '', '', '')": "HF012",
        }.items():
            with pytest.raises(DBAPIError) as refused:
                thief.execute(text(statement))
            assert refused.value.orig.sqlstate == code, statement
            thief.rollback()
    with disposer.begin() as connection:
        found = connection.execute(text("SELECT * FROM begin_disposal(:plan, ARRAY[0])"), {"plan": plan.id}).all()
        assert [tuple(row) for row in found] == [(0, None, False)]


def test_an_approval_without_its_event_or_for_another_root_is_none(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: FilesystemEraser
) -> None:
    project.succeed()
    grow_old(owner)
    plan = make_plan(project)
    # As somebody with the service's login and nothing else would approve it: a row, and no event.
    with platform.engine.begin() as thief:
        thief.execute(
            text(
                "INSERT INTO retention_plan_decision (plan_id, planned_by, root, principal, roles, decision, reason)"
                " SELECT id, planned_by, root, 'user:sam', ARRAY['security_officer'], 'approve', '' FROM retention_plan WHERE id = :plan"
            ),
            {"plan": plan.id},
        )
    index(platform.engine)
    with pytest.raises(Exception, match="is not in the log yet"):
        disposal(disposer, eraser).carry_out(plan.name)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ("UPDATE retention_plan_decision SET created_at = created_at - interval '169 hours'", "has expired"),
        ("UPDATE retention_plan_decision SET created_at = created_at + interval '1 hour'", "has expired"),
        ("UPDATE retention_plan SET server = server + 1", "another database server"),
        ("UPDATE retention_plan SET place = 's3://another/bucket'", "is for the object store"),
        ("UPDATE retention_plan_item SET size_bytes = size_bytes + 1 WHERE index = 1", "not those that were approved"),
        ("UPDATE retention_plan_item SET version_id = 'another' WHERE index = 0", "not those that were approved"),
        ("DELETE FROM retention_plan_item WHERE index = 1", "not those that were approved"),
    ],
)
def test_a_plan_that_is_not_the_one_approved_here_and_lately_is_not_carried_out(
    project: Story,
    platform: Platform,
    owner: Connection,
    disposer: Engine,
    eraser: FilesystemEraser,
    changed: str,
    says: str,
) -> None:
    project.succeed()
    grow_old(owner)
    plan = make_plan(project)
    approve_plan(project, plan, platform.engine)
    where = f"{'plan_id' if '_item' in changed or '_decision' in changed else 'id'} = '{plan.id}'"
    with unguarded(owner, "retention_plan", "retention_plan_item", "retention_plan_decision"):
        owner.execute(text(f"{changed} {'AND' if 'WHERE' in changed else 'WHERE'} {where}"))
    owner.commit()
    with pytest.raises(Exception, match=says):
        disposal(disposer, eraser).carry_out(plan.name)
    states = {artifact.state for artifact in project.vera.artifacts.list(project.project).items}
    assert states == {"available"}


def test_clocks_that_disagree_plan_nothing(project: Story, owner: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    project.succeed()
    grow_old(owner)

    class Jumped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=400)

    monkeypatch.setattr(service, "datetime", Jumped)
    with pytest.raises(StateConflict, match="the clock of"):
        make_plan(project)


def test_what_goes_takes_no_references_any_more(
    project: Story, platform: Platform, owner: Connection, disposer: Engine
) -> None:
    run = project.succeed()
    version = project.register_model(run)
    grow_old(owner)
    plan = make_plan(project)
    approve_plan(project, plan, platform.engine)
    with disposer.begin() as connection:
        connection.execute(
            text("SELECT * FROM begin_disposal(:plan, :indexes)"),
            {"plan": plan.id, "indexes": list(range(plan.item_count))},
        )
    model, data = project.artifact(run, "model"), project.register_dataset()
    assert project.vera.artifacts.get(project.project, model).state == "expired"
    for reference in (InputRef(artifact=model), InputRef(dataset_version=data)):
        with pytest.raises((InvalidRequest, StateConflict)):
            project.start_run(inputs={"data": reference})
    with pytest.raises((StateConflict, PolicyViolation)):
        project.request_promotion(version)
