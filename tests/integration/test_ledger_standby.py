"""Who answers the API stands by for the ledger; who extends it outlives its database, and says what it waits for."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url, text

from holdfast.core.access import Caller
from holdfast.core.errors import Unavailable
from holdfast.core.note import VerifierKey
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.shown import size_at
from holdfast.ledger.verify import Verification
from holdfast.settings import Platform, Settings
from holdfast.store import migrate
from holdfast.wire.project import ProjectRequest
from tests.support.postgres import PostgresServer
from tests.support.server import free_ports

HOLDFAST = str(Path(sys.executable).parent / "holdfast")


@pytest.fixture
def directory() -> Iterator[Path]:
    # A socket's path has at most 107 bytes.
    made = Path(tempfile.mkdtemp(prefix="hf-by-", dir="/var/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def key(tmp_path: Path) -> VerifierKey:
    return FileSigner.make("example.org/log", tmp_path / "log.key").key


def ledger_of(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOLDFAST_LEDGER_LOG": str(tmp_path / "log"),
        "HOLDFAST_LEDGER_KEY": str(tmp_path / "log.key"),
    }


@contextmanager
def process(environment: dict[str, str], output: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as file:
        started = subprocess.Popen([HOLDFAST, *words], env=environment, stdout=file, stderr=file)
        try:
            yield started
        finally:
            if started.poll() is None:
                started.send_signal(signal.SIGTERM)
            started.wait(60)


def until(is_so: Callable[[], Any], why: Callable[[], Any] = lambda: None, deadline_s: float = 60) -> None:
    deadline = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)


def record(platform: Platform) -> None:
    platform.governance(Caller("system:tests")).projects.create(
        ProjectRequest(name=f"p{secrets.token_hex(6)}", owner="tests")
    )


def events(owner_sql: Any) -> int:
    return int(owner_sql.scalar(text("SELECT count(*) FROM audit_event")))


def test_every_server_of_the_api_stands_by_and_one_extends_the_log(
    platform: Platform,
    platform_env: dict[str, str],
    postgres: PostgresServer,
    database: tuple[str, str],
    owner_sql: Any,
    tmp_path: Path,
    key: VerifierKey,
) -> None:
    log, name = DirectoryPlace(tmp_path / "log"), make_url(database[0]).database or ""
    with ExitStack() as stack:
        servers = {}
        for port in free_ports(2):
            login = postgres.create_login(f"{name}_{port}", member_of="holdfast_service")
            environment = {**platform_env, **ledger_of(tmp_path), "HOLDFAST_DATABASE_URL": postgres.url(name, login)}
            servers[f"{name}_{port}"] = stack.enter_context(
                process(environment, tmp_path / login, "serve", "--port", str(port))
            )
            until(lambda port=port: is_healthy(port))  # type: ignore[misc]
        while servers:
            record(platform)
            until(lambda: size_at(log) == events(owner_sql) > 0)
            [extending] = holders(owner_sql)
            servers.pop(extending).kill()
    look = Verification(log, [key], is_signed, platform.engine)
    assert look.verify().size == events(owner_sql)
    assert look.findings == []


def is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/holdfast/api/v1/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def holders(owner_sql: Any) -> list[str]:
    """Return the logins that hold the sequencer's lock."""
    statement = "SELECT a.usename FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE locktype = 'advisory'"
    return list(owner_sql.execute(text(statement)).scalars())


def test_who_extends_the_log_waits_for_a_database_that_is_away_and_goes_on(
    directory: Path, tmp_path: Path, settings: Settings, key: VerifierKey
) -> None:
    said = tmp_path / "said"
    with PostgresServer.start(directory) as server:
        owner = server.create_database("holdfast")
        migrate.upgrade(owner)
        url = server.url("holdfast", server.create_login("app", member_of="holdfast_service"))
        platform = Platform.open(settings.model_copy(update={"database_url": settings.database_url.__class__(url)}))
        environment = {
            **ledger_of(tmp_path),
            "HOLDFAST_DATABASE_URL": url,
            "HOLDFAST_OBJECTS_ROOT": str(settings.objects_root),
            "HOLDFAST_GRANT_KEY": settings.grant_key.get_secret_value(),
            "HOLDFAST_API_URL": settings.api_url,
        }
        log = DirectoryPlace(tmp_path / "log")
        with process(environment, said, "ledger", "run") as running:
            record(platform)
            until(lambda: size_at(log) > 0, said.read_text)
            before = size_at(log)
            os.kill(server.pid, signal.SIGQUIT)
            until(lambda: "the log is not extended now" in said.read_text(), said.read_text)
            with PostgresServer.start(directory):
                until(lambda: has_recorded(platform))
                until(lambda: size_at(log) > before, said.read_text)
                until(lambda: "extended again" in said.read_text(), said.read_text)
                running.send_signal(signal.SIGTERM)
                assert running.wait(60) == 0
            assert "Traceback" not in said.read_text()
            assert said.read_text().count("the log is not extended now") <= 3
        platform.close()


def has_recorded(platform: Platform) -> bool:
    try:
        record(platform)
    except Unavailable:
        return False
    return True


def test_a_key_that_cannot_be_read_stops_the_server(platform_env: dict[str, str], tmp_path: Path) -> None:
    environment = {**platform_env, **ledger_of(tmp_path)}
    done = subprocess.run(
        [HOLDFAST, "serve", "--port", str(free_ports(1)[0])],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "log.key cannot be read" in done.stderr


def test_without_a_key_a_server_leaves_the_log_to_others(
    platform: Platform, platform_env: dict[str, str], owner_sql: Any, tmp_path: Path
) -> None:
    environment = {**platform_env, **ledger_of(tmp_path)}
    del environment["HOLDFAST_LEDGER_KEY"]
    [port] = free_ports(1)
    with process(environment, tmp_path / "said", "serve", "--port", str(port)):
        until(lambda: is_healthy(port))
        record(platform)
        assert holders(owner_sql) == []
