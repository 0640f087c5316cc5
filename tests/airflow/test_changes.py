"""What people change in Airflow itself, by its API, its pages and its command line: on record before it is done, and never a secret in it."""

from __future__ import annotations

import getpass
import json
import secrets
import subprocess
import sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from sqlalchemy import create_engine, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.airflow import Installation

SECRET = "pass/word+with=canary&in it"  # written in other forms it looks different
TYPED = "a password in the wrong field"
LATER = "another canary, given later"


@pytest.fixture(scope="module")
def http(place: Installation) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {place.airflow('admin').token}"}
    with httpx.Client(base_url=place.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def sql(place: Installation) -> Iterator[Any]:
    """The governance database as its owner sees it."""
    engine = create_engine(place.postgres.url("holdfast"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield lambda statement, **values: connection.execute(text(statement), values)
    engine.dispose()


def events(sql: Any, target_type: str, target: str, *actions: str) -> list[dict[str, Any]]:
    """Return the events about a target, oldest first."""
    rows = sql(
        "SELECT content FROM holdfast.audit_event WHERE target_type = :kind AND target_id = :name ORDER BY recorded_at, id",
        kind=target_type,
        name=target,
    )
    found = [json.loads(row.content) for row in rows]
    return [event for event in found if not actions or event["action"] in actions]


def changes(sql: Any, kind: str, name: str) -> list[dict[str, Any]]:
    """Return what was announced about a row of Airflow, each with its end."""
    announced = events(sql, kind, name, "airflow_change.announced")
    for event in announced:
        [end] = events(sql, "airflow_transaction", event["content"]["transaction"])
        event["end"] = end["outcome"]
    return announced


def airflow(
    place: Installation, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "airflow"), *arguments]
    environment = place.service if environment is None else environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)


@contextmanager
def no_events(sql: Any) -> Iterator[None]:
    """Let the service write no audit event for a while."""
    sql("REVOKE INSERT ON holdfast.audit_event FROM holdfast_service")
    try:
        yield
    finally:
        sql("GRANT INSERT ON holdfast.audit_event TO holdfast_service")


@contextmanager
def paused(http: httpx.Client, dag: str) -> Iterator[None]:
    """Keep the scheduler from a Dag for a while: it ends when a DagRun is deleted which it is just scheduling."""
    assert http.patch(f"/api/v2/dags/{dag}", json={"is_paused": True}).status_code == 200
    try:
        yield
    finally:
        assert http.patch(f"/api/v2/dags/{dag}", json={"is_paused": False}).status_code == 200


def written_forms(secret: str) -> list[str]:
    raw = secret.encode()
    encoded = [b64encode(b"x" * pad + raw)[4 if pad else 0 : -4].decode() for pad in range(3)]
    return [
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        raw.hex(),
        json.dumps(secret)[1:-1],
        *encoded,
    ]


def test_a_connection_by_rest_is_on_record_with_before_and_after_and_without_its_password(
    http: httpx.Client, sql: Any
) -> None:
    body = {"connection_id": "told", "conn_type": "http", "host": "a.example", "login": "me", "password": SECRET}
    assert http.post("/api/v2/connections", json={**body, "extra": json.dumps({"key": SECRET})}).status_code == 201
    patched = http.patch(
        "/api/v2/connections/told", json={**body, "host": f"https://me:{quote(SECRET)}@b.example", "password": LATER}
    )
    assert patched.status_code == 200, patched.text
    assert http.delete("/api/v2/connections/told").status_code == 204
    made, changed, gone = changes(sql, "airflow_connection", "told")
    assert [event["initiator"] for event in (made, changed, gone)] == ["user:admin"] * 3
    assert [event["content"]["change"] for event in (made, changed, gone)] == ["created", "changed", "deleted"]
    assert [event["end"] for event in (made, changed, gone)] == ["succeeded"] * 3
    assert made["content"]["before"] is None
    assert made["content"]["after"]["host"] == "a.example"
    assert made["content"]["cause"] == "POST /api/v2/connections"
    assert changed["content"]["before"] == {
        "host": "a.example",
        "password": made["content"]["after"]["password"],
        **({"extra": made["content"]["after"]["extra"]} if "extra" in changed["content"]["before"] else {}),
    }
    assert changed["content"]["after"]["host"].startswith("hmac-sha256:")
    assert gone["content"]["before"]["password"] == changed["content"]["after"]["password"]
    assert gone["content"]["after"] is None
    received = events(sql, "call", "POST /api/v2/connections", "airflow_call.received")[-1]
    assert received["content"]["body"]["connection_id"] == "told"
    answered = events(sql, "call", "DELETE /api/v2/connections/told", "airflow_call.answered")
    assert [event["content"]["status"] for event in answered] == [204]


def test_equal_secrets_are_told_equal_whoever_sets_them(place: Installation, http: httpx.Client, sql: Any) -> None:
    done = airflow(
        place,
        "connections",
        "add",
        "typed",
        "--conn-type",
        "http",
        "--conn-password",
        SECRET,
        "--conn-host",
        "c.example",
    )
    assert done.returncode == 0, done.stderr
    assert http.post("/api/v2/variables", json={"key": "same", "value": SECRET}).status_code == 201
    [typed] = changes(sql, "airflow_connection", "typed")
    [same] = changes(sql, "airflow_variable", "same")
    assert typed["content"]["after"]["password"] == same["content"]["after"]["val"]
    assert typed["content"]["after"]["host"] == "c.example"
    assert typed["initiator"] == f"system:{getpass.getuser()}"
    assert (typed["content"]["cause"], typed["end"]) == ("airflow connections add", "succeeded")
    started, ended = events(sql, "airflow_command", "connections add")[-2:]
    assert (started["action"], ended["action"]) == ("airflow_command.started", "airflow_command.ended")
    assert started["content"]["arguments"]["conn_id"] == "typed"
    assert started["content"]["arguments"]["conn_password"] == typed["content"]["after"]["password"]


@pytest.mark.timeout(900)  # each command starts an Airflow
def test_the_command_line_is_on_record_too(place: Installation, sql: Any) -> None:
    orders = (
        (("variables", "set", "count", "1"), ("variables", "set", "count", "2"), ("variables", "delete", "count")),
        (("pools", "set", "narrow", "3", "few"), ("pools", "set", "narrow", "4", "few"), ("pools", "delete", "narrow")),
        (
            ("connections", "add", "brief", "--conn-type", "http"),
            ("dags", "pause", "again"),
            ("dags", "unpause", "again"),
            ("connections", "delete", "brief"),
        ),
        (
            ("roles", "create", "Typists"),
            (
                "users",
                "create",
                "-u",
                "tim",
                "-f",
                "Tim",
                "-l",
                "T",
                "-r",
                "Typists",
                "-e",
                "t@localhost",
                "-p",
                SECRET,
            ),
            ("users", "delete", "-u", "tim"),
        ),
    )

    def give(order: tuple[tuple[str, ...], ...]) -> None:
        for arguments in order:
            done = airflow(place, *arguments)
            assert done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-3000:])

    with ThreadPoolExecutor(len(orders)) as threads:
        list(threads.map(give, orders))
    for arguments in chain.from_iterable(orders):
        assert events(sql, "airflow_command", " ".join(arguments[:2]), "airflow_command.ended"), arguments
    counted = changes(sql, "airflow_variable", "count")
    assert [event["content"]["change"] for event in counted] == ["created", "changed", "deleted"]
    assert counted[1]["content"]["before"]["val"] == counted[0]["content"]["after"]["val"]
    pooled = changes(sql, "airflow_pool", "narrow")
    assert [event["content"]["after"] and event["content"]["after"]["slots"] for event in pooled] == [3, 4, None]
    paused = changes(sql, "airflow_dag", "again")[-2:]
    assert [(e["content"]["before"], e["content"]["after"]) for e in paused] == [
        ({"is_paused": False}, {"is_paused": True}),
        ({"is_paused": True}, {"is_paused": False}),
    ]
    tim = changes(sql, "airflow_user", "tim")
    assert (tim[0]["content"]["change"], tim[-1]["content"]["change"]) == ("created", "deleted")
    assert tim[0]["content"]["after"]["roles"] == ["Typists"]
    assert tim[0]["content"]["after"]["password"].startswith("hmac-sha256:")


def test_pools_variables_and_users_by_rest(http: httpx.Client, sql: Any) -> None:
    assert http.post("/api/v2/pools", json={"name": "wide", "slots": 5}).status_code == 201
    assert (
        http.patch("/api/v2/pools/wide", json={"pool": "wide", "slots": 6, "include_deferred": False}).status_code
        == 200
    )
    many = {
        "actions": [
            {"action": "create", "entities": [{"key": "bulk", "value": SECRET}, {"key": "bulk2", "value": "x"}]},
            {"action": "delete", "entities": ["bulk2"]},
        ]
    }
    assert http.patch("/api/v2/variables", json=many).status_code == 200
    assert http.delete("/api/v2/pools/wide").status_code == 204
    user = {
        "username": "ursula",
        "first_name": "U",
        "last_name": "U",
        "email": "u@localhost",
        "password": SECRET,
        "roles": [{"name": "Viewer"}],
    }
    assert http.post("/auth/fab/v1/users", json=user).status_code in (200, 201)
    renamed = http.patch(
        "/auth/fab/v1/users/ursula", params={"update_mask": "roles"}, json={**user, "roles": [{"name": "Op"}]}
    )
    assert renamed.status_code == 200, renamed.text
    assert http.delete("/auth/fab/v1/users/ursula").status_code in (200, 204)
    assert [e["content"]["change"] for e in changes(sql, "airflow_pool", "wide")] == ["created", "changed", "deleted"]
    assert len(changes(sql, "airflow_variable", "bulk")) == 1
    assert [e["content"]["change"] for e in changes(sql, "airflow_variable", "bulk2")] == ["created", "deleted"]
    ursula = changes(sql, "airflow_user", "ursula")
    roles = [event for event in ursula if "roles" in (event["content"]["before"] or {})]
    assert roles[0]["content"]["before"]["roles"] == ["Viewer"]
    assert roles[0]["content"]["after"]["roles"] == ["Op"]
    assert ursula[-1]["content"]["change"] == "deleted"
    assert {event["initiator"] for event in ursula} == {"user:admin"}


def test_what_is_done_to_dagruns_and_tasks_is_on_record(place: Installation, http: httpx.Client, sql: Any) -> None:
    with paused(http, "loose"):
        run_id = place.trigger("loose")
        path = f"/api/v2/dags/loose/dagRuns/{run_id}"
        marked = http.patch(path, json={"state": "failed", "note": SECRET})
        assert marked.status_code == 200, marked.text
        cleared = http.post(f"{path}/clear", json={"dry_run": False})
        assert cleared.status_code == 200, cleared.text
        assert http.patch(path, json={"state": "failed"}).status_code == 200
        assert http.delete(path).status_code == 204
    run = changes(sql, "airflow_dag_run", f"loose/{run_id}")
    assert run[0]["content"]["change"] == "created"
    assert run[0]["initiator"] == "user:maintainer"
    states = [event["content"]["after"]["state"] for event in run if "state" in (event["content"]["after"] or {})]
    assert states[:3] == ["queued", "failed", "queued"], states
    assert run[-1]["content"]["change"] == "deleted"
    for what in (f"PATCH {path}", f"POST {path}/clear", f"DELETE {path}"):
        assert events(sql, "call", what, "airflow_call.received"), what
        assert events(sql, "call", what, "airflow_call.answered"), what


def test_log_ins_and_failed_log_ins_are_on_record_without_what_was_typed(
    place: Installation, http: httpx.Client, sql: Any
) -> None:
    before = len(events(sql, "call", "POST /auth/token"))
    with httpx.Client(base_url=place.url, trust_env=False, timeout=60) as stranger:
        for name, word, status in (
            ("viewer", place.passwords["viewer"], 201),
            ("viewer", SECRET, 401),
            (TYPED, "x", 401),
        ):
            assert stranger.post("/auth/token", json={"username": name, "password": word}).status_code == status
        page = stranger.get("/auth/login/")
        assert page.status_code == 200
        token = csrf(page)
        for word in (SECRET, place.passwords["viewer"]):
            form = {"username": "viewer", "password": word, "csrf_token": token}
            assert stranger.post("/auth/login/", data=form).status_code in (200, 302)
    found = events(sql, "call", "POST /auth/token")[before:]
    assert [(e["action"], e["outcome"], e["initiator"]) for e in found] == [
        ("login.attempted", "succeeded", "user:viewer"),
        ("login.attempted", "refused", "anonymous"),
        ("login.attempted", "refused", "anonymous"),
    ]
    assert [e["content"]["username"] for e in found[:2]] == ["viewer", "viewer"]
    assert found[2]["content"]["username"].startswith("hmac-sha256:")
    by_page = events(sql, "call", "POST /auth/login/")
    assert [e["outcome"] for e in by_page[-2:]] == ["refused", "succeeded"]


def test_a_page_of_the_auth_manager_is_on_record_as_rest_is(place: Installation, http: httpx.Client, sql: Any) -> None:
    person = {"username": "paula", "first_name": "P", "last_name": "P", "email": "p@localhost", "password": LATER}
    assert http.post("/auth/fab/v1/users", json={**person, "roles": [{"name": "Viewer"}]}).is_success
    with httpx.Client(base_url=place.url, trust_env=False, timeout=60, follow_redirects=True) as paula:
        signed_in = {"username": "paula", "password": LATER, "csrf_token": csrf(paula.get("/auth/login/"))}
        paula.post("/auth/login/", data=signed_in)
        form = "/auth/resetmypassword/form"
        new = {"password": SECRET, "conf_password": SECRET, "csrf_token": csrf(paula.get(form))}
        paula.post(form, data=new)
    [reset] = [event for event in changes(sql, "airflow_user", "paula") if event["content"]["change"] == "changed"]
    assert (reset["initiator"], reset["end"]) == ("user:paula", "succeeded")
    assert reset["content"]["cause"] == f"POST {form}"
    assert set(reset["content"]["after"]) == {"password"}
    assert reset["content"]["after"] != reset["content"]["before"]


def csrf(page: httpx.Response) -> str:
    return page.text.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]


def test_denied_calls_and_reads_of_secrets_are_on_record(place: Installation, http: httpx.Client, sql: Any) -> None:
    viewer = {"Authorization": f"Bearer {place.airflow('viewer').token}"}
    reply = httpx.post(f"{place.url}/api/v2/pools", json={"name": "mine", "slots": 1}, headers=viewer, trust_env=False)
    assert reply.status_code == 403
    assert httpx.delete(f"{place.url}/api/v2/pools/mine", trust_env=False).status_code == 401
    [denied] = events(sql, "call", "POST /api/v2/pools", "call.denied")[-1:]
    assert (denied["initiator"], denied["outcome"]) == ("user:viewer", "refused")
    actions = [event["action"] for event in events(sql, "call", "DELETE /api/v2/pools/mine")]
    assert actions == ["anonymous_call.received", "call.denied"]
    assert http.get("/api/v2/connections").status_code == 200
    [read] = events(sql, "call", "GET /api/v2/connections", "airflow_object.read")[-1:]
    assert read["initiator"] == "user:admin"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", ["//api/v2/pools", "/api/v2//pools", "/API/v2/pools", "/auth//fab/v1/users", "/execution/../api/v2/pools"]
)
def test_no_way_of_writing_a_path_gets_past_the_record(http: httpx.Client, sql: Any, method: str, path: str) -> None:
    name = f"odd{secrets.token_hex(4)}"
    target = httpx.URL(
        scheme=http.base_url.scheme, host=http.base_url.host, port=http.base_url.port, raw_path=path.encode()
    )
    headers = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"}
    http.request(method, target, json={"name": name, "slots": 1}, headers=headers)
    made = http.get(f"/api/v2/pools/{name}").status_code == 200
    assert made <= bool(changes(sql, "airflow_pool", name))
    if not path.startswith("/execution"):
        assert events(sql, "call", f"{method} {path}", "airflow_call.received")


def test_no_event_no_change(place: Installation, http: httpx.Client, sql: Any) -> None:
    viewer = {"Authorization": f"Bearer {place.airflow('viewer').token}"}
    with no_events(sql):
        replies = [
            http.post("/api/v2/pools", json={"name": "never", "slots": 1}),
            http.patch("/api/v2/dags/again", json={"is_paused": True}),
            http.post("/auth/token", json={"username": "viewer", "password": place.passwords["viewer"]}),
            http.get("/api/v2/connections"),
            http.post("/api/v2/pools", json={"name": "never", "slots": 1}, headers=viewer),
        ]
        command = airflow(place, "pools", "set", "never", "1", "none")
    for reply in replies:
        assert (reply.status_code, reply.headers["content-type"]) == (503, "application/problem+json"), reply.text
        assert "nothing is done that cannot be recorded" in reply.json()["detail"]
    assert command.returncode == 7, command.stderr
    assert "nothing is done that cannot be recorded" in command.stderr
    assert http.get("/api/v2/pools/never").status_code == 404
    assert http.get("/api/v2/dags/again").json()["is_paused"] is False


def test_a_change_that_fails_at_the_very_end_is_not_made(place: Installation, http: httpx.Client, sql: Any) -> None:
    """The call is on record, and then what it changes cannot be: Airflow's transaction does not commit."""
    sql(
        "CREATE FUNCTION holdfast.refuse_announcements() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.action = 'airflow_change.announced' THEN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END IF;"
        " RETURN NEW; END $$"
    )
    sql(
        "CREATE TRIGGER refuse_announcements BEFORE INSERT ON holdfast.audit_event FOR EACH ROW"
        " EXECUTE FUNCTION holdfast.refuse_announcements()"
    )
    try:
        made = http.post("/api/v2/pools", json={"name": "late", "slots": 1})
        user = http.post(
            "/auth/fab/v1/users",
            json={
                "username": "late",
                "first_name": "L",
                "last_name": "L",
                "email": "l@localhost",
                "password": "x",
                "roles": [{"name": "Viewer"}],
            },
        )
        command = airflow(place, "pools", "set", "late", "1", "none")
    finally:
        sql("DROP FUNCTION holdfast.refuse_announcements() CASCADE")
    assert (made.status_code, user.status_code) == (503, 503), (made.text, user.text)
    assert command.returncode != 0
    assert http.get("/api/v2/pools/late").status_code == 404
    assert http.get("/auth/fab/v1/users/late").status_code == 404


def test_a_command_that_cannot_record_changes_nothing(place: Installation, http: httpx.Client) -> None:
    """As on a worker, which holds no database."""
    done = airflow(place, "pools", "set", "unrecorded", "1", "none", environment=place.shared)
    assert done.returncode == 7, (done.stdout, done.stderr)
    assert "HOLDFAST_DATABASE_URL" in done.stderr
    assert http.get("/api/v2/pools/unrecorded").status_code == 404
    assert airflow(place, "pools", "list", environment=place.shared).returncode == 0


def test_no_secret_is_in_the_trail_or_in_a_log_in_any_form(place: Installation, sql: Any) -> None:
    trail = "\n".join(row.content for row in sql("SELECT content FROM holdfast.audit_event"))
    for secret in (SECRET, LATER, TYPED, place.passwords["viewer"]):
        for form in written_forms(secret):
            assert form not in trail, form
            if secret == TYPED:
                continue  # Airflow itself logs the name of a failed log-in
            for log in (place.state.root / "logs").glob("*.log"):
                assert form not in log.read_text(errors="replace"), (log, form)
