"""The S3 store on a real server with versions and Object Lock: what grants bind, and what is said when the bucket is not what it was."""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest

from holdfast.client.content import read_content
from holdfast.core.access import Caller
from holdfast.core.digest import of
from holdfast.core.errors import HoldfastError, IntegrityViolation, NotFound, Unavailable
from holdfast.objects.s3 import DIGEST, S3Store
from holdfast.ports import SignedUrl
from holdfast.settings import Platform, Settings
from holdfast.wire.model import DecisionRequest
from holdfast.wire.run import RunFinish
from tests.support.s3 import REGION, S3Server
from tests.support.story import CONTENT, Story

BODY = b"the bytes of a model"
KEY = "project/run/model"


@pytest.fixture
def key() -> str:
    return f"project/{secrets.token_hex(6)}/model"


def granted(store: S3Store, key: str, body: bytes = BODY, lifetime_s: float = 60) -> SignedUrl:
    until = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    return store.grant("PUT", key, version_id=None, digest=of(body), size_bytes=len(body), expires_at=until)


def put(signed: SignedUrl, body: bytes = BODY, **headers: str) -> httpx.Response:
    return httpx.put(signed.url, content=body, headers={**signed.headers, **headers})


def stored(store: S3Store, key: str, body: bytes = BODY) -> str:
    reply = put(granted(store, key, body), body)
    assert reply.status_code == 200, reply.text
    return str(reply.headers["x-amz-version-id"])


def read(store: S3Store, key: str, version_id: str, body: bytes = BODY) -> bytes:
    return b"".join(store.read(key, version_id, of(body)))


def versions(s3: S3Server, bucket: str, key: str) -> list[Any]:
    return list(s3.client().list_object_versions(Bucket=bucket, Prefix=key).get("Versions", []))


@pytest.mark.parametrize("body", [b"", b"x", BODY, b"x" * (1 << 20), b"x" * ((1 << 20) + 1)])
@pytest.mark.parametrize("name", ["model", "plots/roc curve.svg", "Größe~(1)+&=?#%25'.txt", "a" * 200])
def test_what_is_stored_under_a_grant_is_what_is_read(name: str, body: bytes, store: S3Store) -> None:
    key = f"project/{secrets.token_hex(4)}/{name}"
    version = stored(store, key, body)
    facts = store.stat(key, version)
    assert (facts.version_id, facts.digest, facts.size_bytes) == (version, of(body), len(body))
    assert read(store, key, version, body) == body
    until = datetime.now(UTC) + timedelta(seconds=60)
    signed = store.grant("GET", key, version_id=version, digest=of(body), size_bytes=len(body), expires_at=until)
    assert httpx.get(signed.url, headers=signed.headers).content == body


def test_the_store_itself_refuses_other_bytes(store: S3Store, key: str, s3: S3Server, bucket: str) -> None:
    signed, other = granted(store, key), b"!" * len(BODY)
    assert put(signed, other).status_code == 400
    assert put(signed, BODY + b"!").status_code == 403
    assert put(signed, BODY[1:]).status_code == 403
    for claimed in (hashlib.sha256(other).hexdigest(), "UNSIGNED-PAYLOAD"):
        assert put(signed, other, **{"x-amz-content-sha256": claimed}).status_code == 403
    assert put(signed, **{f"x-amz-meta-{DIGEST}": "0" * 64}).status_code == 403
    assert httpx.put(signed.url, content=BODY).status_code == 403
    assert versions(s3, bucket, key) == []
    assert put(signed).status_code == 200


def test_a_grant_is_for_one_method_and_one_key(store: S3Store, key: str) -> None:
    signed = granted(store, key)
    parts = urlsplit(signed.url)
    elsewhere = urlunsplit(parts._replace(path=parts.path + "2"))
    assert put(SignedUrl(elsewhere, signed.headers)).status_code == 403
    for method in ("GET", "DELETE", "POST"):
        assert httpx.request(method, signed.url, headers=signed.headers).status_code == 403
    version = stored(store, key)
    until = datetime.now(UTC) + timedelta(seconds=60)
    given = store.grant("GET", key, version_id=version, digest=of(BODY), size_bytes=len(BODY), expires_at=until)
    assert httpx.get(given.url.replace(version, stored(store, key))).status_code == 403
    assert httpx.delete(given.url).status_code == 403


def test_a_grant_ends(store: S3Store, key: str) -> None:
    signed = granted(store, key, lifetime_s=1)
    time.sleep(2.5)
    assert put(signed).status_code == 403


def test_a_connection_that_is_cut_stores_nothing(store: S3Store, key: str, s3: S3Server, bucket: str) -> None:
    body = b"x" * 100_000
    signed = granted(store, key, body)
    parts = urlsplit(signed.url)
    head = [f"PUT {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in signed.headers.items()]
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body[:50_000])
    time.sleep(1)
    assert versions(s3, bucket, key) == []


def test_an_object_that_is_written_again_keeps_its_versions(store: S3Store, key: str) -> None:
    first, second = stored(store, key), stored(store, key, b"another")
    assert first != second
    assert read(store, key, first) == BODY
    assert read(store, key, second, b"another") == b"another"


def test_what_others_put_there_is_not_taken(store: S3Store, key: str, s3: S3Server, bucket: str) -> None:
    foreign = s3.client().put_object(Bucket=bucket, Key=key, Body=BODY)["VersionId"]
    with pytest.raises(IntegrityViolation, match="not stored under a grant"):
        store.stat(key, foreign)
    forged = s3.client().put_object(Bucket=bucket, Key=key, Body=b"x" * (3 << 20), Metadata={DIGEST: of(BODY).hex()})[
        "VersionId"
    ]
    got: list[bytes] = []
    with pytest.raises(IntegrityViolation) as violation:
        got.extend(store.read(key, forged, of(BODY)))
    assert sum(map(len, got)) < 3 << 20
    assert violation.value.details["recorded_digest"] != violation.value.details["read_digest"]


def test_a_version_that_is_gone_is_named(store: S3Store, key: str, s3: S3Server, bucket: str) -> None:
    version = stored(store, key)
    with pytest.raises(NotFound, match="no such version"):
        store.stat(key, "no-such-version")
    s3.client().delete_object(Bucket=bucket, Key=key)  # a marker: the version is still there
    assert read(store, key, version) == BODY
    s3.client().delete_object(Bucket=bucket, Key=key, VersionId=version)
    for look in (lambda: store.stat(key, version), lambda: read(store, key, version)):
        with pytest.raises(NotFound, match="no such version"):
            look()


def test_a_store_that_does_not_let_the_service_in_is_unavailable(s3: S3Server, bucket: str, key: str) -> None:
    cases = (
        (S3Store(bucket, s3.session("wrong"), endpoint_url=s3.url, region=REGION), "let the service in"),
        (S3Store("no-such-bucket", s3.session(), endpoint_url=s3.url, region=REGION), "no such bucket|let the service"),
        (S3Store(bucket, s3.session(), endpoint_url="http://127.0.0.1:1", region=REGION), "does not answer"),
    )
    for store, said in cases:
        with pytest.raises(Unavailable, match=said) as refusal:
            b"".join(store.read(key, "v", of(BODY)))
        assert "wrong" not in str(refusal.value)


@pytest.fixture(scope="module")
def on_s3(platform: Platform, store: S3Store) -> Story:
    moved = replace(platform, objects=store)
    return Story.begin(lambda principal: moved.governance(Caller(principal)), store)


def test_a_model_goes_from_a_run_to_champion(on_s3: Story) -> None:
    run = on_s3.succeed()
    artifacts = on_s3.mia.artifacts.list(on_s3.project, run=run.id).items
    assert {a.name for a in artifacts} == set(CONTENT)
    grant = on_s3.mia.artifacts.grant_download(on_s3.project, on_s3.artifact(run, "model"))
    assert b"".join(read_content(grant)) == CONTENT["model"]
    promotion = on_s3.request_promotion(on_s3.register_model(run))
    decision = DecisionRequest(decision="approve", evidence_digest=promotion.evidence_digest, reason="fits")
    on_s3.olaf.promotions.decide(on_s3.project, promotion.id, decision)
    assert on_s3.mia.promotions.execute(on_s3.project, promotion.id).alias == "champion"


def test_bytes_that_are_gone_when_the_alias_would_move_void_the_approval(
    on_s3: Story, s3: S3Server, bucket: str
) -> None:
    run = on_s3.succeed()
    promotion = on_s3.request_promotion(on_s3.register_model(run))
    decision = DecisionRequest(decision="approve", evidence_digest=promotion.evidence_digest, reason="fits")
    on_s3.olaf.promotions.decide(on_s3.project, promotion.id, decision)
    model = on_s3.mia.artifacts.get(on_s3.project, on_s3.artifact(run, "model"))
    s3.client().delete_object(Bucket=bucket, Key=model.object_key, VersionId=model.version_id)
    with pytest.raises(IntegrityViolation, match="gone"):
        on_s3.mia.promotions.execute(on_s3.project, promotion.id)
    assert on_s3.mia.promotions.get(on_s3.project, promotion.id).state == "voided"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"version_id": "another"}, NotFound),
        ({"size_bytes": 6}, IntegrityViolation),
        ({"digest": "sha256:" + "0" * 64}, IntegrityViolation),
    ],
)
def test_a_run_does_not_end_with_what_is_not_stored(
    change: dict[str, Any], kind: type[HoldfastError], on_s3: Story
) -> None:
    run = on_s3.start_run(task_id=str(uuid4()))
    files = on_s3.store(run)
    files[0] = files[0].model_copy(update=change)
    with pytest.raises(kind):
        on_s3.mia.runs.finish(
            on_s3.project, run.id, RunFinish(state="succeeded", fence="pod-1", exit_code=0, artifacts=files)
        )
    assert on_s3.mia.runs.get(on_s3.project, run.id).state == "running"


def test_the_settings_choose_the_store(settings: Settings, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    given = settings.model_dump() | {"objects_root": None, "s3_bucket": s3.create_bucket(), "s3_endpoint_url": s3.url}
    opened = Platform.open(Settings(**given))
    try:
        assert repr(opened.objects) == f"GuardedStore(S3Store({given['s3_bucket']!r}))"
        with pytest.raises(NotFound):
            opened.objects.stat(KEY, "v")
    finally:
        opened.close()
