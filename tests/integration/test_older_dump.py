"""A database that is restored from before a legal hold, beside the store of today: it lets nothing go that the store holds, and says what it found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, make_url

from holdfast.core.access import Caller
from holdfast.objects.s3_eraser import S3Eraser
from holdfast.ops.hold_locks import Locks
from holdfast.settings import Platform, Settings
from tests.support.disposal import approve_plan, begin, disposal, disposer_of, grow_old, make_plan
from tests.support.holds import OFFICERS, hold_on, place
from tests.support.postgres import PostgresServer
from tests.support.s3 import REGION, S3Server, opened_on
from tests.support.story import Story

SYSTEM = Caller("system:tests")


@pytest.fixture(scope="module")
def platform(settings: Settings, s3: S3Server, bucket: str) -> Iterator[Platform]:
    with opened_on(s3, settings, objects_root=None, s3_bucket=bucket) as opened:
        yield opened


def restored(postgres: PostgresServer, owner_url: str) -> str:
    """Return the name of a copy of a database as it is now: what a dump restores."""
    name = str(make_url(owner_url).database)
    copy = f"{name}_older"
    postgres.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )
    postgres.execute(f"CREATE DATABASE {copy} TEMPLATE {name}")
    return copy


def test_a_database_from_before_a_hold_lets_nothing_go_that_the_store_holds(
    story: Story,
    platform: Platform,
    owner: Connection,
    postgres: PostgresServer,
    database: tuple[str, str],
    settings: Settings,
    s3: S3Server,
    bucket: str,
) -> None:
    project = begin(story)
    run = project.succeed()
    grow_old(owner)
    owner.close()
    platform.engine.dispose()
    older = restored(postgres, database[0])
    hold = place(project, hold_on("run", run.id))
    Locks(platform.engine, platform.objects, SYSTEM).reconcile()
    held = {artifact.id: artifact for artifact in project.vera.artifacts.list(project.project).items}
    assert project.act_as(OFFICERS[0]).holds.get(hold.name).locks.locked == len(held) == 3

    login = make_url(database[1]).username
    url = SecretStr(postgres.url(older, login))
    with opened_on(s3, settings, objects_root=None, s3_bucket=bucket, database_url=url) as forgetful:
        then = Story(lambda principal: forgetful.governance(Caller(principal)), forgetful.objects, project.project)
        assert then.act_as(OFFICERS[0]).holds.list().items == []
        plan = make_plan(then)
        assert {item.object for item in then.vera.retention_plans.items(then.project, plan.name).items} > set(held)
        approve_plan(then, plan, forgetful.engine)
        eraser = S3Eraser(bucket, s3.session(), endpoint_url=s3.url, region=REGION)
        with disposer_of(postgres, postgres.url(older)) as engine:
            done = disposal(engine, eraser).carry_out(plan.name)
        assert done.residual == len(held)
        for artifact in held.values():
            line = then.vera.retention_plans.line(then.project, plan.name, artifact.id)
            assert "the store refused (AccessDenied" in line.line["says"]
        # It does not take off what it has not put on, and says that it is there.
        found = Locks(forgetful.engine, forgetful.objects, SYSTEM).reconcile(is_read_back=True)
        assert (found.unlocked, len(found.strays)) == (0, len(held))
    for artifact in held.values():
        platform.objects.stat(artifact.object_key, artifact.version_id)
        assert platform.objects.is_held(artifact.object_key, artifact.version_id)
        assert project.vera.artifacts.get(project.project, artifact.id).state == "available"
