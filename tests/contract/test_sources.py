"""DatasetVersions from S3, for both implementations, on a real server: hashed version by version, and staged as they were recorded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast.core.errors import InvalidRequest, NotFound, PolicyViolation
from holdfast.core.sources import RULE, RULE_VERSIONED
from holdfast.dataplane.local import LocalDataPlane
from holdfast.dataplane.plane import CodeSource, StepFailed
from holdfast.dataplane.survey import survey
from holdfast.service import sources as source_service
from holdfast.settings import Platform, Settings
from holdfast.wire.dataset import DatasetVersion, DatasetVersionRequest, FileEntry, SourceRequest
from holdfast.wire.run import InputRef
from tests.contract.conftest import ActAs
from tests.support.s3 import S3Server, opened_on, throw_away_s3
from tests.support.story import Story, digest_of

CONTENT = {"a.csv": b"1,2,3", "b/Größe+&?#%25.csv": b"4,5,6", "b/empty": b"", "c-large": b"x" * (3 << 20)}
PROJECTS = [f"project{number}" for number in range(4)]
_NAMES = itertools.count()


@dataclass
class Landing:
    """A versioned bucket into which others put data."""

    client: Any
    bucket: str

    def put(self, key: str, body: bytes) -> str:
        return str(self.client.put_object(Bucket=self.bucket, Key=key, Body=body).get("VersionId"))

    def bring(self, prefix: str, content: dict[str, bytes] = CONTENT) -> str:
        for path, body in content.items():
            self.put(f"{prefix}{path}", body)
        return f"s3://{self.bucket}/{prefix}"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with throw_away_s3() as server:
        yield server


@pytest.fixture(scope="module")
def landing(s3: S3Server) -> Landing:
    return Landing(s3.client(), s3.create_bucket())


@pytest.fixture(scope="module")
def unversioned(s3: S3Server) -> Landing:
    return Landing(s3.client(), s3.create_bucket(is_locked=False))


@pytest.fixture(scope="module")
def platform(settings: Settings, s3: S3Server, landing: Landing, unversioned: Landing) -> Iterator[Platform]:
    allowed = [(name, bucket) for name in PROJECTS for bucket in (f"{landing.bucket}/in/", f"{unversioned.bucket}/")]
    rules = ",".join(f"{name}=s3://{place}" for name, place in [*allowed, *((n, "no-such-bucket/") for n in PROJECTS)])
    with opened_on(s3, settings, s3_sources=rules) as opened:
        yield opened


@pytest.fixture(scope="module")
def story(act_as: ActAs, platform: Platform) -> Story:
    return Story.begin(act_as, platform.objects, project=PROJECTS[next(_NAMES)])


def register(story: Story, source: str) -> DatasetVersion:
    request = survey(story.mia.datasets, story.project, source, [])
    return story.mia.datasets.register(story.project, "tumours", request)


def stage(story: Story, version: DatasetVersion, tmp_path: Path) -> Path:
    """Lay out a Run on the version, as the local data plane does, and return its directory."""
    inputs = {"data": InputRef(dataset_version=version.id, digest=version.digest)}
    run = story.mia.runs.create(story.project, story.run_request(inputs=inputs))
    (tmp_path / "code").mkdir(exist_ok=True)
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    execution = LocalDataPlane([], scratch).execution(run)
    execution.__enter__()
    execution.stage(CodeSource(str(tmp_path / "code")), story.mia.runs.stage(story.project, run.id))
    return next(scratch.iterdir()) / "inputs" / "data"


def content_of(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_every_file_of_a_prefix_is_bound_by_digest_size_and_version(story: Story, landing: Landing) -> None:
    source = landing.bring("in/whole/")
    landing.put("in/whole/sub/", b"")  # what consoles make to show a directory
    landing.put("in/whole-secret/z", b"begins alike")
    before = story.actions().count("dataset_source.granted")

    version = register(story, source)

    files = story.mia.datasets.files(story.project, version.id).items
    assert {f.path: (f.digest, f.size_bytes) for f in files} == {
        path: (digest_of(body), len(body)) for path, body in CONTENT.items()
    }
    assert all(f.version_id in story_versions(landing, f"in/whole/{f.path}") for f in files)
    assert (version.source, version.source_type) == (source, "s3")
    assert register(story, source).id == version.id
    assert story.actions().count("dataset_source.granted") == before + 2


def story_versions(landing: Landing, key: str) -> list[str]:
    found = landing.client.list_object_versions(Bucket=landing.bucket, Prefix=key).get("Versions", [])
    return [version["VersionId"] for version in found if version["Key"] == key]


def test_one_object_is_a_dataset_version_of_one_file(story: Story, landing: Landing) -> None:
    landing.put("in/one.csv", b"one")
    landing.put("in/one.csv.bak", b"begins alike")
    version = register(story, f"s3://{landing.bucket}/in/one.csv")
    assert [f.path for f in story.mia.datasets.files(story.project, version.id).items] == ["one.csv"]


def test_pages_are_bounded_and_together_give_every_current_version_once(
    story: Story, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number:02}" for number in range(7)]
    source = landing.bring("in/pages/", dict.fromkeys(names, b"old"))
    landing.bring("in/pages/", dict.fromkeys(names, b"newer"))
    landing.client.delete_object(Bucket=landing.bucket, Key="in/pages/03")

    def pages(limit: int) -> list[list[str]]:
        found, cursor = [], None
        while True:
            page = story.mia.datasets.grant_source(
                story.project, SourceRequest(source=source, limit=limit, cursor=cursor)
            )
            assert len(page.files) <= limit
            assert all(file.size_bytes == len(b"newer") for file in page.files)
            assert all(httpx.get(file.url).content == b"newer" for file in page.files)
            found.append([file.path for file in page.files])
            if (cursor := page.next) is None:
                return found

    wanted = [name for name in names if name != "03"]
    for limit in (1, 2, 3, 5, 500):
        assert [path for page in pages(limit) for path in page] == wanted
    monkeypatch.setattr(source_service, "PAGE_BYTES", 2 * len(b"newer"))
    assert pages(500) == [wanted[0:2], wanted[2:4], wanted[4:6]]


@pytest.mark.parametrize("limit", [1, 500])
def test_a_cursor_leads_nowhere_else(limit: int, story: Story, landing: Landing) -> None:
    source = landing.bring("in/cursor/", {"a": b"a", "b": b"b"})
    for cursor in ("nonsense", "bnVsbA", "WzEsIDJd", "_"):
        with pytest.raises(InvalidRequest):
            story.mia.datasets.grant_source(story.project, SourceRequest(source=source, limit=limit, cursor=cursor))


@pytest.mark.parametrize("below", ["in-secret/", "", "in/../in-secret/", "in"])
def test_a_source_that_is_not_the_projects_is_refused(below: str, story: Story, landing: Landing) -> None:
    source, name = f"s3://{landing.bucket}/{below}", below if below == "in" else "a"
    for call in (
        lambda: story.mia.datasets.grant_source(story.project, SourceRequest(source=source)),
        lambda: story.mia.datasets.register(
            story.project,
            "theirs",
            DatasetVersionRequest.model_construct(
                source=source,
                source_type="s3",
                files=[FileEntry(path=name, digest=digest_of(b""), size_bytes=0, version_id="x")],
                schema_ref=None,
                statistics_ref=None,
                description="",
            ),
        ),
    ):
        with pytest.raises((PolicyViolation, InvalidRequest)) as refused:
            call()
        assert ".." in below or refused.value.details["rule"] == RULE


def test_a_bucket_without_versions_is_refused_with_the_remedy(story: Story, unversioned: Landing) -> None:
    unversioned.put("a", b"a")
    with pytest.raises(PolicyViolation) as refused:
        register(story, f"s3://{unversioned.bucket}/")
    assert refused.value.details["rule"] == RULE_VERSIONED
    assert "put-bucket-versioning" in refused.value.remedy


def test_a_source_with_nothing_in_it_is_named(story: Story, landing: Landing) -> None:
    landing.put("in/full/a", b"a")
    for below, said in (("in/none/", "holds no object"), ("in/full", "write a slash at its end")):
        with pytest.raises(NotFound, match=said):
            register(story, f"s3://{landing.bucket}/{below}")
    with pytest.raises(NotFound, match="no bucket 'no-such-bucket'"):
        register(story, "s3://no-such-bucket/")


def test_a_key_that_would_leave_the_directory_is_refused(story: Story, landing: Landing) -> None:
    landing.put("in/tricks/../../etc/passwd", b"a")
    with pytest.raises(InvalidRequest, match="does not stay below"):
        register(story, f"s3://{landing.bucket}/in/tricks/")


def test_who_may_not_write_datasets_reads_no_source(story: Story, landing: Landing) -> None:
    source = landing.bring("in/theirs/")
    for person in (story.vera, story.olaf):
        with pytest.raises(PolicyViolation):
            person.datasets.grant_source(story.project, SourceRequest(source=source))


def test_a_grant_is_for_one_version_of_one_object(story: Story, landing: Landing) -> None:
    source = landing.bring("in/grants/", {"a": b"a", "b": b"b"})
    first, second = story.mia.datasets.grant_source(story.project, SourceRequest(source=source)).files
    later = landing.put("in/grants/a", b"later")
    assert httpx.get(first.url).content == b"a"
    assert httpx.get(first.url.replace(first.version_id, later)).status_code == 403
    assert httpx.get(first.url.replace("grants/a", "grants/b")).status_code == 403
    assert httpx.put(first.url, content=b"x").status_code == 403
    assert "http" not in repr(second)


def test_what_is_staged_is_what_was_recorded_even_when_it_was_overwritten(
    story: Story, landing: Landing, tmp_path: Path
) -> None:
    source = landing.bring("in/staged/")
    version = register(story, source)
    landing.put("in/staged/a.csv", b"something else")
    landing.client.delete_object(Bucket=landing.bucket, Key="in/staged/b/empty")

    assert content_of(stage(story, version, tmp_path)) == CONTENT

    assert register(story, source).digest != version.digest


def test_a_version_that_has_vanished_is_named(story: Story, landing: Landing, tmp_path: Path) -> None:
    source = landing.bring("in/vanished/", {"a": b"a", "b": b"b"})
    version = register(story, source)
    gone = next(f for f in story.mia.datasets.files(story.project, version.id).items if f.path == "b")
    landing.client.delete_object(Bucket=landing.bucket, Key="in/vanished/b", VersionId=gone.version_id)
    with pytest.raises(StepFailed, match="'data/b' are gone: the store holds no such version") as failed:
        stage(story, version, tmp_path)
    assert failed.value.error_class == "data"


def test_other_bytes_than_were_recorded_are_named_with_both_digests(
    story: Story, landing: Landing, tmp_path: Path
) -> None:
    source = landing.bring("in/other/", {"a": b"abc"})
    request = survey(story.mia.datasets, story.project, source, [])
    forged = [request.files[0].model_copy(update={"digest": digest_of(b"xyz")})]
    version = story.mia.datasets.register(story.project, "forged", request.model_copy(update={"files": forged}))
    with pytest.raises(StepFailed, match="input 'data/a' is not what was recorded") as failed:
        stage(story, version, tmp_path)
    assert failed.value.error_class == "data"
    assert digest_of(b"abc") in str(failed.value)


def test_a_source_that_is_taken_away_from_a_project_is_staged_no_more(
    story: Story, landing: Landing, platform: Platform
) -> None:
    version = register(story, landing.bring("in/taken/"))
    run = story.mia.runs.create(story.project, story.run_request(inputs={"data": InputRef(dataset_version=version.id)}))
    without = replace(platform.governance(story_caller()), sources=source_service.NO_SOURCES)
    with pytest.raises(PolicyViolation) as refused:
        without.runs.stage(story.project, run.id)
    assert refused.value.details["rule"] == RULE


def story_caller() -> Any:
    from holdfast.core.access import Caller

    return Caller("user:mia")
