"""What holds for retention plans by the service and over HTTP, from the making of one to the proof of what became of an object."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine

from holdfast.core.digest import parse
from holdfast.core.errors import InvalidRequest, NotFound, PolicyViolation, StateConflict
from holdfast.core.retention.plan import check_certified, check_line
from holdfast.ports import RetentionPlans
from holdfast.settings import Platform
from holdfast.wire.canonical import document_bytes, document_digest
from holdfast.wire.retention_plan import RetentionPlanDecisionRequest, RetentionPlanRequest, RetentionPlanWithdrawal
from tests.support.disposal import (
    APPROVER,
    PLANNER,
    approve_plan,
    begin,
    disposal,
    disposer_of,
    eraser_of,
    grow_old,
    make_plan,
)
from tests.support.postgres import PostgresServer
from tests.support.story import Story

WHY = RetentionPlanRequest(reason="the study is over")


@pytest.fixture
def due(story: Story, owner_sql: Connection) -> Story:
    """A Project whose four objects may go."""
    project = begin(story)
    project.succeed()
    grow_old(owner_sql)
    return project


@pytest.fixture(scope="module")
def disposer(postgres: PostgresServer, database: tuple[str, str]) -> Iterator[Engine]:
    with disposer_of(postgres, database[0]) as engine:
        yield engine


def plans(story: Story, principal: str) -> RetentionPlans:
    return story.act_as(principal).retention_plans


def carry_out(name: str, platform: Platform, disposer: Engine) -> None:
    disposal(disposer, eraser_of(platform)).carry_out(name)


def test_a_plan_says_exactly_what_goes_and_its_certificate_what_became_of_each(
    due: Story, platform: Platform, disposer: Engine
) -> None:
    made = plans(due, PLANNER).make(due.project, WHY)
    assert (made.state, made.item_count, made.project, made.outcomes) == ("made", 4, due.project, {"planned": 4})
    assert (
        plans(due, "user:vera").get(due.project, made.name)
        == plans(due, APPROVER).get(due.project, str(made.id))
        == made
    )
    assert plans(due, "user:vera").list(due.project).items[0].root == made.root
    first = plans(due, APPROVER).items(due.project, made.name, limit=3)
    rest = plans(due, APPROVER).items(due.project, made.name, limit=3, cursor=first.next)
    items = [*first.items, *rest.items]
    assert ([one.index for one in items], rest.next) == ([0, 1, 2, 3], None)
    assert made.size_bytes == sum(one.size_bytes for one in items)
    recorded = {one.id: one for one in due.vera.artifacts.list(due.project).items}
    for one in items:
        if one.object_type == "artifact":
            its = recorded[one.object]
            assert (one.digest, one.size_bytes) == (its.digest, its.size_bytes)

    approved = approve_plan(due, made, platform.engine)
    assert approved.decision is not None
    assert (approved.state, approved.decision.principal, approved.decision.roles) == (
        "approved",
        APPROVER,
        ["security_officer"],
    )
    assert approved.decision.expires_at is not None
    with pytest.raises(NotFound, match="has no certificate yet"):
        plans(due, APPROVER).certificate(due.project, made.name)
    carry_out(made.name, platform, disposer)

    done = plans(due, "user:vera").get(due.project, made.name)
    certificate = plans(due, "user:vera").certificate(due.project, made.name)
    assert (done.state, done.outcomes, done.certificate) == ("certified", {"purged": 4}, certificate.digest)
    assert parse(certificate.digest) == document_digest(certificate.content)
    for one in items:
        line = plans(due, "user:vera").line(due.project, made.name, one.object)
        assert (line.certificate, line.line["object"], line.line["outcome"]) == (certificate, str(one.object), "purged")
        path = [base64.b64decode(node) for node in line.path]
        root = parse(str(certificate.content["root"]))
        check_line(document_bytes(line.line), line.index, line.size, path, root)
        check_certified(line.line, line.index, line.size, made.id, certificate.content)
    with pytest.raises(NotFound, match="has no object"):
        plans(due, APPROVER).line(due.project, made.name, uuid4())
    for one in recorded.values():
        assert due.vera.artifacts.get(due.project, one.id).state == "purged"
        with pytest.raises(StateConflict, match="purged"):
            due.act_as(APPROVER).artifacts.grant_download(due.project, one.id)
    with pytest.raises(StateConflict, match="may go now"):
        plans(due, PLANNER).make(due.project, WHY)


def test_the_same_key_makes_and_decides_once(due: Story) -> None:
    key = secrets.token_hex(8)
    made = plans(due, PLANNER).make(due.project, WHY, key=key)
    assert plans(due, PLANNER).make(due.project, WHY, key=key) == made
    no = RetentionPlanDecisionRequest(decision="reject", root=made.root, reason="not yet")
    key = secrets.token_hex(8)
    rejected = plans(due, APPROVER).decide(due.project, made.name, no, key=key)
    assert plans(due, APPROVER).decide(due.project, made.name, no, key=key) == rejected
    assert len(plans(due, APPROVER).list(due.project).items) == 1


def test_nobody_decides_on_what_they_made_nor_on_another_root_and_the_attempts_are_on_record(due: Story) -> None:
    made = make_plan(due)
    yes = RetentionPlanDecisionRequest(decision="approve", root=made.root)
    other = RetentionPlanDecisionRequest(decision="approve", root="sha256:" + "0" * 64)
    with pytest.raises(PolicyViolation, match="may not decide on it") as refused:
        plans(due, PLANNER).decide(due.project, made.name, yes)
    assert refused.value.details["rule"] == "retention_plan.planner-is-not-approver"
    with pytest.raises(StateConflict, match="its root is not the one named") as differs:
        plans(due, APPROVER).decide(due.project, made.name, other)
    assert differs.value.details["recorded_root"] == made.root
    for nobody in ("user:mia", "user:vera"):
        with pytest.raises(PolicyViolation, match=r"retention\.plan_decide"):
            plans(due, nobody).decide(due.project, made.name, yes)
        with pytest.raises(PolicyViolation, match=r"retention\.plan"):
            plans(due, nobody).make(due.project, WHY)
    assert plans(due, APPROVER).get(due.project, made.name).state == "made"
    events = due.act_as("system:install").audit.list(due.project, action="retention_plan.approved").items
    assert [(one.initiator, one.outcome) for one in reversed(events)] == [(PLANNER, "refused"), (APPROVER, "refused")]


def test_a_plan_is_decided_on_or_withdrawn_once(due: Story) -> None:
    back = RetentionPlanWithdrawal(reason="a mistake")
    made = make_plan(due)
    yes = RetentionPlanDecisionRequest(decision="approve", root=made.root)
    withdrawn = plans(due, PLANNER).withdraw(due.project, made.name, back)
    assert withdrawn.decision is not None
    assert (withdrawn.state, withdrawn.decision.reason, withdrawn.decision.expires_at) == (
        "withdrawn",
        "a mistake",
        None,
    )
    with pytest.raises(StateConflict, match="is withdrawn already"):
        plans(due, APPROVER).decide(due.project, made.name, yes)
    with pytest.raises(StateConflict, match="is withdrawn already"):
        plans(due, PLANNER).withdraw(due.project, made.name, back)


@pytest.mark.parametrize("call", ["get", "items", "certificate", "line", "decide", "withdraw"])
def test_a_plan_of_another_project_or_none_is_not_found(call: str, due: Story, story: Story) -> None:
    made, nothing = make_plan(due), "RP-999999"
    more = {
        "line": (uuid4(),),
        "decide": (RetentionPlanDecisionRequest(decision="approve", root=made.root),),
        "withdraw": (RetentionPlanWithdrawal(reason="r"),),
    }.get(call, ())
    here = getattr(plans(due, APPROVER), call)
    for project, named in ((due.project, nothing), (story.project, made.name), (story.project, str(made.id))):
        with pytest.raises(NotFound, match="there is no retention plan"):
            here(project, named, *more)
    with pytest.raises(InvalidRequest, match="names no retention plan"):
        here(due.project, "12", *more)


def test_no_reason_is_no_plan(due: Story) -> None:
    with pytest.raises(InvalidRequest, match="no reason is given"):
        plans(due, PLANNER).make(due.project, RetentionPlanRequest(reason="  "))
    assert plans(due, PLANNER).list(due.project).items == []
