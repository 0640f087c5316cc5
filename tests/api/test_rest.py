"""The REST API as somebody meets it who does not use our client."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import Connection, text

from holdfast.core.access import Permission
from holdfast.settings import Platform
from holdfast.wire.project import TokenRequest
from holdfast_plugins.app import VERSION, describe
from tests.support.story import Story

PUBLIC = {"/v1/health"}
BY_GRANT = {"/v1/objects/{key:path}"}
AS_MIA = {"Authorization": "Bearer user:mia"}


def routes() -> list[tuple[str, str]]:
    """Return (method, path) of every route, however deep it is mounted."""
    return [(method, path) for method, path in _walk(describe().routes)]


def _walk(found) -> list[tuple[str, str]]:
    listed = []
    for route in found:
        if isinstance(route, APIRoute):
            listed += [(method, route.path) for method in sorted(route.methods)]
        elif getattr(route, "routes", None):
            listed += _walk(route.routes)
    return listed


def write(
    http: httpx.Client, path: str, body: object = None, *, headers: dict[str, str] | None = None, **more
) -> httpx.Response:
    given = {**AS_MIA, "Idempotency-Key": secrets.token_hex(8), "Content-Type": "application/json", **(headers or {})}
    return http.post(path, headers=given, **({"json": body} if body is not None else more))


def test_there_are_routes_to_look_at() -> None:
    assert len(routes()) > 40


@pytest.mark.parametrize(("method", "path"), [route for route in routes() if route[1] not in PUBLIC])
def test_every_route_refuses_who_does_not_say_who_it_is(http: httpx.Client, method: str, path: str) -> None:
    concrete = path.removeprefix(VERSION).replace("{key:path}", "a/b")
    for name in ("project", "dataset", "model", "alias"):
        concrete = concrete.replace(f"{{{name}}}", "x")
    while "{" in concrete:
        concrete = (
            concrete[: concrete.index("{")]
            + "01a20e18-ee49-7ba9-aa93-6423bc86488b"
            + concrete[concrete.index("}") + 1 :]
        )
    reply = http.request(method, concrete)
    assert reply.status_code == (403 if path in BY_GRANT else 401), reply.text
    assert reply.headers["content-type"] == "application/problem+json"


def test_the_committed_openapi_document_is_what_is_served(http: httpx.Client, here: Path) -> None:
    served = http.get("/openapi.json", headers=AS_MIA).json()
    assert served == json.loads((here / "docs/reference/openapi.json").read_text()), "run `make reference`"
    for path, operations in served["paths"].items():
        for method in operations:
            assert method in ("get", "post", "put"), f"{method} {path}"


@pytest.fixture
def token(story: Story):
    return story.mia.projects.create_token(story.project, TokenRequest(name="ci", scope=[Permission.PROJECT_READ]))


def as_bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_token_works_in_its_project_and_nowhere_else(http: httpx.Client, story: Story, token) -> None:
    other = Story.begin(story.act_as, story.objects)
    assert http.get(f"/projects/{story.project}", headers=as_bearer(token.secret)).status_code == 200
    assert http.get(f"/projects/{other.project}", headers=as_bearer(token.secret)).status_code == 404
    listed = http.get("/projects", headers=as_bearer(token.secret)).json()["items"]
    assert [project["name"] for project in listed] == [story.project]


def test_a_token_that_is_wrong_says_so_without_repeating_it(http: httpx.Client, token) -> None:
    wrong = token.secret[:-3] + ("aaa" if not token.secret.endswith("aaa") else "bbb")
    for secret, said in ((wrong, "unknown"), ("hft_nonsense", "not a service token")):
        reply = http.get("/whoami", headers=as_bearer(secret))
        assert (reply.status_code, said in reply.json()["detail"]) == (401, True)
        assert secret not in reply.text
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_or_expired_token_is_useless_at_once(
    http: httpx.Client, story: Story, token, owner_sql: Connection
) -> None:
    story.mia.projects.revoke_token(story.project, token.token.id)
    reply = http.get("/whoami", headers=as_bearer(token.secret))
    assert (reply.status_code, "revoked" in reply.json()["detail"]) == (401, True)
    old = story.mia.projects.create_token(story.project, TokenRequest(name="old", scope=[Permission.PROJECT_READ]))
    owner_sql.execute(text("ALTER TABLE service_token DISABLE TRIGGER USER"))
    owner_sql.execute(
        text(
            "UPDATE service_token SET created_at = now() - interval '2 h', expires_at = now() - interval '1 h' WHERE id = :id"
        ),
        {"id": old.token.id},
    )
    owner_sql.execute(text("ALTER TABLE service_token ENABLE TRIGGER USER"))
    reply = http.get("/whoami", headers=as_bearer(old.secret))
    assert (reply.status_code, "expired" in reply.json()["detail"]) == (401, True)


def test_the_database_holds_no_token(story: Story, token, owner_sql: Connection) -> None:
    for table in ("service_token", "idempotency_reply", "audit_event"):
        rows = owner_sql.execute(text(f"SELECT t::text FROM {table} t")).scalars()
        assert not [row for row in rows if token.secret in row or token.secret[-43:] in row]


def test_a_change_without_an_idempotency_key_is_refused(http: httpx.Client, story: Story) -> None:
    reply = http.post(
        f"/projects/{story.project}/datasets/d/versions",
        headers=AS_MIA,
        json=story.dataset_request().model_dump(mode="json"),
    )
    assert (reply.status_code, "Idempotency-Key" in reply.json()["detail"]) == (400, True)


def test_a_repeated_request_with_another_body_is_refused_with_both_digests(http: httpx.Client, story: Story) -> None:
    path, key = f"/projects/{story.project}/datasets/replayed/versions", {"Idempotency-Key": "one key"}
    assert write(http, path, story.dataset_request("a").model_dump(mode="json"), headers=key).status_code == 201
    reply = write(http, path, story.dataset_request("b").model_dump(mode="json"), headers=key)
    assert reply.status_code == 409
    assert reply.json()["details"]["recorded_digest"] != reply.json()["details"]["request_digest"]
    assert reply.json()["type"] == "urn:holdfast:error:state-conflict"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"name": "x', "not JSON"),
        (b'{"name": "\xff"}', "not UTF-8"),
        (b'{"name": "\\ud800"}', "surrogate"),
        (b'{"name": "a\\u0000"}', "U+0000"),
        (b'{"parameters": {"n": 9007199254740993}}', "$.parameters.n"),
        (b'{"name": "a", "name": "b"}', "twice"),
        (b'{"name": NaN}', "NaN"),
    ],
)
def test_a_body_without_one_meaning_is_refused_with_its_place(http: httpx.Client, body: bytes, said: str) -> None:
    reply = write(http, "/projects", content=body)
    assert reply.status_code == 400
    assert said in reply.json()["detail"]
    assert reply.json()["remedy"]


def test_a_body_over_the_limit_is_refused_also_without_a_length(http: httpx.Client) -> None:
    big = b'{"a": "' + b"x" * (70 << 10) + b'"}'

    def pieces():
        for start in range(0, len(big), 1000):
            yield big[start : start + 1000]

    for content in (big, pieces()):
        reply = write(http, "/projects", content=content)
        assert (reply.status_code, "65536" in reply.json()["detail"]) == (413, True)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("code", {"repository": "r", "commit": "main"}, "git rev-parse HEAD"),
        ("outputs", {"model": "../model"}, "does not stay below"),
        ("outputs", {"model": "/etc/passwd"}, "does not stay below"),
        ("inputs", {"data": {}}, "either a dataset_version or an artifact"),
        ("idempotency_key", "short", "idempotency_key"),
        ("surprise", 1, "surprise"),
    ],
)
def test_a_run_that_is_not_well_formed_is_refused_by_its_field(
    http: httpx.Client, story: Story, field: str, value, said: str
) -> None:
    body = story.run_request().model_dump(mode="json")
    reply = write(http, f"/projects/{story.project}/runs", {**body, field: value})
    assert reply.status_code == 422
    assert said in reply.text


def test_an_image_named_by_a_tag_is_refused(http: httpx.Client, story: Story) -> None:
    body = {"name": "img", "kind": "image", "reference": "registry.example/sklearn:1.5"}
    reply = write(http, f"/projects/{story.project}/environments", body)
    assert (reply.status_code, "tag can move" in reply.json()["detail"]) == (422, True)


def test_a_grant_is_for_one_method_one_object_one_content_and_a_time(http: httpx.Client, story: Story) -> None:
    run = story.start_run()
    stored = story.store(run)
    story.finish_run(run, artifacts=stored)
    grant = story.mia.artifacts.grant_download(story.project, story.artifact(run, "model"))
    url = grant.url
    assert httpx.get(url).content == b"a model"
    assert httpx.put(url, content=b"a model").status_code == 403
    for old, new in (
        ("/model?", "/metrics?"),
        ("size=7", "size=8"),
        ("expires=1", "expires=2"),
        ("digest=9", "digest=8"),
    ):
        assert old in url
        assert httpx.get(url.replace(old, new)).status_code == 403
    assert httpx.get(url.replace("grant_token=", "grant_token=0")).status_code == 403
    assert httpx.get(url.split("?")[0]).status_code == 403


def test_bytes_that_were_not_announced_are_not_stored(http: httpx.Client, story: Story, platform: Platform) -> None:
    from holdfast.wire.run import OutputFile, UploadRequest

    run = story.start_run()
    body = b"what was announced"
    file = OutputFile(name="model", digest="sha256:" + hashlib.sha256(body).hexdigest(), size_bytes=len(body))
    grant = story.mia.runs.grant_uploads(story.project, run.id, UploadRequest(files=[file])).grants[0]
    for sent in (b"what was announceD", b"short", body + b"!"):
        assert httpx.put(grant.url, content=sent).status_code in (400, 500)
    directory = platform.objects._path(grant.object_key, "0" * 64).parent
    assert list(directory.iterdir()) == []
    assert httpx.put(grant.url, content=body).status_code == 201
    assert httpx.put(grant.url, content=body).status_code == 201
    assert len(list(directory.iterdir())) == 1


@pytest.mark.parametrize("key", ["..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "a//b", "a%00b"])
def test_a_key_does_not_leave_the_store(http: httpx.Client, key: str) -> None:
    assert http.get(f"/objects/{key}").status_code in (400, 403, 404)


def test_every_reply_carries_its_request_id_and_the_security_headers(http: httpx.Client, story: Story) -> None:
    for reply in (http.get("/health"), http.get("/nowhere"), http.get("/whoami", headers=AS_MIA)):
        assert reply.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["x-request-id"]
    given = {
        **AS_MIA,
        "X-Request-Id": "call-7",
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        "Idempotency-Key": secrets.token_hex(8),
    }
    http.post(
        f"/projects/{story.project}/environments",
        headers=given,
        json={"name": "traced", "kind": "interpreter", "reference": "/p"},
    )
    event = story.mia.audit.list(story.project).items[0]
    assert (event.request_id, event.trace_id) == ("call-7", "a" * 32)


def test_a_limit_beyond_the_bound_is_refused(http: httpx.Client, story: Story) -> None:
    for limit in (0, 501, "many"):
        assert http.get(f"/projects/{story.project}/runs", params={"limit": limit}, headers=AS_MIA).status_code == 422
