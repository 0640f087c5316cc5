"""Random programs of several callers over one Project at once; afterwards the record is one that a sequence of calls could have left."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from holdfast.core.access import Caller
from holdfast.core.errors import HoldfastError, InvalidRequest, PolicyViolation, StateConflict
from holdfast.settings import Platform
from holdfast.wire.model import DecisionRequest, ModelVersionRequest
from holdfast.wire.project import Reason, RoleBindingRequest
from holdfast.wire.run import EnvironmentRequest, RunFinish, RunStart, RunTransition
from tests.support.race import together
from tests.support.story import Story

if TYPE_CHECKING:
    from holdfast.service.governance import GovernanceService

STEPS = (
    "create",
    "start",
    "lose",
    "reconcile",
    "end",
    "fail",
    "dataset",
    "environment",
    "model",
    "request",
    "approve",
    "reject",
    "execute",
    "bind",
    "archive",
)
# Archiving ends a program's fun, so it is rare.
steps = st.sampled_from([step for step in STEPS for _ in range(1 if step == "archive" else 8)])
programs = st.lists(st.lists(st.tuples(steps, st.integers(0, 2)), min_size=3, max_size=12), min_size=2, max_size=4)


@dataclass
class World:
    """A Project with a few things that all callers fight over."""

    story: Story
    runs: list = field(default_factory=list)
    artifacts: list = field(default_factory=list)
    versions: list = field(default_factory=list)
    promotions: list = field(default_factory=list)

    @classmethod
    def begin(cls, platform: Platform) -> World:
        story = Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects)
        world = cls(story)
        for number in range(3):
            done = story.succeed(parameters={"n": number})
            world.artifacts.append(story.artifact(done, "model"))
            world.runs.append(story.run_request(task_id=f"task{number}", inputs={}))
        world.versions.append(story.register_model(done))
        world.promotions += [story.request_promotion(world.versions[0], alias=f"alias{n}") for n in range(3)]
        return world

    def play(self, governance: GovernanceService, step: str, index: int) -> None:  # noqa: C901 - a table of steps
        """Make one call."""
        p, g, promotion = self.story.project, governance, self.promotions[index]
        decide = lambda verdict: DecisionRequest(decision=verdict, evidence_digest=promotion.evidence_digest)  # noqa: E731
        match step:
            case "create":
                g.runs.create(p, self.runs[index])
            case "start":
                g.runs.start(p, g.runs.create(p, self.runs[index]).id, RunStart(fence="pod-1"))
            case "lose":
                run = g.runs.create(p, self.runs[index]).id
                g.runs.change(p, run, RunTransition(state="unknown", cause="silence", owner="me"))
            case "reconcile":
                run = g.runs.create(p, self.runs[index]).id
                g.runs.change(p, run, RunTransition(state="reconciling", cause="looking", owner="me"))
            case "end" | "fail":
                run = g.runs.create(p, self.runs[index]).id
                how = {"state": "canceled"} if step == "end" else {"state": "failed", "error_class": "user"}
                g.runs.finish(p, run, RunFinish(fence="pod-1", **how))
            case "dataset":
                g.datasets.register(p, "shared", self.story.dataset_request(secrets.token_hex(2)))
            case "environment":
                g.runs.lock_environment(
                    p,
                    EnvironmentRequest(name="sklearn", kind="interpreter", reference=f"/python{secrets.randbelow(9)}"),
                )
            case "model":
                g.models.register(p, "shared", ModelVersionRequest(artifact=self.artifacts[index]))
            case "request":
                self.story.request_promotion(self.versions[0], alias="more")
            case "approve":
                g.promotions.decide(p, promotion.id, decide("approve"))
            case "reject":
                g.promotions.decide(p, promotion.id, decide("reject"))
            case "execute":
                g.promotions.execute(p, promotion.id)
            case "bind":
                g.projects.bind_role(p, RoleBindingRequest(subject=f"user:u{index}", role="viewer"))
            case "archive":
                g.projects.archive(p, Reason(reason="over"))


def program(world: World, lines: list[tuple[str, int]]):
    """Return a program as a call; the refusals that the domain knows are a part of it, anything else is a defect."""

    def run(governance: GovernanceService) -> Counter[str]:
        ended: Counter[str] = Counter()
        for step, index in lines:
            try:
                world.play(governance, step, index)
                ended["done"] += 1
            except (StateConflict, PolicyViolation, InvalidRequest) as error:
                if "at the same time" in str(error):
                    raise RuntimeError(f"{step}: a deadlock, or a lock that was not given back") from error
                ended[type(error).__name__] += 1
        return ended

    return run


def check_record(project: str, sql: Connection) -> None:
    """Fail where the record of a Project is not that of a sequence of calls."""
    identity = sql.scalar(text("SELECT id FROM project WHERE name = :name"), {"name": project})
    for table, parent in (
        ("dataset_version", "dataset_id"),
        ("environment_lock", "name"),
        ("model_version", "model_id"),
    ):
        for numbers in sql.scalars(
            text(f"SELECT array_agg(number ORDER BY number) FROM {table} WHERE project_id = :id GROUP BY {parent}"),
            {"id": identity},
        ):
            assert numbers == list(range(1, len(numbers) + 1)), f"{table}: {numbers}"
    found = sql.execute(
        text(
            "SELECT action, target_id, outcome, content::jsonb->'content' AS content FROM audit_event WHERE project = :name ORDER BY recorded_at, id"
        ),
        {"name": project},
    ).all()
    count = Counter((event.action, event.target_id) for event in found if event.outcome == "succeeded")
    for run in sql.execute(
        text("SELECT id, state, started_at, ended_at FROM run WHERE project_id = :id"), {"id": identity}
    ):
        mine = str(run.id)
        assert count["run.created", mine] == 1
        assert count["run.finished", mine] == (run.ended_at is not None)
        walk = [
            e.content
            for e in found
            if e.target_id == mine and e.action in ("run.started", "run.changed", "run.finished")
        ]
        state = "created"
        for step in walk:
            assert step["before"] == state, f"Run {mine}: its events do not join"
            state = step["after"]
        assert state == run.state
    for promotion in sql.execute(text("SELECT id, state FROM promotion WHERE project_id = :id"), {"id": identity}):
        mine = str(promotion.id)
        assert count["promotion.requested", mine] == 1
        assert count["promotion.executed", mine] == (promotion.state == "executed")
        decisions = sql.scalar(
            text("SELECT count(*) FROM promotion_decision WHERE promotion_id = :id"), {"id": promotion.id}
        )
        assert count["promotion.approved", mine] + count["promotion.rejected", mine] == decisions
        aliases = sql.scalar(
            text("SELECT count(*) FROM alias_assignment WHERE promotion_id = :id"), {"id": promotion.id}
        )
        assert aliases == (promotion.state == "executed")
    assert count["project.archived", str(identity)] <= 1
    assert max(Counter(e.content["subject"] for e in found if e.action == "role.bound").values()) == 1


def campaign(platform: Platform, sql: Connection, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        # What failed here depends on the moment: to make it smaller is to lose it.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs)
    def play(lines: list[list[tuple[str, int]]]) -> None:
        world = World.begin(platform)
        system = platform.governance(Caller("system:install"))
        outcomes = together([program(world, mine) for mine in lines], system)
        for outcome in outcomes:
            assert not isinstance(outcome, HoldfastError), outcome
        check_record(world.story.project, sql)

    play()


def test_callers_at_once_leave_a_record_of_calls_one_after_the_other(platform: Platform, owner_sql: Connection) -> None:
    campaign(platform, owner_sql, 12)


@pytest.mark.soak
def test_many_callers_at_once_leave_a_record_of_calls_one_after_the_other(
    platform: Platform, owner_sql: Connection
) -> None:
    campaign(platform, owner_sql, 250)
