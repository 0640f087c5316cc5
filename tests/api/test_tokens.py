"""A token that is not good opens no route, whatever else is wrong with the call: the caller is told that, and nothing more."""

from __future__ import annotations

import json
import secrets
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import create_engine, text

from holdfast.core.access import TOKEN_PERMISSIONS
from holdfast.service.access import new_secret
from holdfast.wire.project import TokenRequest
from tests.api.test_access_matrix import DIGEST, body_of
from tests.api.test_rest import BY_GRANT, PUBLIC, as_bearer, routes
from tests.support.story import Story

JSON = {"Content-Type": "application/json"}
CLOSED = [route for route in routes() if route[1] not in PUBLIC | BY_GRANT]


@pytest.fixture(scope="module")
def not_good(story: Story, database: tuple[str, str]) -> dict[str, str]:
    """Return tokens that must not open anything, by what the refusal says of them."""
    request = TokenRequest(name="t", scope=sorted(TOKEN_PERMISSIONS))
    revoked, expired, guessed = (story.mia.projects.create_token(story.project, request) for _ in range(3))
    story.mia.projects.revoke_token(story.project, revoked.token.id)
    _expire(database[0], expired.token.id)
    return {
        "was revoked": revoked.secret,
        "has expired": expired.secret,
        "is unknown": new_secret(uuid4())[0],
        "unknown; make": guessed.secret[:37] + new_secret(uuid4())[0][37:],
    }


def _expire(owner_url: str, token: UUID) -> None:
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE holdfast.service_token DISABLE TRIGGER USER"))
        hours = "created_at = now() - interval '2 h', expires_at = now() - interval '1 h'"
        connection.execute(text(f"UPDATE holdfast.service_token SET {hours} WHERE id = :id"), {"id": token})
        connection.execute(text("ALTER TABLE holdfast.service_token ENABLE TRIGGER USER"))
    engine.dispose()


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_a_token_that_is_not_good_opens_no_route(
    http: httpx.Client, story: Story, not_good: dict[str, str], method: str, path: str
) -> None:
    url = path.removeprefix("/v1").replace("{project}", story.project).replace("{digest}", DIGEST)
    for name in ("dataset", "model", "alias"):
        url = url.replace(f"{{{name}}}", "x")
    while "{" in url:
        url = url[: url.index("{")] + str(uuid4()) + url[url.index("}") + 1 :]
    bodies = [json.dumps(body_of(path)), "{}", '{"surprise": 1}', "{"] if method == "POST" else [""]
    for said, secret in not_good.items():
        for body in bodies:
            for key in ({}, {"Idempotency-Key": secrets.token_hex(8)}):
                reply = http.request(method, url, headers={**as_bearer(secret), **JSON, **key}, content=body)
                assert (reply.status_code, said in reply.json()["detail"]) == (401, True), reply.text
                assert secret not in reply.text
