from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from holdfast.core.access import Caller
from holdfast.objects.s3 import S3Store
from holdfast.settings import Platform
from tests.support.disposal import disposer_of
from tests.support.postgres import PostgresServer
from tests.support.s3 import REGION, S3Server, throw_away_s3
from tests.support.story import Story


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with throw_away_s3() as server:
        yield server


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    return s3.create_bucket()


@pytest.fixture(scope="module")
def store(s3: S3Server, bucket: str) -> S3Store:
    return S3Store(bucket, s3.session(), endpoint_url=s3.url, region=REGION)


@pytest.fixture(scope="module")
def story(platform: Platform) -> Story:
    return Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects)


@pytest.fixture
def owner(database: tuple[str, str]) -> Iterator[Connection]:
    """The owner of the database, with transactions; `owner_sql` is the same without."""
    engine = create_engine(database[0])
    with engine.connect() as connection:
        connection.execute(text("SET search_path = holdfast"))
        yield connection
    engine.dispose()


@pytest.fixture(scope="module")
def disposer(postgres: PostgresServer, database: tuple[str, str]) -> Iterator[Engine]:
    with disposer_of(postgres, database[0]) as engine:
        yield engine
