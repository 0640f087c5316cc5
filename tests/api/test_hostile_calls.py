"""Calls that no client of good will makes: each gets a problem document that says what is wrong, never a 500, never a secret."""

from __future__ import annotations

import base64
import json
import secrets
import socket
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx
import pytest

from holdfast.core.access import Permission
from holdfast.settings import Platform
from holdfast.wire.project import TokenRequest
from tests.conftest import GRANT_KEY
from tests.support.story import Story

AS_MIA = {"Authorization": "Bearer user:mia"}


def is_problem(reply: httpx.Response, *statuses: int) -> bool:
    assert reply.status_code in statuses, f"{reply.status_code} {reply.text}"
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    return bool(problem["detail"]) and problem["status"] == reply.status_code


def raw(url: str, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are, and return status and whole reply."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(request)
        reply = b""
        while piece := connection.recv(65536):
            reply += piece
    return int(reply.split(b" ", 2)[1]), reply


@pytest.mark.parametrize(
    "path",
    [
        "/projects/a%00b",
        "/projects/a%00b/runs",
        "/projects/%ff%fe",
        "/projects/%ED%A0%80",
        "/projects/{p}/models/x%00/versions",
        "/projects/{p}/models/x/aliases/%00",
        "/projects/{p}/pipeline-runs?dag_id=%00",
        "/projects/{p}/pipeline-runs?run_id=a%00",
        "/projects/{p}/dataset-versions?dataset=%00",
        "/projects/{p}/models/m/history?alias=%00",
        "/projects/{p}/audit-events?target=%00",
        "/projects/{p}/runs?state=%00",
        "/projects/{p}/runs?cursor=%00",
        "/projects/{p}/models/m/aliases/a?time=9999-12-31T23:59:59-14:00",
        "/projects/{p}/models/m/aliases/a?time=0001-01-01T00:00:00%2B14:00",
        "/projects/{p}/models/m/aliases/a?time=1e300",
        "/projects/{p}/models/m/aliases/a?time=99999999999999999999",
        "/projects/{p}/models/m/aliases/a?known_at=2026-01-01",
        "/projects/{p}/runs?limit=99999999999999999999999",
        "/projects/{p}/runs?limit=1&limit=0",
        "/projects/" + "x" * 5000,
        "/projects/{p}/runs/not-a-uuid",
        "/projects/..%2f..%2fadmin",
        "/projects/%2e%2e/%2e%2e",
        "/../../etc/passwd",
        "/projects/{p}/policy-snapshots/sha256:00",
    ],
)
def test_a_path_or_query_without_meaning_is_a_problem(path: str, http: httpx.Client, story: Story, url: str) -> None:
    target = urlsplit(url).path + path.replace("{p}", story.project)
    status, reply = raw(
        url, f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer user:mia\r\nConnection: close\r\n\r\n".encode()
    )
    assert status in (200, 400, 404, 422), reply
    if status != 200:
        assert b"application/problem+json" in reply


@pytest.mark.parametrize("name", ["a%00b", "%00"])
def test_a_name_with_a_nul_is_refused_where_something_is_written(name: str, http: httpx.Client, story: Story) -> None:
    keyed = {**AS_MIA, "Idempotency-Key": secrets.token_hex(8)}
    body = story.dataset_request().model_dump(mode="json")
    assert is_problem(http.post(f"/projects/{story.project}/datasets/{name}/versions", headers=keyed, json=body), 400)


@pytest.mark.parametrize(
    "text",
    [
        "not base64 %%%",
        base64.urlsafe_b64encode(b"not a uuid").decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"a\x00b").decode(),
        base64.urlsafe_b64encode(b"00000000-0000-0000-0000-000000000000' OR 1=1").decode(),
        "A" * 1500,
        "\u00e9",
    ],
)
def test_a_forged_cursor_is_a_problem(text: str, http: httpx.Client, story: Story) -> None:
    dataset = story.register_dataset()
    for path in ("runs", "audit-events", "promotions", "models"):
        reply = http.get(f"/projects/{story.project}/{path}", params={"cursor": text}, headers=AS_MIA)
        assert is_problem(reply, 400, 422)
    # Files are listed by path: any text is a place between two of them, but what cannot be in a path is none.
    reply = http.get(
        f"/projects/{story.project}/dataset-versions/{dataset}/files", params={"cursor": text}, headers=AS_MIA
    )
    assert reply.status_code in (200, 400, 422), reply.text


@pytest.mark.parametrize("number", [0, (1 << 128) - 1])
def test_a_cursor_at_the_edge_gives_a_page(number: int, http: httpx.Client, story: Story) -> None:
    from uuid import UUID

    cursor = base64.urlsafe_b64encode(str(UUID(int=number)).encode()).decode()
    story.register_dataset()
    page = http.get(f"/projects/{story.project}/dataset-versions", params={"cursor": cursor}, headers=AS_MIA).json()
    assert bool(page["items"]) == (number > 0)


def test_a_cursor_of_another_list_shows_nothing_of_it(http: httpx.Client, story: Story) -> None:
    other = Story.begin(story.act_as, story.objects)
    for _ in range(3):
        other.start_run(task_id=secrets.token_hex(4))
    theirs = http.get(f"/projects/{other.project}/runs", params={"limit": 1}, headers=AS_MIA).json()["next"]
    items = http.get(f"/projects/{story.project}/runs", params={"cursor": theirs}, headers=AS_MIA).json()["items"]
    assert all(item["project"] == story.project for item in items)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"name=x&owner=y", "application/x-www-form-urlencoded"),
        (b"<project/>", "application/xml"),
        (b'{"name": "x", "owner": "y"}', "text/plain"),
        (b'{"name": "x", "owner": "y"}', ""),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"", "application/json"),
        (b"1" * 5000, "application/json"),
        (b'{"name": ' + b"9" * 5000 + b"}", "application/json"),
        (b'{"name": 1e999}', "application/json"),
        (b"[" * 30000 + b"]" * 30000, "application/json"),
        (b'{"a":' * 10000 + b"1" + b"}" * 10000, "application/json"),
        (b"\xef\xbb\xbf{}", "application/json"),
        ('{"name": "x"}'.encode("utf-16"), "application/json"),
        (b'{"name": "\\ud83d"}', "application/json"),
        (b'{"owner": "o", "name": "x"} trailing', "application/json"),
    ],
)
def test_a_body_that_is_no_document_is_a_problem(body: bytes, content_type: str, http: httpx.Client) -> None:
    headers = {**AS_MIA, "Idempotency-Key": secrets.token_hex(8), "Content-Type": content_type}
    assert is_problem(http.post("/projects", content=body, headers=headers), 400, 403, 413, 415, 422)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/projects/{p}/runs?limit=5&limit=6", "'limit' is given twice"),
        ("/projects/{p}/runs?stat=failed", "query.stat"),
        ("/projects/{p}/runs?project=other", "query.project"),
        ("/projects/{p}/runs?project={p}", "query.project"),
        ("/projects/{p}%2fruns", "encoded slash"),
    ],
)
def test_a_call_that_two_readers_could_read_in_two_ways_is_a_problem(
    path: str, said: str, http: httpx.Client, story: Story
) -> None:
    reply = http.get(path.format(p=story.project), headers=AS_MIA)
    assert is_problem(reply, 400, 422)
    assert said in reply.json()["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("exit_code", "1"), ("exit_code", 1.0), ("exit_code", True), ("exit_code", 2**40), ("metrics", {"a": "0.5"})],
)
def test_a_number_is_taken_for_what_it_is(field: str, value: object, http: httpx.Client, story: Story) -> None:
    body = {"state": "failed", "error_class": "user", field: value}
    headers = {**AS_MIA, "Idempotency-Key": secrets.token_hex(8)}
    reply = http.post(f"/projects/{story.project}/runs/{uuid4()}/finish", json=body, headers=headers)
    assert is_problem(reply, 422)
    assert reply.json()["detail"].startswith(f"body.{field}")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([("Content-Type", "text/plain")], "JSON in UTF-8"),
        ([("Content-Type", "application/x-www-form-urlencoded")], "JSON in UTF-8"),
        ([("Content-Type", "application/json; charset=utf-16")], "JSON in UTF-8"),
        ([("Content-Type", "application/json"), ("Content-Type", "text/plain")], "JSON in UTF-8"),
        ([], "JSON in UTF-8"),
        ([("Content-Type", "application/json"), ("Idempotency-Key", "another")], "more than one Idempotency-Key"),
    ],
)
def test_a_body_is_said_once_to_be_json(
    headers: list[tuple[str, str]], said: str, http: httpx.Client, story: Story
) -> None:
    given = [*AS_MIA.items(), ("Idempotency-Key", secrets.token_hex(8)), *headers]
    body = story.dataset_request().model_dump_json().encode()
    reply = http.post(f"/projects/{story.project}/datasets/said/versions", content=body, headers=given)
    assert is_problem(reply, 400)
    assert said in reply.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/projects", {"name": "z", "owner": "o", "project_class": "production"}),
        ("/bindings", {"subject": "nonsense", "role": "viewer"}),
        ("/projects/{p}/bindings", {"subject": "nonsense", "role": "viewer"}),
        ("/projects/{p}/tokens", {"name": "t", "scope": ["promotion.decide"]}),
        ("/projects/{p}/policies", {"name": "p", "gates": []}),
        ("/projects/{p}/models/M!/versions", {"artifact": "0192d3a0-0000-7000-8000-000000000000", "evidence": []}),
        ("/projects/{p}/runs", {}),
        ("/projects/{p}/archive", None),
    ],
)
def test_whoever_is_not_known_is_told_nothing_else(path: str, body: object, http: httpx.Client, story: Story) -> None:
    for key in (secrets.token_hex(8), "a\xa0b"):
        headers = [("Authorization", f"Bearer hft_{'0' * 32}_{'A' * 43}"), ("Idempotency-Key", key)]
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        assert is_problem(http.post(path.format(p=story.project), json=body, headers=encoded), 401)


@pytest.mark.parametrize("key", ["x" * 200, "a b", "sch\u00f6n", "~!@#$%^&*()"])
def test_a_key_is_what_the_caller_likes(key: str, http: httpx.Client, story: Story) -> None:
    body = story.dataset_request(key).model_dump(mode="json")
    headers = {"Authorization": b"Bearer user:mia", "Idempotency-Key": key.encode("latin-1")}
    path = f"/projects/{story.project}/datasets/keys/versions"
    first = http.post(path, headers=headers, json=body)
    assert first.status_code == 201, first.text
    assert http.post(path, headers=headers, json=body).json() == first.json()


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "\u00a0"])
def test_a_key_that_is_none_is_a_problem(key: str, http: httpx.Client, story: Story) -> None:
    headers = {"Authorization": b"Bearer user:mia", "Idempotency-Key": key.encode("latin-1")}
    reply = http.post(
        f"/projects/{story.project}/datasets/k/versions",
        headers=headers,
        json=story.dataset_request().model_dump(mode="json"),
    )
    assert is_problem(reply, 400, 422)


def test_a_key_belongs_to_one_principal_one_project_and_one_function(http: httpx.Client, story: Story) -> None:
    other, key = Story.begin(story.act_as, story.objects), {"Idempotency-Key": secrets.token_hex(8)}
    body = story.dataset_request("keyed").model_dump(mode="json")
    path = "/projects/{}/datasets/d/versions"
    assert http.post(path.format(story.project), headers={**AS_MIA, **key}, json=body).status_code == 201
    for elsewhere in (path.format(other.project), path.format(story.project).replace("/d/", "/e/")):
        assert is_problem(http.post(elsewhere, headers={**AS_MIA, **key}, json=body), 409)
    somebody = {"Authorization": "Bearer system:install", **key}
    assert http.post(path.format(other.project), headers=somebody, json=body).status_code == 201


def test_a_reply_is_not_replayed_to_who_has_lost_the_right(http: httpx.Client, story: Story) -> None:
    from holdfast.wire.project import RoleBindingRequest

    install = story.act_as("system:install")
    binding = install.projects.bind_role(
        story.project, RoleBindingRequest(subject="user:ex", role="project_maintainer")
    )
    headers = {"Authorization": "Bearer user:ex", "Idempotency-Key": secrets.token_hex(8)}
    path, body = f"/projects/{story.project}/datasets/ex/versions", story.dataset_request("ex").model_dump(mode="json")
    assert http.post(path, headers=headers, json=body).status_code == 201
    install.projects.unbind_role(story.project, binding.id)
    assert is_problem(http.post(path, headers=headers, json=body), 404)


@pytest.fixture
def token(story: Story):
    return story.mia.projects.create_token(story.project, TokenRequest(name="ci", scope=[Permission.PROJECT_READ]))


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer {}", 200),
        ("bearer {}", 200),
        ("BEARER  {}", 200),
        ("Basic {}", 401),
        ("{}", 401),
        ("Bearer {}x", 401),
        ("Bearer", 401),
        ("Bearer {} user:mia", 401),
        ("Bearer hft_" + "0" * 32 + "_" + "a" * 43, 401),
        ("Bearer " + "x" * 20000, 401),
    ],
)
def test_an_authorization_header_is_read_one_way(header: str, status: int, http: httpx.Client, token) -> None:
    given = header.replace("{}", token.secret)
    reply = http.get("/whoami", headers={"Authorization": given})
    assert reply.status_code == status, reply.text
    assert token.secret not in reply.text


def test_of_two_authorization_headers_none_wins(url: str, token) -> None:
    path = urlsplit(url).path + "/whoami"
    for order in ((token.secret, "user:mia"), ("user:mia", token.secret)):
        lines = "".join(f"Authorization: Bearer {bearer}\r\n" for bearer in order)
        status, reply = raw(url, f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}Connection: close\r\n\r\n".encode())
        assert status == 401, reply
        assert token.secret.encode() not in reply


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "DELETE", "PATCH", "PUT"])
@pytest.mark.parametrize(
    "path", ["/projects", "/projects/x/runs", "/health", "/objects/a/b", "/openapi.json", "/nowhere"]
)
def test_another_method_shows_nothing(method: str, path: str, http: httpx.Client) -> None:
    reply = http.request(method, path)
    assert reply.status_code in (401, 403, 404, 405), reply.text


def test_a_slash_at_the_end_leads_nowhere_and_shows_nothing(http: httpx.Client, story: Story) -> None:
    for project in (story.project, "nowhere"):
        reply = http.get(f"/projects/{project}/", follow_redirects=False)
        assert reply.status_code in (307, 404)
        assert story.project not in reply.text


@pytest.mark.parametrize("encode", [str, quote, lambda secret: base64.b64encode(secret.encode()).decode()])
def test_no_error_repeats_a_secret(encode, http: httpx.Client, story: Story, token, platform: Platform) -> None:
    run = story.start_run()
    grant = story.mia.runs.grant_uploads(
        story.project,
        run.id,
        __import__("holdfast.wire.run", fromlist=["UploadRequest"]).UploadRequest(
            files=[{"name": "model", "digest": "sha256:" + "0" * 64, "size_bytes": 1}]
        ),
    ).grants[0]
    signature = grant.url.partition("grant_token=")[2]
    replies = [
        http.put(grant.url, content=b"xy"),
        http.put(grant.url, content=b"x"),
        http.get(grant.url),
        http.put(grant.url.replace("expires=1", "expires=2"), content=b"x"),
        http.get("/whoami", headers={"Authorization": f"Bearer {token.secret}x"}),
        http.get("/projects/none", headers={"Authorization": f"Bearer {token.secret}"}),
        http.post("/projects", headers={"Authorization": f"Bearer {token.secret}"}, json={}),
        http.get(f"/projects/{story.project}/runs/x", headers={"Authorization": f"Bearer {token.secret}"}),
    ]
    dsn = platform.settings.database_url.get_secret_value()
    for reply in replies:
        assert reply.status_code >= 400
        shown = reply.text + json.dumps(dict(reply.headers))
        for secret in (token.secret, token.secret[-43:], signature, GRANT_KEY, dsn):
            assert encode(secret) not in shown, reply.text


def test_the_service_does_not_log_what_it_binds(platform: Platform) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    with platform.engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("SELECT 1 / (:secret)::int"), {"secret": "canary"})
    assert "canary" not in str(failed.value).replace(str(failed.value.orig), "")
