"""Fixtures on real parts: one PostgreSQL server a suite, one database a test module, one platform on it."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from holdfast.core.access import Caller
from holdfast.settings import Platform, Settings
from holdfast.store import migrate
from tests.support.postgres import PostgresServer, throw_away_server

if TYPE_CHECKING:
    from holdfast.service.governance import GovernanceService

GRANT_KEY = "a grant key for tests, which is long enough"


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl-C, so that fixtures stop what they have started: servers, clusters, their links and directories."""
    ours = os.getpid()

    def end(number: int, _: object) -> None:
        # A second one would leave half of it behind; and what a test has forked ends at once.
        signal.signal(number, signal.SIG_IGN if os.getpid() == ours else signal.SIG_DFL)
        if os.getpid() == ours:
            raise KeyboardInterrupt("SIGTERM")
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Turn every skip into a failure: a part that is missing is missing."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped; in this suite nothing skips"
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with throw_away_server() as server:
        yield server


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """A migrated database: (URL of the owner, URL of a login that is a member of holdfast_service)."""
    name = f"hf_{secrets.token_hex(6)}"
    owner_url = postgres.create_database(name)
    migrate.upgrade(owner_url)
    service = postgres.create_login(f"{name}_app", member_of="holdfast_service")
    yield owner_url, postgres.url(name, service)
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def settings(database: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    _, service_url = database
    return Settings(
        database_url=service_url,
        objects_root=tmp_path_factory.mktemp("objects"),
        grant_key=GRANT_KEY,
        api_url="http://127.0.0.1:1/holdfast/api/v1",
    )


@pytest.fixture(scope="module")
def platform(settings: Settings) -> Iterator[Platform]:
    opened = Platform.open(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def platform_env(settings: Settings, database: tuple[str, str]) -> dict[str, str]:
    """The environment of a process that opens the same platform."""
    return {
        "HOLDFAST_DATABASE_URL": settings.database_url.get_secret_value(),
        "HOLDFAST_OWNER_URL": database[0],
        "HOLDFAST_OBJECTS_ROOT": str(settings.objects_root),
        "HOLDFAST_GRANT_KEY": GRANT_KEY,
        "HOLDFAST_API_URL": settings.api_url,
    }


@pytest.fixture(scope="module")
def admin(platform: Platform) -> GovernanceService:
    return platform.governance(Caller("system:tests"))


@pytest.fixture
def owner_sql(database: tuple[str, str]) -> Iterator[object]:
    """A connection of the owner, to look with eyes that the service does not have."""
    engine = create_engine(database[0], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET search_path = holdfast"))
        yield connection
    engine.dispose()


@pytest.fixture
def here() -> Path:
    """The repository."""
    return Path(__file__).parents[1]
