"""The database server restarts, is full, is a standby, has no connection left, or is cut off in the very COMMIT."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, create_engine, text

from holdfast.core.access import Caller
from holdfast.core.errors import HoldfastError, StateConflict, Unavailable
from holdfast.settings import Platform, Settings
from holdfast.store import migrate
from holdfast.store.engine import open_engine
from holdfast.wire.project import ProjectRequest
from holdfast.wire.run import RunFinish
from tests.integration.test_faults import calls, content_of
from tests.support.cut import wire
from tests.support.postgres import PostgresServer
from tests.support.server import serve
from tests.support.story import Story

AS_SYSTEM = {"Authorization": "Bearer system:install"}


def new_project() -> ProjectRequest:
    return ProjectRequest(name=f"p{secrets.token_hex(6)}", owner="o")


@pytest.fixture
def directory() -> Iterator[Path]:
    # A socket's path has at most 107 bytes.
    made = Path(tempfile.mkdtemp(prefix="hf-cut-", dir="/var/tmp"))
    yield made
    shutil.rmtree(made)


def test_after_a_restart_of_the_server_a_call_is_unavailable_at_most_once(directory: Path, settings: Settings) -> None:
    with PostgresServer.start(directory) as server:
        owner = server.create_database("holdfast")
        migrate.upgrade(owner)
        login = server.create_login("app", member_of="holdfast_service")
        url = settings.database_url.__class__(server.url("holdfast", login))
        platform = Platform.open(settings.model_copy(update={"database_url": url}))
        with serve(platform) as api, httpx.Client(base_url=api, headers=AS_SYSTEM) as http:
            held = [platform.engine.connect() for _ in range(5)]
            for connection in held:
                connection.close()
            assert http.get("/projects").status_code == 200
            os.kill(server.pid, signal.SIGQUIT)  # what pg_ctl restart -m immediate sends
            while not _is_over(server.pid):
                assert http.get("/projects").status_code in (200, 503)
            gone = http.post("/projects", json={"name": "x", "owner": "o"}, headers={"Idempotency-Key": "k"})
            assert (gone.status_code, gone.headers["retry-after"]) == (503, "2")
            assert http.get("/health").status_code == 503
            with PostgresServer.start(directory):
                seen = [http.get("/projects").status_code for _ in range(6)]
                assert seen[0] in (200, 503)
                assert seen[1:] == [200] * 5
                done = http.post("/projects", json={"name": "x", "owner": "o"}, headers={"Idempotency-Key": "k"})
                assert done.status_code == 201
        platform.close()


def _is_over(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_when_all_connections_are_in_use_the_caller_is_told_when_to_come_again(platform: Platform) -> None:
    small = open_engine(platform.engine.url.render_as_string(hide_password=False), pool_size=1)
    small.pool._timeout = 0.1
    held = [small.connect()]
    with serve(replace(platform, engine=small)) as api:
        reply = httpx.get(f"{api}/projects", headers=AS_SYSTEM)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
        assert "in use" in reply.json()["detail"]
        for connection in held:
            connection.close()
        assert httpx.get(f"{api}/projects", headers=AS_SYSTEM).status_code == 200
    small.dispose()


def test_a_statement_that_takes_too_long_is_unavailable(
    story: Story, platform: Platform, owner_sql: Connection
) -> None:
    run = story.start_run()
    hasty = create_engine(
        platform.engine.url, connect_args={"options": "-c search_path=holdfast -c statement_timeout=100ms"}
    )
    owner_sql.execute(text("BEGIN"))
    owner_sql.execute(text("SELECT 1 FROM run WHERE id = :id FOR UPDATE"), {"id": run.id})
    with pytest.raises(Unavailable):
        replace(story.mia, engine=hasty).runs.finish(story.project, run.id, RunFinish(state="canceled", fence="pod-1"))
    owner_sql.execute(text("ROLLBACK"))
    hasty.dispose()


@pytest.mark.parametrize("code", ["53100", "53200", "53400", "58030", "57P01", "57014", "25P03"])
def test_a_server_that_cannot_go_on_leaves_nothing_behind(code: str, platform: Platform, owner_sql: Connection) -> None:
    owner_sql.execute(
        text(
            "CREATE OR REPLACE FUNCTION holdfast.test_break() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'out of order' USING ERRCODE = '{code}'; END $$"
        )
    )
    owner_sql.execute(
        text(
            "CREATE TRIGGER test_break BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION holdfast.test_break()"
        )
    )
    request, before = new_project(), content_of(owner_sql)
    try:
        with pytest.raises(Unavailable):
            platform.governance(Caller("system:x")).projects.create(request, key="k" + code)
    finally:
        owner_sql.execute(text("DROP FUNCTION holdfast.test_break() CASCADE"))
    assert content_of(owner_sql) == before
    assert platform.governance(Caller("system:x")).projects.create(request, key="k" + code).name == request.name


@pytest.mark.parametrize(
    ("setting", "back"),
    [
        ("SET default_transaction_read_only = on", "RESET default_transaction_read_only"),
        ("CONNECTION LIMIT 0", "CONNECTION LIMIT -1"),
        ("NOLOGIN", "LOGIN"),
    ],
)
def test_a_server_that_takes_no_change_is_unavailable(
    setting: str, back: str, platform: Platform, postgres: PostgresServer
) -> None:
    login, request = platform.engine.url.username, new_project()
    postgres.execute(f"ALTER ROLE {login} {setting}")
    platform.engine.dispose()
    try:
        with pytest.raises(Unavailable):
            platform.governance(Caller("system:x")).projects.create(request)
    finally:
        postgres.execute(f"ALTER ROLE {login} {back}")
        platform.engine.dispose()
    assert platform.governance(Caller("system:x")).projects.create(request).name == request.name


@pytest.mark.parametrize("cut", ["order", "answer"])
def test_a_wire_that_breaks_in_the_commit_leaves_the_whole_change_or_nothing_and_the_key_tells(
    cut: str,
    directory: Path,
    story: Story,
    platform: Platform,
    postgres: PostgresServer,
    owner_sql: Connection,
) -> None:
    with wire(directory, postgres.directory) as line:
        url = platform.engine.url.update_query_dict({"host": str(directory)})
        far = open_engine(url.render_as_string(hide_password=False), pool_size=2)
        for name, call in calls(story).items():
            caller = Caller("user:olaf" if name == "promotions.decide" else "system:install")
            governance, key = replace(platform.governance(caller), engine=far), secrets.token_hex(8)
            before = content_of(owner_sql)
            line.armed, line.broken = cut, 0
            with pytest.raises(Unavailable):
                call(governance, key)
            assert line.broken == 1, name
            far.dispose()
            after = content_of(owner_sql)
            if cut == "order":
                assert after == before, name
            else:
                assert len(after["audit_event"]) > len(before["audit_event"]), name
            line.broken = 0
            reply = outcome(lambda call=call, governance=governance, key=key: call(governance, key))
            if cut == "answer" and name == "projects.create_token":
                assert isinstance(reply, StateConflict)
            else:
                assert not isinstance(reply, HoldfastError), (name, reply)
            done = content_of(owner_sql)
            if cut == "answer":
                assert done == after, f"{name} was done twice"
            else:
                assert len(done["audit_event"]) > len(before["audit_event"]), name
        far.dispose()


def outcome(call) -> object:
    try:
        return call()
    except HoldfastError as error:
        return error
