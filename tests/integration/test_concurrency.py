"""Two callers at once: every outcome is one that the two calls could have had one after the other, with exactly its events."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, text

from holdfast.core.access import Caller, Permission
from holdfast.core.errors import HoldfastError, NotFound, PolicyViolation, StateConflict
from holdfast.service.access import authenticate_token
from holdfast.settings import Platform
from holdfast.wire.model import AliasAssignment, ApprovalGateSpec, DecisionRequest, PolicyRequest, Promotion
from holdfast.wire.project import ProjectRequest, Reason, RoleBinding, RoleBindingRequest, TokenRequest
from holdfast.wire.run import (
    EnvironmentRequest,
    PipelineRunRequest,
    PipelineRunTransition,
    Run,
    RunFinish,
    RunRequest,
    RunTransition,
)
from tests.integration.test_database_guards import approve
from tests.integration.test_faults import calls
from tests.support.race import held_up, overtaken, together
from tests.support.story import Story

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.service.governance import GovernanceService

    Race = Callable[..., tuple[Any, Any]]


@pytest.fixture
def system(platform: Platform) -> GovernanceService:
    return platform.governance(Caller("system:install"))


def events(owner_sql: Connection) -> Counter[str]:
    return Counter(owner_sql.scalars(text("SELECT action || ' ' || outcome FROM audit_event")))


def refused(outcome: object, kind: type[HoldfastError], said: str = "") -> bool:
    return isinstance(outcome, kind) and said in str(outcome)


def finish(run: Run, **changes) -> RunFinish:
    return RunFinish(**{"state": "canceled", "fence": "pod-1", **changes})


@pytest.mark.parametrize("race", [overtaken, held_up])
def test_one_key_at_the_same_time_is_one_change_and_one_reply(
    race: Race, story: Story, platform: Platform, owner_sql: Connection
) -> None:
    for name, call in calls(story).items():
        key, before = secrets.token_hex(8), events(owner_sql)
        caller = platform.governance(Caller("user:olaf" if name == "promotions.decide" else "system:install"))

        def once(governance: GovernanceService, call=call, key=key) -> object:
            return call(governance, key)

        first, second = race(once, once, caller)
        assert not isinstance(first, HoldfastError), (name, first)
        if name == "projects.create_token":
            assert refused(second, StateConflict, "shown once")
        else:
            assert second == first, name
        done = events(owner_sql) - before
        assert not [action for action in done if action.endswith("refused")], (name, done)
        assert set(done.values()) <= {1, 3}, (name, done)  # a Run that is finished registers three Artifacts


def test_one_key_does_not_make_two_runs(story: Story) -> None:
    key = secrets.token_hex(8)
    run = story.mia.runs.create(story.project, story.run_request(), key=key)
    with pytest.raises(StateConflict, match="another request") as conflict:
        story.mia.runs.create(story.project, story.run_request(), key=key)
    assert conflict.value.details["recorded_digest"] != conflict.value.details["request_digest"]
    again = RunRequest(**story.run_request().model_dump())
    assert story.mia.runs.create(story.project, again).id != run.id


@pytest.mark.parametrize("race", [overtaken, held_up])
def test_one_key_with_two_bodies_at_the_same_time_is_one_change_and_a_conflict(
    race: Race, system: GovernanceService
) -> None:
    key, name = secrets.token_hex(8), f"p{secrets.token_hex(5)}"

    def create(owner: str):
        return lambda governance: governance.projects.create(ProjectRequest(name=name, owner=owner), key=key)

    first, second = race(create("a"), create("b"), system)
    assert first.owner == "a"
    assert refused(second, StateConflict, "another request")
    assert second.details["recorded_digest"] != second.details["request_digest"]


@pytest.mark.parametrize("race", [overtaken, held_up])
def test_one_try_created_twice_at_once_is_one_run(
    race: Race, story: Story, system: GovernanceService, owner_sql: Connection
) -> None:
    request = story.run_request(task_id=secrets.token_hex(4), parameters={"n": secrets.token_hex(4)})
    other = request.model_copy(update={"parameters": {"n": "another"}})
    before = events(owner_sql)

    def create(body):
        return lambda governance: governance.runs.create(story.project, body)

    first, second = race(create(request), create(request), system)
    third = race(create(request), create(other), system)[1]
    assert first == second
    assert refused(third, StateConflict, "with other bindings")
    assert (events(owner_sql) - before)["run.created succeeded"] == 1


@pytest.mark.parametrize("race", [overtaken, held_up])
def test_a_try_that_ends_while_the_next_one_is_created_stays_as_it_ended(
    race: Race, story: Story, system: GovernanceService, owner_sql: Connection
) -> None:
    pipeline = story.pipeline_run(run_id=secrets.token_hex(4))
    run = story.start_run(pipeline_run=pipeline)
    retry = story.run_request(pipeline_run=pipeline, try_number=2)
    before = events(owner_sql)

    def end(governance: GovernanceService) -> Run:
        return governance.runs.finish(story.project, run.id, finish(run))

    def again(governance: GovernanceService) -> Run:
        return governance.runs.create(story.project, retry)

    ended, created = race(end, again, system)
    assert ended.state == "canceled"
    assert not isinstance(created, HoldfastError), created
    assert (created.origin_run, created.state) == (run.id, "created")
    assert story.mia.runs.get(story.project, run.id).state == "canceled"
    assert (events(owner_sql) - before)["run.changed succeeded"] == 0


def test_a_try_that_starts_while_the_next_one_is_created_is_recorded_as_lost_from_running(
    story: Story, system: GovernanceService
) -> None:
    pipeline = story.pipeline_run(run_id=secrets.token_hex(4))
    run = story.mia.runs.create(story.project, story.run_request(pipeline_run=pipeline))
    retry = story.run_request(pipeline_run=pipeline, try_number=2)
    from holdfast.wire.run import RunStart

    started, created = held_up(
        lambda governance: governance.runs.start(story.project, run.id, RunStart(fence="pod-1")),
        lambda governance: governance.runs.create(story.project, retry),
        system,
    )
    assert (started.state, created.origin_run) == ("running", run.id)
    lost = next(e for e in story.mia.audit.list(story.project, target=str(run.id)).items if e.action == "run.changed")
    assert (lost.content["before"], lost.content["after"]) == ("running", "unknown")


def test_a_run_ends_once(story: Story, system: GovernanceService, owner_sql: Connection) -> None:
    for race in (overtaken, held_up):
        run, before = story.start_run(), events(owner_sql)
        outcomes = race(
            lambda governance, run=run: governance.runs.finish(story.project, run.id, finish(run)),
            lambda governance, run=run: governance.runs.finish(
                story.project, run.id, finish(run, state="failed", error_class="user")
            ),
            system,
        )
        assert outcomes[0].state == "canceled"
        assert refused(outcomes[1], StateConflict, "terminal")
        assert (events(owner_sql) - before) == {"run.finished succeeded": 1}


def test_a_run_that_ended_meanwhile_does_not_become_unknown(story: Story, system: GovernanceService) -> None:
    run = story.start_run()
    lost = RunTransition(state="unknown", cause="no heartbeat", owner="reconciler")
    ended, changed = held_up(
        lambda governance: governance.runs.finish(story.project, run.id, finish(run)),
        lambda governance: governance.runs.change(story.project, run.id, lost),
        system,
    )
    assert ended.state == "canceled"
    assert refused(changed, StateConflict, "terminal")


def test_a_pipeline_run_ends_once(story: Story, system: GovernanceService) -> None:
    pipeline = story.pipeline_run(run_id=secrets.token_hex(4))

    def end(state: str):
        request = PipelineRunTransition(state=state)
        return lambda governance: governance.runs.change_pipeline_run(story.project, pipeline, request)

    first, second = held_up(end("succeeded"), end("failed"), system)
    assert first.state == "succeeded"
    assert refused(second, StateConflict, "terminal")


def decision(promotion: Promotion, verdict: str = "approve"):
    request = DecisionRequest(decision=verdict, evidence_digest=promotion.evidence_digest)
    return lambda governance: governance.promotions.decide(promotion.project, promotion.id, request)


def execution(promotion: Promotion):
    return lambda governance: governance.promotions.execute(promotion.project, promotion.id)


def two_approvals(story: Story) -> Promotion:
    gate = ApprovalGateSpec(count=2, roles=["security_officer", "platform_owner"])
    story.mia.promotions.define_policy(story.project, PolicyRequest(name="two", gates=[gate]))
    return story.request_promotion(policy="two")


def test_a_principal_decides_once_however_fast(story: Story, platform: Platform) -> None:
    promotion, olaf = two_approvals(story), platform.governance(Caller("user:olaf"))
    first, second = held_up(decision(promotion), decision(promotion, "reject"), olaf)
    assert first.state == "pending"
    assert refused(second, StateConflict, "has decided")
    assert story.mia.promotions.get(story.project, promotion.id).state == "pending"


@pytest.mark.parametrize(("verdict", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_two_principals_at_once_both_count(verdict: str, state: str, story: Story, platform: Platform) -> None:
    promotion = two_approvals(story)
    olaf, other = platform.governance(Caller("user:olaf")), platform.governance(Caller("system:owner"))
    first, second = held_up(decision(promotion), decision(promotion, verdict), olaf, other)
    assert (first.state, second.state) == ("pending", state)
    assert len(second.decisions) == 2


def test_a_decision_that_comes_with_the_execution_is_too_late(
    story: Story, platform: Platform, system: GovernanceService
) -> None:
    promotion = story.request_promotion()
    approve(story, promotion)
    executed, decided = held_up(execution(promotion), decision(promotion, "reject"), system)
    assert isinstance(executed, AliasAssignment)
    assert refused(decided, StateConflict, "executed")


def test_an_execution_waits_for_the_decision(story: Story, platform: Platform) -> None:
    promotion, olaf = story.request_promotion(), platform.governance(Caller("user:olaf"))
    decided, executed = held_up(
        decision(promotion), execution(promotion), olaf, platform.governance(Caller("user:mia"))
    )
    assert decided.state == "approved"
    assert isinstance(executed, AliasAssignment)


@pytest.mark.parametrize("race", [overtaken, held_up])
def test_a_promotion_is_executed_once(
    race: Race, story: Story, system: GovernanceService, owner_sql: Connection
) -> None:
    promotion = story.request_promotion()
    approve(story, promotion)
    before = events(owner_sql)
    first, second = race(execution(promotion), execution(promotion), system)
    assert first == second
    done = events(owner_sql) - before
    assert (done["promotion.executed succeeded"], done["alias.moved succeeded"]) == (1, 1)


def test_one_alias_moved_twice_at_once_has_an_order_and_each_move_knows_the_one_before(
    story: Story, system: GovernanceService
) -> None:
    promotions = []
    for number in range(2):
        version = story.register_model(story.succeed(parameters={"n": secrets.token_hex(4), "at": number}))
        promotions.append(story.request_promotion(version, alias="contested"))
        approve(story, promotions[-1])
    first, second = held_up(*map(execution, promotions), system)
    assert first.valid_from < second.valid_from
    assert story.vera.models.at(story.project, "tumours", "contested").model_version == second.model_version
    moved = [
        e for e in story.mia.audit.list(story.project, action="alias.moved").items if e.content["alias"] == "contested"
    ]
    assert moved[0].content["before"] == str(first.model_version)
    assert moved[1].content["before"] is None


@pytest.mark.parametrize("kind", ["dataset", "environment", "model", "policy"])
def test_numbers_given_at_once_are_distinct_and_without_gaps(
    kind: str, story: Story, system: GovernanceService
) -> None:
    name, p = f"n{secrets.token_hex(4)}", story.project
    if kind == "model":
        from holdfast.wire.model import ModelVersionRequest

        artifacts = [story.artifact(story.succeed(parameters={"n": secrets.token_hex(4)}), "model") for _ in range(4)]

    def register(index: int):
        match kind:
            case "dataset":
                return lambda g: g.datasets.register(p, name, story.dataset_request(str(index))).number
            case "environment":
                request = EnvironmentRequest(name=name, kind="interpreter", reference=f"/python{index}")
                return lambda g: g.runs.lock_environment(p, request).number
            case "policy":
                gate = ApprovalGateSpec(count=index + 1, roles=["viewer"])
                return lambda g: g.promotions.define_policy(p, PolicyRequest(name=name, gates=[gate])).version
            case _:
                return lambda g: g.models.register(p, name, ModelVersionRequest(artifact=artifacts[index])).number

    assert sorted(together([register(index) for index in range(4)], system)) == [1, 2, 3, 4]


@pytest.mark.parametrize("race", [overtaken, held_up])
def test_the_same_thing_named_by_two_at_once_is_one_thing(
    race: Race, story: Story, system: GovernanceService, owner_sql: Connection
) -> None:
    fresh, p = secrets.token_hex(4), story.project
    binding = RoleBindingRequest(subject=f"user:{fresh}", role="viewer")
    gate = ApprovalGateSpec(roles=["viewer"])
    for call in (
        lambda g: g.projects.bind_role(p, binding),
        lambda g: g.projects.bind_role(None, binding),
        lambda g: g.datasets.register(p, fresh, story.dataset_request("same")),
        lambda g: g.runs.create_pipeline_run(p, PipelineRunRequest(dag_id="d", run_id=fresh)),
        lambda g: g.runs.lock_environment(p, EnvironmentRequest(name=fresh, kind="interpreter", reference="/p")),
        lambda g: g.promotions.define_policy(p, PolicyRequest(name=fresh, gates=[gate])),
    ):
        before = events(owner_sql)
        first, second = race(call, call, system)
        assert first == second
        assert sum((events(owner_sql) - before).values()) == 1


def test_a_project_name_is_given_once(system: GovernanceService) -> None:
    request = ProjectRequest(name=f"p{secrets.token_hex(5)}", owner="o")
    first, second = held_up(lambda g: g.projects.create(request), lambda g: g.projects.create(request), system)
    assert first.name == request.name
    assert refused(second, StateConflict, "exist")


def test_a_namespace_is_one_projects_until_that_is_archived(system: GovernanceService) -> None:
    namespace = f"n{secrets.token_hex(5)}"

    def create(name: str):
        request = ProjectRequest(name=name, owner="o", data_plane="kubernetes", namespace=namespace)
        return lambda governance: governance.projects.create(request)

    first, second = held_up(create(f"{namespace}-a"), create(f"{namespace}-b"), system)
    assert first.namespace == namespace
    assert refused(second, StateConflict, f"is that of Project '{namespace}-a'")
    system.projects.archive(first.name, Reason(reason="over"))
    assert create(f"{namespace}-c")(system).namespace == namespace


@pytest.mark.parametrize("what", ["run", "dataset", "decision"])
def test_what_comes_while_a_project_is_archived_is_refused(
    what: str, platform: Platform, system: GovernanceService, owner_sql: Connection
) -> None:
    story = Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects)
    run_request, promotion = story.run_request(), story.request_promotion()
    call = {
        "run": lambda g: g.runs.create(story.project, run_request),
        "dataset": lambda g: g.datasets.register(story.project, "new", story.dataset_request("new")),
        "decision": decision(promotion),
    }[what]
    before = events(owner_sql)
    archived, late = held_up(lambda g: g.projects.archive(story.project, Reason(reason="over")), call, system)
    assert archived.archived_at is not None
    assert refused(late, PolicyViolation, "archived"), late
    assert (events(owner_sql) - before) == {"project.archived succeeded": 1}


def call_outcome(call, governance: GovernanceService) -> object:
    try:
        return call(governance)
    except HoldfastError as error:
        return error


@pytest.mark.parametrize("what", ["run", "dataset", "decision", "model"])
def test_a_call_that_was_authorised_before_the_archive_does_not_write_after_it(
    what: str, platform: Platform, system: GovernanceService
) -> None:
    story = Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects)
    from holdfast.wire.model import ModelVersionRequest

    run_request, promotion = story.run_request(), story.request_promotion()
    artifact = story.artifact(story.succeed(parameters={"n": 1}), "model")
    call = {
        "run": lambda g: g.runs.create(story.project, run_request),
        "dataset": lambda g: g.datasets.register(story.project, "new", story.dataset_request("new")),
        "decision": decision(promotion),
        "model": lambda g: g.models.register(story.project, "new", ModelVersionRequest(artifact=artifact)),
    }[what]
    archived, late = overtaken(lambda g: g.projects.archive(story.project, Reason(reason="over")), call, system)
    assert archived.archived_at is not None
    assert refused(late, PolicyViolation, "archived"), late


def test_a_role_that_is_taken_back_is_gone_for_the_next_call(story: Story, system: GovernanceService) -> None:
    binding = system.projects.bind_role(
        story.project, RoleBindingRequest(subject="user:gone", role="project_maintainer")
    )
    gone = story.act_as("user:gone")
    request = story.dataset_request(secrets.token_hex(4))
    taken, used = overtaken(
        lambda g: g.projects.unbind_role(story.project, binding.id),
        lambda g: g.datasets.register(story.project, "used", request),
        system,
        gone,
    )
    assert isinstance(taken, RoleBinding)
    # It was authorised before the role was taken back: the call counts as before it.
    assert used.number >= 1
    with pytest.raises(NotFound):
        gone.datasets.register(story.project, "used", story.dataset_request("later"))


def test_a_token_that_is_revoked_twice_at_once_is_revoked_once(
    story: Story, platform: Platform, system: GovernanceService, owner_sql: Connection
) -> None:
    token = story.mia.projects.create_token(story.project, TokenRequest(name="t", scope=[Permission.PROJECT_READ]))
    assert authenticate_token(platform.engine, token.secret).project == story.project
    before = events(owner_sql)

    def revoke(governance: GovernanceService) -> object:
        return governance.projects.revoke_token(story.project, token.token.id)

    first, second = held_up(revoke, revoke, system)
    assert first == second
    assert (events(owner_sql) - before) == {"token.revoked succeeded": 1}


def test_a_lock_that_is_held_too_long_is_a_conflict_and_not_a_bug(
    story: Story, system: GovernanceService, owner_sql: Connection
) -> None:
    run = story.start_run()
    from sqlalchemy import create_engine

    hasty = create_engine(
        system.engine.url, connect_args={"options": "-c search_path=holdfast -c lock_timeout=100ms -c timezone=UTC"}
    )
    from dataclasses import replace

    owner_sql.execute(text("BEGIN"))
    owner_sql.execute(text("SELECT 1 FROM run WHERE id = :id FOR UPDATE"), {"id": run.id})
    try:
        outcome = call_outcome(
            lambda g: g.runs.finish(story.project, run.id, finish(run)), replace(system, engine=hasty)
        )
    finally:
        owner_sql.execute(text("ROLLBACK"))
        hasty.dispose()
    assert refused(outcome, StateConflict, "at the same time")
