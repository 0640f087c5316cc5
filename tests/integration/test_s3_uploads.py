"""Uploads in parts on a real S3 server, by the agent's own process: what is bound, what breaks off, what is left behind, what it costs."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from holdfast.core.access import Caller
from holdfast.core.digest import of, parse, text_of
from holdfast.core.errors import IntegrityViolation, NotFound, StateConflict
from holdfast.dataplane.publishing import publish_outputs
from holdfast.objects.s3 import S3Store
from holdfast.settings import Platform
from holdfast.wire.run import (
    InputRef,
    MultipartGrant,
    OutputFile,
    PartGrant,
    Run,
    RunFinish,
    StoredFile,
    UploadCompletion,
    UploadedFile,
    UploadRequest,
)
from tests.support.agent import ask, failure, order_to_stage, peak_of
from tests.support.s3 import REGION, S3Server, throw_away_s3
from tests.support.story import Story

PART = 64 << 20
TAIL = b"the last byte and a few more"
SIZE = PART + len(TAIL)
MEMORY_MIB = 150


@pytest.fixture(scope="module")
def story(platform: Platform, store: S3Store) -> Story:
    moved = replace(platform, objects=store)
    return Story.begin(lambda principal: moved.governance(Caller(principal)), store)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "outputs").mkdir()
    return tmp_path


def written(scratch: Path, size: int = SIZE) -> OutputFile:
    """Write a file of two parts, most of it a hole, and return what the agent finds it to be."""
    with (scratch / "outputs" / "model").open("wb") as file:
        file.truncate(size - len(TAIL))
        file.seek(0, os.SEEK_END)
        file.write(TAIL)
    return collected(scratch)


def collected(scratch: Path) -> OutputFile:
    found = ask("collect", {"scratch": str(scratch), "outputs": {"model": "model"}})["result"]["files"][0]
    return OutputFile(**{name: value for name, value in found.items() if name != "path"})


def started(story: Story) -> Run:
    return story.start_run(task_id=str(uuid4()), outputs={"model": "model"})


def granted(story: Story, run: Run, file: OutputFile) -> MultipartGrant:
    return story.mia.runs.grant_uploads(story.project, run.id, UploadRequest(files=[file])).multipart[0]


def put(part: PartGrant, body: bytes, **headers: str) -> int:
    return httpx.put(part.url, content=body, headers={**part.headers, **headers}, timeout=60).status_code


def order_of(scratch: Path, *grants: MultipartGrant) -> dict[str, Any]:
    """Return what the agent is told to publish."""
    multipart = [grant.model_dump(mode="json") for grant in grants]
    return {"scratch": str(scratch), "grants": [], "multipart": multipart, "paths": {"model": "model"}}


def completed(story: Story, run: Run, grant: MultipartGrant, **changes: Any) -> StoredFile:
    file = UploadedFile(**{**grant.model_dump(include={"name", "digest", "size_bytes", "upload_id"}), **changes})
    return story.mia.runs.complete_uploads(story.project, run.id, UploadCompletion(files=[file])).files[0]


def finished(story: Story, run: Run, file: StoredFile) -> Run:
    ending = RunFinish(state="succeeded", fence="pod-1", exit_code=0, artifacts=[file])
    return story.mia.runs.finish(story.project, run.id, ending)


def there_and_back(story: Story, scratch: Path, size: int) -> tuple[int, int]:
    """Take a file through a Run to the store and, as the input of another Run, back; return the agent's peaks in MiB, up and down."""
    file = written(scratch, size)
    peaks = []

    def publish(grants: Any) -> dict[str, str]:
        order = {"scratch": str(scratch), **grants.model_dump(mode="json"), "paths": {"model": "model"}}
        report, peak = peak_of("publish", order)
        peaks.append(peak)
        return dict(report["versions"])

    run = started(story)
    (stored,) = publish_outputs(story.mia.runs, story.project, run.id, [file], publish)
    finished(story, run, stored)
    (scratch / "outputs" / "model").unlink()
    inputs = {"model": InputRef(artifact=story.artifact(run, "model"))}
    follower = story.mia.runs.create(story.project, story.run_request(task_id=str(uuid4()), inputs=inputs))
    staging = story.mia.runs.stage(story.project, follower.id)
    order = order_to_stage(scratch, *staging.grants)
    _, peak = peak_of("stage", order)
    place = scratch / "next" / "inputs" / "model"
    with place.open("rb") as back:
        assert f"sha256:{hashlib.file_digest(back, 'sha256').hexdigest()}" == file.digest
    place.unlink()
    return peaks[0], peak


def test_a_large_output_goes_there_and_back_in_flat_memory(story: Story, scratch: Path) -> None:
    up, down = there_and_back(story, scratch, 256 << 20)
    assert (up < MEMORY_MIB, down < MEMORY_MIB) == (True, True), (up, down)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_four_gibibytes_go_there_and_back_in_flat_memory(platform: Platform, scratch: Path) -> None:
    with throw_away_s3(capacity_bytes=6 << 30) as server:
        roomy = S3Store(server.create_bucket(), server.session(), endpoint_url=server.url, region=REGION)
        moved = replace(platform, objects=roomy)
        story = Story.begin(lambda principal: moved.governance(Caller(principal)), roomy)
        up, down = there_and_back(story, scratch, 4 << 30)
    assert (up < MEMORY_MIB, down < MEMORY_MIB) == (True, True), (up, down)


def test_an_upload_that_is_completed_again_is_the_same_version(
    story: Story, scratch: Path, s3: S3Server, bucket: str
) -> None:
    file, run = written(scratch), started(story)
    grant = granted(story, run, file)
    assert ask("publish", order_of(scratch, grant)) == {"result": {"versions": {}}}
    first = completed(story, run, grant)
    assert completed(story, run, grant) == first  # the reply was lost, say
    # The same bytes once more under the same key are another version, and both uploads keep their own.
    again = granted(story, run, file)
    ask("publish", order_of(scratch, again))
    assert completed(story, run, again) != first
    assert completed(story, run, grant) == first
    assert len(s3.versions(bucket, grant.object_key)) == 2
    assert finished(story, run, first).state == "succeeded"


def test_the_store_itself_refuses_other_bytes_in_a_part(story: Story, scratch: Path) -> None:
    run = started(story)
    first, last = granted(story, run, written(scratch)).parts
    other = b"!" * len(TAIL)
    assert put(last, other) == 400
    for claimed in (hashlib.sha256(other).hexdigest(), "UNSIGNED-PAYLOAD"):
        assert put(last, other, **{"x-amz-content-sha256": claimed}) == 403
    assert put(last, TAIL + b"!") == 403
    elsewhere = last.model_copy(update={"url": last.url.replace("partNumber=2", "partNumber=1")})
    assert put(elsewhere, TAIL) == 403
    assert put(first.model_copy(update={"headers": last.headers}), TAIL) == 403
    assert put(last, TAIL) == 200


def test_a_part_that_is_missing_is_named_and_can_still_be_stored(story: Story, scratch: Path) -> None:
    run = started(story)
    grant = granted(story, run, written(scratch))
    assert put(grant.parts[1], TAIL) == 200
    with pytest.raises(StateConflict, match=r"1 of 2 parts .* the first is part 1") as refusal:
        completed(story, run, grant)
    assert refusal.value.details["missing"] == [1]
    ask("publish", order_of(scratch, grant))
    assert completed(story, run, grant).version_id


def test_a_part_whose_connection_is_cut_is_not_there(story: Story, scratch: Path) -> None:
    run = started(story)
    grant = granted(story, run, written(scratch))
    part = grant.parts[0]
    url = urlsplit(part.url)
    head = [f"PUT {url.path}?{url.query} HTTP/1.1", f"Host: {url.netloc}", f"Content-Length: {PART}"]
    head += [f"{name}: {value}" for name, value in part.headers.items()]
    with socket.create_connection((url.hostname or "", url.port or 0)) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + bytes(PART // 2))
    assert put(grant.parts[1], TAIL) == 200
    with pytest.raises(StateConflict, match="part 1"):
        completed(story, run, grant)


def test_an_upload_is_for_one_run_and_one_content(story: Story, scratch: Path) -> None:
    file, run = written(scratch), started(story)
    grant = granted(story, run, file)
    ask("publish", order_of(scratch, grant))
    with pytest.raises(NotFound, match="no such upload"):
        completed(story, started(story), grant)
    for forged in ("x", "x.y", grant.upload_id.partition(".")[0] + ".y", "." + grant.upload_id.partition(".")[2] + "y"):
        with pytest.raises(NotFound, match="no such upload"):
            completed(story, run, grant, upload_id=forged)
    with pytest.raises(IntegrityViolation, match="another content"):
        completed(story, run, grant, digest="sha256:" + "0" * 64)


def test_a_digest_that_is_not_that_of_the_parts_is_found_when_read(story: Story, scratch: Path, store: S3Store) -> None:
    """The store has checked the parts; that they make the whole that was announced, only reading shows."""
    file, run = written(scratch).model_copy(update={"digest": "sha256:" + "0" * 64}), started(story)
    grant = granted(story, run, file)
    ask("publish", order_of(scratch, grant))
    stored = completed(story, run, grant)
    finished(story, run, stored)
    with pytest.raises(IntegrityViolation, match="not what was recorded"):
        for _ in store.read(stored.object_key, stored.version_id, parse(file.digest)):
            pass


def test_a_part_that_somebody_with_the_buckets_credentials_replaces_is_found_when_read(
    story: Story, scratch: Path, store: S3Store, s3: S3Server, bucket: str
) -> None:
    """There is no ETag to forge: the service takes those that the store lists, whoever stored them."""
    file, run = written(scratch), started(story)
    grant = granted(story, run, file)
    ask("publish", order_of(scratch, grant))
    upload = grant.upload_id.partition(".")[2]
    s3.client().upload_part(Bucket=bucket, Key=grant.object_key, UploadId=upload, PartNumber=2, Body=b"!" * len(TAIL))
    stored = completed(story, run, grant)
    with pytest.raises(IntegrityViolation, match="not what was recorded"):
        for _ in store.read(stored.object_key, stored.version_id, parse(file.digest)):
            pass


@pytest.mark.parametrize("state", ["failed", "canceled"])
def test_a_run_that_ends_otherwise_leaves_no_parts(
    state: str, story: Story, scratch: Path, s3: S3Server, bucket: str
) -> None:
    run = started(story)
    grant = granted(story, run, written(scratch))
    assert put(grant.parts[1], TAIL) == 200
    assert grant.object_key in s3.uploads(bucket)
    ending = RunFinish(state=state, fence="pod-1", error_class="platform" if state == "failed" else None)
    story.mia.runs.finish(story.project, run.id, ending)
    assert grant.object_key not in s3.uploads(bucket)
    with pytest.raises(StateConflict, match="gets no grants"):
        completed(story, run, grant)
    kind, message = failure("publish", order_of(scratch, grant))
    assert (kind, "was given up" in message) == ("platform", True), message


def test_a_run_that_succeeds_leaves_no_upload_that_it_began_in_vain(
    story: Story, scratch: Path, s3: S3Server, bucket: str
) -> None:
    file, run = written(scratch), started(story)
    granted(story, run, file)  # its reply was lost
    grant = granted(story, run, file)
    ask("publish", order_of(scratch, grant))
    assert finished(story, run, completed(story, run, grant)).state == "succeeded"
    assert grant.object_key not in s3.uploads(bucket)


def test_a_grant_that_ends_in_the_middle_of_an_upload_is_named(story: Story, scratch: Path, store: S3Store) -> None:
    file, run = written(scratch), started(story)
    grant = granted(story, run, file)
    until = datetime.now(UTC) + timedelta(seconds=10)  # long enough for one part on a machine that is busy
    upload = store.begin_upload(
        grant.object_key,
        digest=parse(file.digest),
        size_bytes=file.size_bytes,
        parts=[parse(part) for part in file.parts],
        expires_at=until,
    )
    short = [
        part.model_copy(update={"url": signed.url, "headers": dict(signed.headers)})
        for part, signed in zip(grant.parts, upload.parts, strict=True)
    ]
    assert put(short[1], TAIL) == 200
    while datetime.now(UTC) < until + timedelta(seconds=1):
        time.sleep(0.1)
    late = grant.model_copy(update={"parts": short, "expires_at": until})
    kind, message = failure("publish", order_of(scratch, late))
    assert (kind, "expired at" in message, "Signature" in message) == ("platform", True, False), message


def test_a_grant_lasts_as_long_as_its_bytes_take(story: Story) -> None:
    digest = text_of(of(b"part"))
    for count, lasts in ((2, 900 + 32), (1000, 900 + 16_000)):
        file = OutputFile(name="model", digest=digest, size_bytes=count * PART, parts=[digest] * count)
        grant = granted(story, started(story), file)
        left = (grant.expires_at - datetime.now(UTC)).total_seconds()
        assert lasts - 60 < left <= lasts
        [signed] = parse_qs(urlsplit(grant.parts[-1].url).query)["X-Amz-Expires"]
        assert lasts - 60 < int(signed) <= lasts


def test_an_input_whose_version_is_gone_is_the_datas_fault(
    scratch: Path, story: Story, store: S3Store, s3: S3Server, bucket: str
) -> None:
    file, run = written(scratch), started(story)
    grant = granted(story, run, file)
    ask("publish", order_of(scratch, grant))
    stored = completed(story, run, grant)
    finished(story, run, stored)
    s3.client().put_object(Bucket=bucket, Key=stored.object_key, Body=b"overwritten")
    assert store.stat(stored.object_key, stored.version_id).digest == parse(file.digest)
    download = story.mia.artifacts.grant_download(story.project, story.artifact(run, "model"))
    s3.client().delete_object(Bucket=bucket, Key=stored.object_key, VersionId=stored.version_id)
    order = order_to_stage(scratch, download)
    kind, message = failure("stage", order)
    assert (kind, "are gone" in message) == ("data", True), message
    with pytest.raises(NotFound, match="no such version"):
        store.stat(stored.object_key, stored.version_id)


def test_an_upload_of_ten_thousand_parts_is_signed(store: S3Store) -> None:
    until = datetime.now(UTC) + timedelta(seconds=60)
    key, size = f"project/{uuid4()}/model", 10_000 * PART
    upload = store.begin_upload(key, digest=of(b""), size_bytes=size, parts=[of(b"")] * 10_000, expires_at=until)
    assert len({part.url for part in upload.parts}) == 10_000
    assert store.abort_uploads(key) == 1
