"""Why an object is kept, as the database tells it: policies, clocks, and everything that refers to it."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from holdfast.core.audit import EventClass
from holdfast.core.errors import NotFound, PolicyViolation, StateConflict
from holdfast.core.retention.decision import RetentionOutcome
from holdfast.core.retention.lineage import explain
from holdfast.core.retention.policy import Hold, Ref
from holdfast.ops.segments import define_retention
from holdfast.settings import Platform
from holdfast.store.engine import read_only
from holdfast.store.queries.retention import applying_to, lineage_of, now_and_newest
from holdfast.wire.model import ModelVersion
from holdfast.wire.project import Reason
from holdfast.wire.retention import (
    RetentionDecisionRequest,
    RetentionExplanation,
    RetentionPolicyReason,
    RetentionPolicyRequest,
)
from holdfast.wire.run import InputRef
from tests.integration.test_database_guards import approve
from tests.support.disposal import grow_old
from tests.support.holds import no_plan_needed
from tests.support.ledger import unguarded
from tests.support.retention import approve_retention, propose_retention
from tests.support.story import Story


@pytest.fixture
def project(story: Story) -> Story:
    """A Project of its own, whose data and Artifacts go after a day."""
    made = Story.begin(story.act_as, story.objects)
    approve_retention(made, propose_retention(made, "artifacts", period_days=1))
    approve_retention(made, propose_retention(made, "data", object_type="dataset_version", period_days=1))
    return made


def explained(story: Story, identity: UUID) -> RetentionExplanation:
    return story.vera.retention.explain(story.project, identity)


def promote(story: Story, version: ModelVersion) -> None:
    promotion = story.request_promotion(version)
    approve(story, promotion)
    story.mia.promotions.execute(story.project, promotion.id, key=secrets.token_hex(8))


def reasons(found: RetentionExplanation) -> list[str]:
    return [rule.why for rule in found.rules if rule.rule == "reference"]


def test_a_promoted_models_bytes_and_their_inputs_are_kept_while_an_alias_points_there(
    project: Story, owner: Connection
) -> None:
    first_run = project.succeed()
    first, data = project.register_model(first_run), project.register_dataset()
    model, evidence = (project.artifact(first_run, name) for name in ("model", "metrics"))
    plot = project.artifact(first_run, "plots/roc.svg")
    promote(project, first)
    grow_old(owner)

    found = explained(project, plot)
    assert (found.outcome, found.disposition, found.decided_by.version) == ("due", "delete", 1)
    assert found.decided_by.name == f"{project.project}/artifacts v1"
    for kept in (model, evidence, data):
        found = explained(project, kept)
        assert (found.outcome, found.until, found.decided_by.rule) == ("kept", None, "reference")
        assert any("alias tumours@champion" in why for why in reasons(found)), reasons(found)
        alone = next(other for other in found.otherwise if other.change == "nothing that is kept refers to it")
        assert alone.outcome == "due"

    # Another champion, made of the same data: the first one's bytes go, and the data stays.
    second = project.register_model(project.succeed(parameters={"n": 2}))
    promote(project, second)
    grow_old(owner)
    assert explained(project, model).outcome == "due"
    assert explained(project, data).outcome == "kept"
    assert explained(project, second.artifacts[0].artifact).outcome == "kept"


def test_the_clock_of_retirement_starts_when_the_last_alias_has_left(project: Story, owner: Connection) -> None:
    approve_retention(project, propose_retention(project, "models", label="standard", starts="retired", period_days=5))
    version = project.register_model()
    model = next(part.artifact for part in version.artifacts if part.role == "model")
    grow_old(owner)
    assert "no alias has left" in explained(project, model).decided_by.why
    promote(project, version)
    promote(project, project.register_model(project.succeed(parameters={"n": 2})))
    found = explained(project, model)
    assert (found.outcome, found.decided_by.name) == ("kept", f"{project.project}/models v1")
    assert found.until is not None
    grow_old(owner)
    found = explained(project, model)
    assert (found.outcome, found.decided_by.name) == ("due", f"{project.project}/models v1")


def test_a_run_that_goes_on_keeps_its_inputs_and_its_log(project: Story, owner: Connection) -> None:
    approve_retention(project, propose_retention(project, "logs", object_type="run_log", starts="run_ended"))
    made = project.succeed()
    model, data = project.artifact(made, "model"), project.register_dataset()
    run = project.start_run(inputs={"base": InputRef(artifact=model)})
    grow_old(owner, days=40)
    assert reasons(explained(project, model)) == [f"run train ({run.id}): it has not ended"]
    assert f"run train ({run.id}): it has not ended" in " ".join(reasons(explained(project, data)))
    assert "its Run has not ended" in explained(project, run.id).decided_by.why
    assert explained(project, made.id).outcome == "due"
    project.finish_run(run, state="failed", error_class="user", artifacts=[], cause="it did not work", exit_code=1)
    grow_old(owner)
    assert explained(project, model).outcome == "due"


def test_a_promotion_that_is_not_over_keeps_its_evidence(project: Story, owner: Connection) -> None:
    version = project.register_model()
    promotion = project.request_promotion(version)
    grow_old(owner)
    [model] = [part.artifact for part in version.artifacts if part.role == "model"]
    assert any(f"promotion {promotion.id}: it is not over" in why for why in reasons(explained(project, model)))
    from holdfast.wire.model import DecisionRequest

    no = DecisionRequest(decision="reject", evidence_digest=promotion.evidence_digest)
    project.olaf.promotions.decide(project.project, promotion.id, no)
    assert explained(project, model).outcome == "due"


def test_what_somebody_could_approve_is_told_with_what_it_would_do(project: Story, owner: Connection) -> None:
    plot = project.artifact(project.succeed(), "plots/roc.svg")
    grow_old(owner)
    proposed = propose_retention(project, "artifacts", period_days=100)
    found = explained(project, plot)
    said = {other.change: other for other in found.otherwise}
    assert found.outcome == "due"
    assert said[f"policy {project.project}/artifacts v2 is approved"].outcome == "kept"
    assert said[f"policy {project.project}/artifacts v1 is ended"].decided_by.startswith("default")
    approve_retention(project, proposed)
    assert explained(project, plot).outcome == "kept"


def test_a_hold_reaches_what_the_lineage_of_the_database_reaches(
    project: Story, platform: Platform, owner: Connection
) -> None:
    run = project.succeed()
    plot, data = project.artifact(run, "plots/roc.svg"), project.register_dataset()
    grow_old(owner)
    target = Ref("dataset_version", str(data))
    hold = Hold("LH-1", frozenset({Ref("artifact", str(plot))}))
    with read_only(platform.engine) as connection:
        place = connection.scalar(text("SELECT id FROM project WHERE name = :name"), {"name": project.project})
        lineage, applying = lineage_of(connection, place, project.project, [target]), applying_to(connection, place)
        now, _ = now_and_newest(connection)
        cut = lineage_of(connection, place, project.project, [target], most=2)
    assert explain(lineage, target, applying.in_force, [], now).decision.outcome is RetentionOutcome.DUE
    held = explain(lineage, target, applying.in_force, [hold], now)
    assert held.decision.outcome is RetentionOutcome.KEPT
    assert (
        next(one for one in held.counterfactuals if "released" in one.change).decision.outcome is RetentionOutcome.DUE
    )
    # Where not everything that refers to it was looked at, it is kept.
    assert explain(cut, target, applying.in_force, [], now).decision.outcome is RetentionOutcome.KEPT


def test_an_event_is_kept_by_the_rule_of_its_class(project: Story, platform: Platform) -> None:
    project.succeed()
    event = project.mia.audit.list(project.project, limit=1).items[0]
    assert explained(project, event.id).decided_by.rule == "default"
    transactions = project.act_as("system:install")._transactions
    for days in (730, 365):
        define_retention(transactions, EventClass.CHANGE, days, None, "tests")
    found = explained(project, event.id)
    assert (found.object_type, found.kind, found.decided_by.name) == (
        "audit_event",
        "change",
        "audit_retention/change v2",
    )
    assert "its segment is not sealed" in found.decided_by.why


def test_what_is_purged_is_said_to_be_and_what_is_elsewhere_is_not_found(project: Story, owner: Connection) -> None:
    plot = project.artifact(project.succeed(), "plots/roc.svg")
    other = Story.begin(project.act_as, project.objects)
    with pytest.raises(NotFound, match="has no Artifact"):
        explained(other, plot)
    with no_plan_needed(owner, "artifact"):
        for state in ("expired", "purged"):
            owner.execute(text("UPDATE artifact SET state = :state WHERE id = :id"), {"state": state, "id": plot})
    owner.commit()
    with pytest.raises(StateConflict, match="is purged"):
        explained(project, plot)


def test_nobody_approves_what_they_proposed_and_the_attempt_is_on_record(project: Story) -> None:
    install = project.act_as("system:install")
    content = {"name": "alone", "object_type": "artifact", "label": "alone", "starts": "created", "period_days": 1}
    proposed = install.retention.propose(
        project.project, RetentionPolicyRequest(**content, disposition="delete", reason="r")
    )
    yes = RetentionDecisionRequest(decision="approve", digest=proposed.digest)
    with pytest.raises(PolicyViolation, match="may not decide"):
        install.retention.decide(project.project, proposed.id, yes)
    event = install.audit.list(project.project, action="retention_policy.approved", target=str(proposed.id)).items[0]
    assert (event.outcome, event.initiator) == ("refused", "system:install")
    assert install.retention.get(project.project, proposed.id).state == "proposed"


def test_each_step_of_a_policy_has_its_event_with_its_digest(project: Story) -> None:
    proposed = approve_retention(project, propose_retention(project, "stepwise", label="stepwise"))
    project.mia.retention.propose_end(project.project, proposed.id, RetentionPolicyReason(reason="over"))
    ending = project.mia.retention.list(project.project).items[0]
    project.mia.retention.withdraw(project.project, ending.id, RetentionPolicyReason(reason="not yet"))
    for policy, verbs in ((proposed, ("proposed", "approved")), (ending, ("proposed", "withdrawn"))):
        events = project.mia.audit.list(project.project, target=str(policy.id)).items
        assert [event.action for event in reversed(events)] == [f"retention_policy.{verb}" for verb in verbs]
        assert {event.content["digest"] for event in events} == {policy.digest}


def test_the_policies_of_an_archived_project_may_still_be_changed(project: Story) -> None:
    project.act_as("system:install").projects.archive(project.project, Reason(reason="over"))
    assert approve_retention(project, propose_retention(project, "late", label="late")).state == "in_force"


def test_of_many_at_once_one_decides_and_one_scope_has_one_policy(project: Story) -> None:
    proposed = propose_retention(project, "raced", label="raced")
    officers = [f"system:officer{number}" for number in range(8)]

    def decide(officer: str) -> str:
        decision = "approve" if officer < "system:officer4" else "reject"
        request = RetentionDecisionRequest(decision=decision, digest=proposed.digest)
        try:
            return project.act_as(officer).retention.decide(project.project, proposed.id, request).state
        except StateConflict:
            return ""

    def propose(number: int) -> str:
        try:
            return propose_retention(project, f"scope{number % 4}", label="one scope", period_days=number + 1).state
        except StateConflict:
            return ""

    with ThreadPoolExecutor(8) as threads:
        assert len([state for state in threads.map(decide, officers) if state]) == 1
        assert len([state for state in threads.map(propose, range(8)) if state]) == 1


def test_nothing_is_decided_while_the_clock_of_the_database_has_gone_back(project: Story, owner: Connection) -> None:
    plot = project.artifact(project.succeed(), "plots/roc.svg")
    newest = "SELECT id FROM audit_event ORDER BY id DESC LIMIT 1"
    move = f"UPDATE audit_event SET recorded_at = recorded_at {{}} interval '1 day' WHERE id = ({newest})"
    for sign in ("+", "-"):
        with unguarded(owner):
            owner.execute(text(move.format(sign)))
        owner.commit()
        owner.execute(text("SET search_path = holdfast"))
        if sign == "+":
            with pytest.raises(StateConflict, match="has gone back"):
                explained(project, plot)
    assert explained(project, plot).outcome == "kept"
