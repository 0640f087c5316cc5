"""Retention plans in tests: a Project whose objects are old enough to go, a plan that is made and approved, and what carries it out."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, make_url, text

from holdfast.core.access import Caller
from holdfast.ledger.order import assign_indexes
from holdfast.objects.filesystem_eraser import FilesystemEraser
from holdfast.ops.disposal import Disposal
from holdfast.store.engine import open_engine
from holdfast.wire.retention_plan import RetentionPlan, RetentionPlanDecisionRequest, RetentionPlanRequest
from tests.support.holds import OFFICERS, bind_officers
from tests.support.ledger import unguarded
from tests.support.retention import approve_retention, propose_retention
from tests.support.story import Story

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from holdfast.ports import Eraser
    from holdfast.settings import Platform
    from tests.support.postgres import PostgresServer

DISPOSER = Caller("system:disposer")
PLANNER = OFFICERS[0]
APPROVER = OFFICERS[1]
TIMES = {
    "dataset_version": ("created_at",),
    "artifact": ("created_at",),
    "run": ("created_at", "ended_at"),
    "alias_assignment": ("valid_from", "recorded_at"),
}


def begin(story: Story) -> Story:
    """Return a Project of its own, whose data and Artifacts go after a day."""
    made = Story.begin(story.act_as, story.objects)
    keep_for_a_day(made)
    return made


def keep_for_a_day(story: Story) -> None:
    """Let data and Artifacts of a Project go after a day, and people decide on it."""
    bind_officers(story)
    for name, object_type in (("artifacts", "artifact"), ("data", "dataset_version")):
        proposed = propose_retention(story, name, object_type=object_type, period_days=1)
        if proposed.decision is None:
            approve_retention(story, proposed)


def let_something_be_due(story: Story, owner: Connection) -> None:
    """Let a Project have something that may go now."""
    keep_for_a_day(story)
    story.succeed()
    grow_old(owner)


def grow_old(owner: Connection, days: int = 10) -> None:
    """Let everything that there is be older."""
    with unguarded(owner, *TIMES):
        for table, columns in TIMES.items():
            changes = ", ".join(f"{column} = {column} - interval '{days} days'" for column in columns)
            owner.execute(text(f"UPDATE {table} SET {changes}"))
    owner.commit()
    owner.execute(text("SET search_path = holdfast"))


def make_plan(story: Story, planner: str = PLANNER) -> RetentionPlan:
    return story.act_as(planner).retention_plans.make(story.project, RetentionPlanRequest(reason="tests"))


def approve_plan(story: Story, plan: RetentionPlan, engine: Engine) -> RetentionPlan:
    """Have a plan approved, and the approval in the log."""
    request = RetentionPlanDecisionRequest(decision="approve", root=plan.root)
    approved = story.act_as(APPROVER).retention_plans.decide(story.project, plan.name, request)
    index(engine)
    return approved


def index(engine: Engine) -> None:
    """Let every event have its place in the log, as the sequencer does within a second."""
    with engine.begin() as connection:
        while assign_indexes(connection):
            pass


@contextmanager
def disposer_of(postgres: PostgresServer, owner_url: str) -> Iterator[Engine]:
    """Yield an engine of a login that may carry out plans, and nothing else."""
    name = make_url(owner_url).database or ""
    engine = open_engine(postgres.url(name, postgres.create_login(f"{name}_disposer", member_of="holdfast_disposer")))
    try:
        yield engine
    finally:
        engine.dispose()


def disposal(engine: Engine, eraser: Eraser, **more: Any) -> Disposal:
    return Disposal(engine, eraser, DISPOSER, **more)


def eraser_of(platform: Platform) -> FilesystemEraser:
    root = platform.settings.objects_root
    assert root is not None
    return FilesystemEraser(root)


def dispose_something(
    story: Story, platform: Platform, postgres: PostgresServer, owner_url: str, eraser: Eraser | None = None
) -> Story:
    """Return a Project of its own whose ModelVersion's Artifacts are gone, with a plan that was carried out and one that nobody has decided on."""
    project = begin(story)
    project.register_model()
    owner = create_engine(owner_url)
    with owner.connect() as connection:
        connection.execute(text("SET search_path = holdfast"))
        grow_old(connection)
    owner.dispose()
    make_plan(project)
    plan = approve_plan(project, make_plan(project), platform.engine)
    with disposer_of(postgres, owner_url) as engine:
        done = disposal(engine, eraser or eraser_of(platform)).carry_out(plan.name)
    assert (done.kept, done.residual) == (0, 0)
    return project
