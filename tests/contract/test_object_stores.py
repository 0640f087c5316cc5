"""One suite, two object stores: a directory behind the service, and a bucket; what an agent stores under grants is what is read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from holdfast.core.digest import of, parse
from holdfast.core.errors import IntegrityViolation, NotFound
from holdfast.objects.s3 import S3Store
from holdfast.ports import ObjectStore
from holdfast.service.staging import GrantMaker
from holdfast.settings import Platform
from holdfast.wire.run import Grant, MultipartGrant, OutputFile
from tests.support.agent import ask, order_to_stage
from tests.support.s3 import REGION, throw_away_s3
from tests.support.server import serve

PART = 64 << 20


@pytest.fixture(scope="module", params=["directory", "bucket"])
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    if request.param == "bucket":
        with throw_away_s3() as server:
            yield S3Store(server.create_bucket(), server.session(), endpoint_url=server.url, region=REGION)
        return
    platform: Platform = request.getfixturevalue("platform")
    with serve(platform) as url:
        platform.objects._api_url = url
        yield platform.objects


@pytest.fixture
def key() -> str:
    return f"project/{uuid4()}/model"


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "outputs").mkdir()
    return tmp_path


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=2)


def collected(scratch: Path, body: bytes, holes: int = 0) -> OutputFile:
    """Write a file of some zeros and a body, and return what the agent finds it to be."""
    with (scratch / "outputs" / "model").open("wb") as file:
        file.truncate(holes)
        file.seek(holes)
        file.write(body)
    found = ask("collect", {"scratch": str(scratch), "outputs": {"model": "model"}})["result"]["files"][0]
    return OutputFile(**{name: value for name, value in found.items() if name != "path"})


def published(store: ObjectStore, key: str, scratch: Path, file: OutputFile) -> tuple[Grant | MultipartGrant, str]:
    """Store a file as a Run does, and return the grant and the version id."""
    grant = GrantMaker(store, soon()).upload(key, file)
    order: dict[str, Any] = {"scratch": str(scratch), "grants": [], "multipart": [], "paths": {"model": "model"}}
    order["multipart" if isinstance(grant, MultipartGrant) else "grants"].append(grant.model_dump(mode="json"))
    versions = ask("publish", order)["result"]["versions"]
    if isinstance(grant, MultipartGrant):
        facts = store.complete_upload(key, grant.upload_id, parse(file.digest), file.size_bytes)
        return grant, facts.version_id
    return grant, versions["model"]


@pytest.mark.parametrize(("body", "holes"), [(b"", 0), (b"a model", 0), (b"x", PART - 1), (b"the tail", PART)])
def test_what_an_agent_stores_is_what_is_read(
    body: bytes, holes: int, store: ObjectStore, key: str, scratch: Path
) -> None:
    file = collected(scratch, body, holes)
    assert len(file.parts) == (2 if holes == PART else 0)
    _, version = published(store, key, scratch, file)
    facts = store.stat(key, version)
    assert (facts.key, facts.version_id, facts.digest, facts.size_bytes) == (
        key,
        version,
        parse(file.digest),
        file.size_bytes,
    )
    assert sum(map(len, store.read(key, version, parse(file.digest)))) == file.size_bytes
    (scratch / "outputs" / "model").unlink()
    grant = GrantMaker(store, soon()).download("model", key, version, parse(file.digest), file.size_bytes)
    order = order_to_stage(scratch, grant)
    assert ask("stage", order) == {"result": {}}
    assert (scratch / "next" / "inputs" / "model").read_bytes() == bytes(holes) + body


def test_other_bytes_are_refused_by_the_store_itself(store: ObjectStore, key: str) -> None:
    body = b"the bytes of a model"
    file = OutputFile(name="model", digest=f"sha256:{of(body).hex()}", size_bytes=len(body))
    grant = GrantMaker(store, soon()).upload(key, file)
    assert isinstance(grant, Grant)
    for other in (b"!" * len(body), body + b"!", body[1:]):
        assert 400 <= httpx.put(grant.url, content=other, headers=grant.headers).status_code < 500
    assert httpx.put(grant.url, content=body, headers=grant.headers).is_success


def test_bytes_are_given_out_whole_only_for_their_own_digest(store: ObjectStore, key: str, scratch: Path) -> None:
    _, version = published(store, key, scratch, collected(scratch, b"a model"))
    with pytest.raises(IntegrityViolation):
        b"".join(store.read(key, version, of(b"another")))


def test_an_upload_that_there_never_was_is_not_completed(store: ObjectStore, key: str) -> None:
    with pytest.raises(NotFound, match="no such upload"):
        store.complete_upload(key, "token.upload", of(b"x"), PART + 1)


def test_what_was_completed_stays_when_uploads_are_given_up(store: ObjectStore, key: str, scratch: Path) -> None:
    file = collected(scratch, b"the tail", PART)
    _, version = published(store, key, scratch, file)
    begun = GrantMaker(store, soon()).upload(key, file)
    assert store.abort_uploads(key) == isinstance(begun, MultipartGrant)
    assert store.stat(key, version).size_bytes == file.size_bytes


def test_a_version_that_there_never_was_is_not_found(store: ObjectStore, key: str) -> None:
    for look in (lambda: store.stat(key, "0" * 64), lambda: list(store.read(key, "0" * 64, of(b"x")))):
        with pytest.raises(NotFound, match="no such version"):
            look()


def test_a_good_store_is_found_good_twice(store: ObjectStore) -> None:
    for _ in range(2):
        assert [check for check in store.check() if check.error or check.warning] == []
