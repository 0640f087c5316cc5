"""The third enforcement: Object Lock's legal hold on every version, on Ceph's RADOS Gateway, with what the store says when it is read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Connection

from holdfast.core.access import Caller
from holdfast.core.errors import InvalidRequest, StateConflict, Unavailable
from holdfast.ops.hold_locks import Locks
from holdfast.ports import ObjectStore
from holdfast.settings import Platform, Settings
from holdfast.store.turn import take_turn
from tests.support.holds import OFFICERS, bind_officers, hold_on, place, release
from tests.support.s3 import S3Server, opened_on
from tests.support.story import Story

SYSTEM = Caller("system:tests")


@pytest.fixture(scope="module")
def platform(settings: Settings, s3: S3Server, bucket: str) -> Iterator[Platform]:
    with opened_on(s3, settings, objects_root=None, s3_bucket=bucket) as opened:
        yield opened


@pytest.fixture(scope="module")
def officers(story: Story) -> Story:
    bind_officers(story)
    return story


@pytest.fixture
def fresh(officers: Story) -> Story:
    return Story.begin(officers.act_as, officers.objects)


@pytest.fixture
def locks(platform: Platform) -> Locks:
    return Locks(platform.engine, platform.objects, SYSTEM, batch=2, parallel=4)


def versions(story: Story) -> list[tuple[str, str]]:
    return [(a.object_key, a.version_id) for a in story.mia.artifacts.list(story.project).items]


def counted(story: Story, name: str) -> tuple[int, int, int]:
    found = story.act_as(OFFICERS[0]).holds.get(name).locks
    return found.wanted, found.locked, found.released


def test_every_version_is_locked_and_says_so_and_again_nothing_is_done(fresh: Story, locks: Locks) -> None:
    run = fresh.succeed()
    hold = place(fresh, hold_on("run", run.id))
    assert counted(fresh, hold.name) == (3, 0, 0)
    told: list[tuple[int, int]] = []
    done = replace(locks, progress=lambda *one: told.append(one)).reconcile()
    assert (done.locked, done.unlocked, done.failed) == (3, 0, 0)
    assert told == [(2, 3), (3, 3)]
    assert counted(fresh, hold.name) == (0, 3, 0)
    assert all(fresh.objects.is_held(*one) for one in versions(fresh))
    page = fresh.act_as(OFFICERS[0]).holds.objects(hold.name).items
    assert {one.lock for one in page if one.type == "artifact"} == {"locked"}
    assert all(one.read_back_at and one.version_id for one in page if one.type == "artifact")
    assert locks.reconcile() == done.model_copy(update={"locked": 0})
    events = fresh.act_as("system:install").audit.list(None, action="legal_hold.locked", target=str(hold.id)).items
    assert sum(event.content["count"] for event in events) == 3


def test_the_store_itself_lets_no_locked_version_go(fresh: Story, locks: Locks, s3: S3Server, bucket: str) -> None:
    place(fresh, hold_on("run", fresh.succeed().id))
    locks.reconcile()
    [(key, version), *others] = versions(fresh)
    client = s3.client()
    before = fresh.objects.stat(key, version)

    def refused(call: Any, **given: Any) -> None:
        with pytest.raises(ClientError) as found:
            call(Bucket=bucket, **given)
        assert found.value.response["Error"]["Code"] == "AccessDenied"

    refused(client.delete_object, Key=key, VersionId=version)
    refused(client.delete_object, Key=key, VersionId=version, BypassGovernanceRetention=True)
    batch = {"Objects": [{"Key": one, "VersionId": its} for one, its in [(key, version), *others]]}
    reply = client.delete_objects(Bucket=bucket, Delete=batch)
    assert len(reply["Errors"]) == 3
    assert not reply.get("Deleted")
    client.put_object(Bucket=bucket, Key=key, Body=b"another")
    client.delete_object(Bucket=bucket, Key=key)
    refused(client.delete_object, Key=key, VersionId=version)
    assert fresh.objects.stat(key, version) == before
    assert fresh.objects.is_held(key, version)


def test_what_is_written_later_is_locked_by_the_next_pass(fresh: Story, locks: Locks) -> None:
    hold = place(fresh, hold_on("dataset_version", fresh.register_dataset()))
    locks.reconcile()
    assert counted(fresh, hold.name) == (0, 0, 0)
    fresh.succeed()
    assert counted(fresh, hold.name) == (3, 0, 0)
    assert locks.reconcile().locked == 3
    assert counted(fresh, hold.name) == (0, 3, 0)


def test_a_lock_that_somebody_took_away_is_mended_and_a_stray_one_is_left(fresh: Story, locks: Locks) -> None:
    run = fresh.succeed()
    model = fresh.mia.artifacts.get(fresh.project, fresh.artifact(run, "model"))
    metrics = fresh.mia.artifacts.get(fresh.project, fresh.artifact(run, "metrics"))
    hold = place(fresh, hold_on("artifact", model.id, is_expanded=False))
    locks.reconcile()
    fresh.objects.release(model.object_key, model.version_id)
    fresh.objects.hold(metrics.object_key, metrics.version_id)
    assert locks.reconcile().mended == 0
    done = locks.reconcile(is_read_back=True)
    assert (done.mended, done.read_back >= 3) == (1, True)
    assert done.strays == [f"{metrics.object_key}?versionId={metrics.version_id}"]
    assert fresh.objects.is_held(model.object_key, model.version_id)
    assert fresh.objects.is_held(metrics.object_key, metrics.version_id)
    assert locks.reconcile(is_read_back=True).mended == 0
    [event] = fresh.act_as("system:install").audit.list(None, action="legal_hold.mended", target=str(hold.id)).items
    assert event.content["artifacts"] == [str(model.id)]


def test_a_released_hold_unlocks_what_no_other_one_covers_and_deletes_nothing(
    fresh: Story, locks: Locks, owner_sql: Connection
) -> None:
    run = fresh.succeed()
    hold = place(fresh, hold_on("run", run.id))
    model = fresh.mia.artifacts.get(fresh.project, fresh.artifact(run, "model"))
    other = place(fresh, hold_on("artifact", model.id, is_expanded=False))
    locks.reconcile()
    release(fresh, hold, owner_sql)
    assert all(fresh.objects.is_held(*one) for one in versions(fresh))
    assert locks.reconcile().unlocked == 3
    assert counted(fresh, hold.name) == (0, 0, 3)
    assert counted(fresh, other.name) == (0, 1, 0)
    held = {one: fresh.objects.is_held(*one) for one in versions(fresh)}
    assert [one for one, is_held in held.items() if is_held] == [(model.object_key, model.version_id)]
    release(fresh, other, owner_sql)
    locks.reconcile()
    assert not any(fresh.objects.is_held(*one) for one in versions(fresh))
    assert all(fresh.objects.stat(*one) for one in versions(fresh))


class Lying:
    """A store that answers that it locks, and does nothing."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def hold(self, _key: str, _version_id: str) -> None: ...

    def is_held(self, key: str, version_id: str) -> bool:
        return self._store.is_held(key, version_id)


def test_a_store_that_answers_well_and_does_nothing_is_found_out(fresh: Story, locks: Locks) -> None:
    hold = place(fresh, hold_on("run", fresh.succeed().id))
    with pytest.raises(Unavailable, match="said that it locks the version, and then that it does not"):
        replace(locks, objects=Lying(fresh.objects)).reconcile()
    assert counted(fresh, hold.name) == (3, 0, 0)
    locks.reconcile()


def test_one_version_that_is_gone_keeps_no_other_from_being_locked(
    fresh: Story, locks: Locks, s3: S3Server, bucket: str
) -> None:
    hold = place(fresh, hold_on("run", fresh.succeed().id))
    [(key, version), *_] = versions(fresh)
    s3.client().delete_object(Bucket=bucket, Key=key, VersionId=version)
    done = locks.reconcile()
    assert (done.locked, done.failed) == (2, 1)
    assert "there is no object" in done.failures[0].says or key in done.failures[0].says
    assert counted(fresh, hold.name) == (1, 2, 0)


@pytest.mark.parametrize("point", ["stored", "recorded"])
def test_a_pass_that_is_killed_is_finished_by_the_next(point: str, fresh: Story, locks: Locks) -> None:
    hold = place(fresh, hold_on("run", fresh.succeed().id))

    def die(at: str) -> None:
        if at == point:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(locks, probe=die).reconcile()
    wanted, locked, _ = counted(fresh, hold.name)
    assert wanted + locked == 3
    assert wanted >= 1
    locks.reconcile()
    assert counted(fresh, hold.name) == (0, 3, 0)


def test_two_passes_do_not_mix(locks: Locks, platform: Platform) -> None:
    with take_turn(platform.engine, "legal_hold_locks") as mine:
        assert mine is not None
        with pytest.raises(StateConflict, match="another process"):
            locks.reconcile()


def test_a_directory_says_that_it_locks_nothing(tmp_path: Any, fresh: Story, locks: Locks) -> None:
    from holdfast.objects.filesystem import FilesystemStore

    place(fresh, hold_on("run", fresh.succeed().id))
    with pytest.raises(InvalidRequest, match="kept by the database alone"):
        replace(locks, objects=FilesystemStore(tmp_path, b"k" * 32, "http://127.0.0.1:1")).reconcile()
