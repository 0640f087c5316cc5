"""Who may do what inside the api-server: Airflow's users by their roles, bindings of each Project, service tokens, and no stranger."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from demo.platform import PROJECT

from tests.support.airflow import VAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.airflow import Installation

COOKIE = "_token"


@pytest.fixture(scope="module")
def http(place: Installation) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=place.api_url, timeout=30, trust_env=False) as client:
        yield client


def read(http: httpx.Client, token: str | None, path: str = f"/projects/{PROJECT}") -> httpx.Response:
    return http.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})


def change(http: httpx.Client, **more: Any) -> httpx.Response:
    more["headers"] = {"Idempotency-Key": secrets.token_hex(8), **more.get("headers", {})}
    body = {"dag_id": "access", "run_id": secrets.token_hex(8)}
    return http.post(f"/projects/{PROJECT}/pipeline-runs", json=body, **more)


def bearer(place: Installation, user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {place.airflow(user).token}"}


def test_nobody_in_particular_is_told_nothing(place: Installation, http: httpx.Client) -> None:
    for path in ("/projects", f"/projects/{PROJECT}", "/openapi.json", f"/projects/{PROJECT}/runs"):
        reply = read(http, None, path)
        assert (reply.status_code, reply.headers["content-type"]) == (401, "application/problem+json"), path
        assert reply.json()["type"] == "urn:holdfast:error:unauthenticated"
    for token in ("nonsense", "eyJhbGciOiJIUzUxMiJ9.e30.AAAA", "hft_" + "0" * 32 + "_" + "A" * 43):
        assert read(http, token).status_code == 401, token
    assert change(http).status_code == 401
    assert change(http, headers={"Authorization": "Basic dXNlcjpwYXNz"}).status_code == 401
    assert http.get("/health").json() == {"status": "ok"}
    assert http.get(f"{place.url}/holdfast/api/docs").status_code == 404


def test_a_caller_gets_the_openapi_document(place: Installation, http: httpx.Client) -> None:
    reply = read(http, place.airflow().token, "/openapi.json")
    assert (reply.status_code, reply.json()["info"]["title"]) == (200, "Holdfast")


def test_a_user_whose_role_holdfast_does_not_know_is_kept_out(place: Installation, http: httpx.Client) -> None:
    reply = read(http, place.airflow("stranger").token)
    assert (reply.status_code, reply.json()["details"]["rule"]) == (403, "access.airflow")
    assert "can read on Holdfast" in reply.json()["remedy"]


def test_a_user_who_is_let_in_and_bound_nowhere_sees_no_project(place: Installation, http: httpx.Client) -> None:
    token = place.airflow("guest").token
    assert read(http, token, "/projects").json()["items"] == []
    assert read(http, token).status_code == 404
    assert change(http, headers=bearer(place, "guest")).status_code == 404


@pytest.mark.parametrize("user", ["viewer", "reader"])
def test_a_viewer_by_name_or_by_role_reads_and_changes_nothing(
    place: Installation, http: httpx.Client, user: str
) -> None:
    token = place.airflow(user).token
    assert [project["name"] for project in read(http, token, "/projects").json()["items"]] == [PROJECT]
    assert read(http, token).status_code == 200
    assert read(http, token, f"/projects/{VAULT}").status_code == 404
    reply = change(http, headers=bearer(place, user))
    assert (reply.status_code, reply.json()["details"]["permission"]) == (403, "run.write")
    assert f"user:{user} may not run.write in Project '{PROJECT}'" in reply.json()["detail"]


def test_a_maintainer_changes_what_is_in_the_project_and_no_bindings(place: Installation, http: httpx.Client) -> None:
    assert change(http, headers=bearer(place, "maintainer")).status_code == 201
    headers = {**bearer(place, "maintainer"), "Idempotency-Key": secrets.token_hex(8)}
    reply = http.post(
        f"/projects/{PROJECT}/bindings", json={"subject": "user:guest", "role": "viewer"}, headers=headers
    )
    assert (reply.status_code, reply.json()["details"]["permission"]) == (403, "binding.write")


def test_a_service_token_is_for_its_project_alone(place: Installation, http: httpx.Client) -> None:
    token = place.tokens[PROJECT]
    assert read(http, token).status_code == 200
    assert read(http, token, f"/projects/{VAULT}").status_code == 404
    assert change(http, headers={"Authorization": f"Bearer {token}"}).status_code == 201
    decision = {"decision": "approve", "evidence_digest": "sha256:" + "0" * 64}
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
    path = f"/projects/{PROJECT}/promotions/00000000-0000-7000-8000-000000000000/decisions"
    assert http.post(path, json=decision, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://elsewhere.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "{url}", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "{url}"}, 201),
    ],
)
def test_a_change_under_a_cookie_comes_from_our_own_pages_only(
    place: Installation, http: httpx.Client, headers: dict[str, str], status: int
) -> None:
    named = {name: value.replace("{url}", place.url) for name, value in headers.items()}
    cookie = {"Cookie": f"{COOKIE}={place.airflow().token}"}
    reply = change(http, headers={**named, **cookie})
    assert reply.status_code == status, reply.text
    if status == 403:
        assert reply.json()["details"]["rule"] == "access.same-origin"
    # Reading is safe, wherever the link is.
    assert http.get(f"/projects/{PROJECT}", headers={**named, **cookie}).status_code == 200


def test_who_acted_is_on_record_by_name(place: Installation, http: httpx.Client) -> None:
    made = change(http, headers=bearer(place, "maintainer")).json()["id"]
    [event] = place.admin.audit.list(PROJECT, target=made).items
    assert event.initiator == "user:maintainer"
