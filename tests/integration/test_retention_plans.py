"""Retention plans on PostgreSQL and Ceph's RADOS Gateway: made, approved, carried out once, and certified; and all that must not be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from holdfast.objects.s3_eraser import S3Eraser
from holdfast.settings import Platform, Settings
from tests.support.disposal import approve_plan, begin, disposal, disposer_of, grow_old, make_plan
from tests.support.postgres import PostgresServer
from tests.support.s3 import REGION, S3Server, opened_on
from tests.support.story import Story


@pytest.fixture(scope="module")
def platform(settings: Settings, s3: S3Server, bucket: str) -> Iterator[Platform]:
    with opened_on(s3, settings, objects_root=None, s3_bucket=bucket) as opened:
        yield opened


@pytest.fixture(scope="module")
def disposer(postgres: PostgresServer, database: tuple[str, str]) -> Iterator[Engine]:
    with disposer_of(postgres, database[0]) as engine:
        yield engine


@pytest.fixture
def eraser(s3: S3Server, bucket: str) -> S3Eraser:
    return S3Eraser(bucket, s3.session(), endpoint_url=s3.url, region=REGION)


@pytest.fixture
def owner(database: tuple[str, str]) -> Iterator[Connection]:
    engine = create_engine(database[0])
    with engine.connect() as connection:
        connection.execute(text("SET search_path = holdfast"))
        yield connection
    engine.dispose()


@pytest.fixture
def old(story: Story, owner: Connection) -> Story:
    """A Project with a Run and its three Artifacts, all of which may go."""
    project = begin(story)
    project.succeed()
    grow_old(owner)
    return project


def test_a_plan_is_made_approved_and_carried_out(
    old: Story, platform: Platform, disposer: Engine, eraser: S3Eraser, s3: S3Server, bucket: str
) -> None:
    plan = make_plan(old)
    assert (plan.state, plan.item_count) == ("made", 4)
    approve_plan(old, plan, platform.engine)
    done = disposal(disposer, eraser).carry_out(plan.name)
    assert (done.purged, done.kept, done.residual) == (4, 0, 0)
