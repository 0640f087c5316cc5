"""The database dies in the middle of every service function: nothing is half-done, no event stands without its change."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, create_engine, text

from holdfast.core.access import Caller
from holdfast.core.errors import StateConflict, Unavailable
from holdfast.service.transaction import PROBE_POINTS
from holdfast.settings import Platform
from holdfast.store.tables import Table
from holdfast.wire.artifact import ArtifactRequest
from holdfast.wire.model import ApprovalGateSpec, DecisionRequest, ModelVersionRequest, PolicyRequest, PromotionRequest
from holdfast.wire.project import ProjectRequest, Reason, RoleBindingRequest, TokenRequest
from holdfast.wire.run import (
    EnvironmentRequest,
    PipelineRunRequest,
    PipelineRunTransition,
    RunFinish,
    RunStart,
    RunTransition,
)
from tests.support.postgres import PostgresServer
from tests.support.story import Story, digest_of

Call = Callable[[object, str], object]


def bind(story: Story) -> object:
    request = RoleBindingRequest(subject="user:x", role="viewer")
    return story.act_as("system:install").projects.bind_role(story.project, request)


def approved(story: Story):
    promotion = story.request_promotion()
    decision = DecisionRequest(decision="approve", evidence_digest=promotion.evidence_digest)
    story.olaf.promotions.decide(story.project, promotion.id, decision)
    return promotion


def attachment(story: Story) -> ArtifactRequest:
    run = story.start_run()
    body = b"a note"
    key = f"{story.mia.projects.get(story.project).id}/{run.id}/note"
    version = story.objects.write(key, [body], bytes.fromhex(digest_of(body)[7:]), len(body)).version_id
    file = {
        "name": "note",
        "digest": digest_of(body),
        "size_bytes": len(body),
        "object_key": key,
        "version_id": version,
    }
    return ArtifactRequest(run=run.id, file=file)


def calls(story: Story) -> dict[str, Call]:
    """Return every function that changes something, ready to be called with (governance, key)."""
    p, fresh = story.project, secrets.token_hex(4)
    run_request, open_run, model_run = story.run_request(), story.start_run(), story.succeed()
    created_run = story.mia.runs.create(p, story.run_request())
    ending, stored = story.start_run(), None
    stored = story.store(ending)
    token = story.mia.projects.create_token(p, TokenRequest(name="t", scope=["run.write"])).token.id
    binding = bind(story).id
    pending, ready = story.request_promotion(), approved(story)
    version, pipeline, attach = story.register_model(), story.pipeline_run(run_id=fresh), attachment(story)
    doomed = Story.begin(story.act_as, story.objects).project
    model_request = ModelVersionRequest(artifact=story.artifact(model_run, "model"))
    policy = PolicyRequest(name=f"p{fresh}", gates=[ApprovalGateSpec(roles=["security_officer"])])
    decision = DecisionRequest(decision="approve", evidence_digest=pending.evidence_digest)
    return {
        "projects.create": lambda g, k: g.projects.create(ProjectRequest(name=f"p{fresh}", owner="o"), key=k),
        "projects.archive": lambda g, k: g.projects.archive(doomed, Reason(reason="r"), key=k),
        "projects.bind_role": lambda g, k: g.projects.bind_role(
            p, RoleBindingRequest(subject=f"user:{fresh}", role="viewer"), key=k
        ),
        "projects.unbind_role": lambda g, k: g.projects.unbind_role(p, binding, key=k),
        "projects.create_token": lambda g, k: g.projects.create_token(
            p, TokenRequest(name="n", scope=["run.write"]), key=k
        ),
        "projects.revoke_token": lambda g, k: g.projects.revoke_token(p, token, key=k),
        "datasets.register": lambda g, k: g.datasets.register(p, f"d{fresh}", story.dataset_request("x"), key=k),
        "runs.lock_environment": lambda g, k: g.runs.lock_environment(
            p, EnvironmentRequest(name=f"e{fresh}", kind="interpreter", reference="/usr/bin/python3"), key=k
        ),
        "runs.create_pipeline_run": lambda g, k: g.runs.create_pipeline_run(
            p, PipelineRunRequest(dag_id="d", run_id=f"n{fresh}"), key=k
        ),
        "runs.change_pipeline_run": lambda g, k: g.runs.change_pipeline_run(
            p, pipeline, PipelineRunTransition(state="succeeded"), key=k
        ),
        "runs.create": lambda g, k: g.runs.create(p, run_request, key=k),
        "runs.start": lambda g, k: g.runs.start(p, created_run.id, RunStart(fence="pod-1"), key=k),
        "runs.change": lambda g, k: g.runs.change(
            p, open_run.id, RunTransition(state="unknown", cause="c", owner="o"), key=k
        ),
        "runs.finish": lambda g, k: g.runs.finish(
            p, ending.id, RunFinish(state="succeeded", fence="pod-1", exit_code=0, artifacts=stored), key=k
        ),
        "artifacts.register": lambda g, k: g.artifacts.register(p, attach, key=k),
        "models.register": lambda g, k: g.models.register(p, f"m{fresh}", model_request, key=k),
        "promotions.define_policy": lambda g, k: g.promotions.define_policy(p, policy, key=k),
        "promotions.request": lambda g, k: g.promotions.request(
            p, PromotionRequest(model_version=version.id, alias=f"a{fresh}", policy="clinical"), key=k
        ),
        "promotions.decide": lambda g, k: g.promotions.decide(p, pending.id, decision, key=k),
        "promotions.execute": lambda g, k: g.promotions.execute(p, ready.id, key=k),
    }


def content_of(connection: Connection) -> dict[str, list[str]]:
    """Return every row of every table, as text."""
    return {
        table.name: [row[0] for row in connection.execute(text(f"SELECT t::text FROM {table.name} t ORDER BY 1"))]
        for table in Table.metadata.sorted_tables
    }


@pytest.mark.parametrize("point", PROBE_POINTS)
def test_a_database_that_dies_leaves_the_whole_change_or_nothing(
    point: str,
    platform: Platform,
    story: Story,
    postgres: PostgresServer,
    database: tuple[str, str],
    owner_sql: Connection,
) -> None:
    killer = create_engine(database[0], isolation_level="AUTOCOMMIT")
    login = platform.engine.url.username

    def kill(reached: str) -> None:
        if reached == point:
            with killer.connect() as connection:
                connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :login"),
                    {"login": login},
                )

    for name, call in calls(story).items():
        caller = "user:olaf" if name == "promotions.decide" else "system:install"
        faulty = platform.governance(Caller(caller))
        object.__setattr__(faulty, "probe", kill)
        key = secrets.token_hex(8)
        before = content_of(owner_sql)
        failed = False
        try:
            call(faulty, key)
        except Unavailable:
            failed = True
        after = content_of(owner_sql)
        if point == "committed":
            assert not failed, name
        else:
            assert failed, f"{name} did not notice at {point}"
            assert after == before, f"{name} left something behind at {point}"
        platform.engine.dispose()
        healthy = platform.governance(Caller(caller))
        if name == "projects.create_token" and point == "committed":
            # A token's secret is shown once: the repeated call says so instead of making a second token.
            with pytest.raises(StateConflict, match="shown once"):
                call(healthy, key)
        else:
            assert call(healthy, key) is not None
        done = content_of(owner_sql)
        if point == "committed":
            assert done == after, f"{name} was done twice"
        events = len(done["audit_event"]) - len(before["audit_event"])
        assert events >= 1, f"{name} left no event"
    killer.dispose()
