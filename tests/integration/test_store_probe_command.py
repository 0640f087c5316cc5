"""`holdfast store probe` and `show`, as processes on a real database and a real store: what is written down, and when nothing is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from holdfast.objects.s3_probe import PREFIX
from holdfast.settings import Settings
from holdfast.store.turn import take_turn
from tests.conftest import GRANT_KEY
from tests.support.debian import require
from tests.support.dishonest import LIES, Call, Liar, Reply, lying
from tests.support.s3 import S3Server

HOLDFAST = str(Path(sys.executable).parent / "holdfast")


@pytest.fixture
def environment(s3: S3Server, settings: Settings) -> dict[str, str]:
    """What the probe's process is told: nothing of the service but its database, and a fresh bucket."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOLDFAST_DATABASE_URL": settings.database_url.get_secret_value(),
        "HOLDFAST_S3_BUCKET": s3.create_bucket(),
        "HOLDFAST_S3_ENDPOINT_URL": s3.url,
        **s3.credentials,
    }


def holdfast(
    environment: dict[str, str], *arguments: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = [*before, HOLDFAST, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=250, env=environment)


def probes(sql: Connection, environment: dict[str, str]) -> list[tuple[bool, str]]:
    """Return what is on record of the bucket: whether the store was honest, and who has probed."""
    place = f"%/{environment['HOLDFAST_S3_BUCKET']}"
    found = sql.execute(
        text("SELECT is_honest, probed_by FROM store_probe WHERE place LIKE :place ORDER BY created_at"),
        {"place": place},
    )
    return [(row.is_honest, row.probed_by) for row in found]


def events(sql: Connection, environment: dict[str, str]) -> list[dict[str, Any]]:
    place = f"%/{environment['HOLDFAST_S3_BUCKET']}"
    statement = "SELECT content FROM audit_event WHERE action = 'store.probed' AND target_id LIKE :place ORDER BY id"
    return [json.loads(content)["content"] for content in sql.scalars(text(statement), {"place": place})]


def of_the_service(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "HOLDFAST_GRANT_KEY": GRANT_KEY, "HOLDFAST_API_URL": "http://127.0.0.1:1/holdfast/api/v1"}


def test_a_good_store_is_on_record_and_holds_are_kept_by_it(
    environment: dict[str, str], s3: S3Server, owner_sql: Connection
) -> None:
    service = of_the_service(environment)
    before = json.loads(holdfast(service, "--direct", "store", "show", "-o", "json").stdout)
    assert (before["hold_level"], before["probe"]) == ("database only", None)
    done = holdfast(environment, "store", "probe", "-o", "json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    said = json.loads(done.stdout)
    assert said["hold_level"] == "object lock"
    assert said["place"] == f"{s3.url}/{environment['HOLDFAST_S3_BUCKET']}"
    assert s3.secret_key not in done.stdout + done.stderr
    [(is_honest, by)] = probes(owner_sql, environment)
    assert (is_honest, by.partition(":")[0]) == (True, "system")
    assert [(one["is_honest"], one["broken"]) for one in events(owner_sql, environment)] == [(True, [])]
    assert json.loads(holdfast(service, "--direct", "store", "show", "-o", "json").stdout) == said
    shown = holdfast(service, "--direct", "store", "show")
    assert "hold level: object lock" in shown.stdout
    assert "governance bypass" in shown.stdout


def test_a_store_that_breaks_a_rule_is_named_by_the_error_and_holds_are_the_databases_alone(
    environment: dict[str, str], s3: S3Server, owner_sql: Connection
) -> None:
    with lying(s3, LIES["governance"]) as url:
        done = holdfast({**environment, "HOLDFAST_S3_ENDPOINT_URL": url}, "store", "probe")
    assert done.returncode == 6, (done.stdout, done.stderr)
    assert "does not keep its locks: it breaks governance\n" in done.stderr
    assert "hold level: database only" in done.stdout
    assert [is_honest for is_honest, _ in probes(owner_sql, environment)] == [False]
    assert events(owner_sql, environment)[0]["broken"] == ["governance"]


def test_a_store_that_is_down_leaves_no_record(environment: dict[str, str], owner_sql: Connection) -> None:
    done = holdfast({**environment, "HOLDFAST_S3_ENDPOINT_URL": "http://127.0.0.1:1"}, "store", "probe")
    assert done.returncode == 7, (done.stdout, done.stderr)
    assert "the object store does not answer" in done.stderr
    assert "HOLDFAST_S3_ENDPOINT_URL" in done.stderr
    assert (probes(owner_sql, environment), events(owner_sql, environment)) == ([], [])


def test_a_database_that_is_down_is_said_before_anything_is_stored(environment: dict[str, str], s3: S3Server) -> None:
    nowhere = {**environment, "HOLDFAST_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    done = holdfast(nowhere, "store", "probe")
    assert done.returncode == 7, (done.stdout, done.stderr)
    assert s3.versions(environment["HOLDFAST_S3_BUCKET"]) == []


def test_a_probe_that_goes_down_in_the_middle_leaves_no_record_and_the_next_one_tidies_up(
    environment: dict[str, str], s3: S3Server, owner_sql: Connection
) -> None:
    bucket = environment["HOLDFAST_S3_BUCKET"]
    killed: list[int] = []

    def kill(liar: Liar, call: Call) -> Reply | None:
        # Where the most is half done: versions of every kind are there, and the probe's own bucket is about to be told to forget.
        if call.sets("versioning") and b"Suspended" in call.body and not killed:
            killed.append(child.pid)
            os.kill(child.pid, signal.SIGKILL)
        return None

    with lying(s3, kill) as url:
        child = subprocess.Popen(
            [HOLDFAST, "store", "probe"], env={**environment, "HOLDFAST_S3_ENDPOINT_URL": url}, stderr=subprocess.PIPE
        )
        child.communicate(timeout=250)
    assert (child.returncode, len(killed)) == (-signal.SIGKILL, 1)
    assert (probes(owner_sql, environment), events(owner_sql, environment)) == ([], [])
    left = set(s3.versions(bucket, PREFIX))
    held = [one for one in left if is_held(s3, bucket, one)]
    assert held
    done = holdfast(environment, "store", "probe", "-o", "json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    said = json.loads(done.stdout)["probe"]
    still = left & set(s3.versions(bucket, PREFIX))
    assert still < left
    assert all(any(version in each for each in said["leftovers"]) for version in still)
    assert not any(is_held(s3, bucket, version) for version in still)
    assert len(probes(owner_sql, environment)) == len(events(owner_sql, environment)) == 1


def is_held(s3: S3Server, bucket: str, version_id: str) -> bool:
    client = s3.client()
    found = client.list_object_versions(Bucket=bucket, Prefix=PREFIX).get("Versions", [])
    [key] = [one["Key"] for one in found if one["VersionId"] == version_id]
    return bool(
        client.head_object(Bucket=bucket, Key=key, VersionId=version_id).get("ObjectLockLegalHoldStatus") == "ON"
    )


def test_two_at_a_time_would_take_each_others_canaries_so_the_second_is_refused(
    environment: dict[str, str], s3: S3Server, platform: Any, owner_sql: Connection
) -> None:
    place = f"{s3.url}/{environment['HOLDFAST_S3_BUCKET']}"
    with take_turn(platform.engine, f"store.probe/{place}", 300) as keep:
        assert keep is not None
        done = holdfast(environment, "store", "probe")
    assert (done.returncode, "is under way" in done.stderr) == (4, True), done.stderr
    assert s3.versions(environment["HOLDFAST_S3_BUCKET"]) == []
    assert probes(owner_sql, environment) == []


@pytest.mark.parametrize("shift", ["+3m", "-3m"])
def test_a_clock_that_is_not_the_stores_does_not_matter(shift: str, environment: dict[str, str]) -> None:
    """By three minutes: more than a canary is locked for."""
    require({"faketime": "faketime"})
    done = holdfast(environment, "store", "probe", "-o", "json", before=("faketime", "-f", shift))
    assert done.returncode == 0, (done.stdout, done.stderr)
    said = json.loads(done.stdout)["probe"]["findings"]
    assert {one["outcome"] for one in said if one["rule"] != "lifecycle"} == {"kept"}


def test_a_directory_is_not_probed_and_says_what_it_is(
    environment: dict[str, str], platform_env: dict[str, str]
) -> None:
    without = {name: text for name, text in environment.items() if not name.startswith("HOLDFAST_S3")}
    done = holdfast(without, "store", "probe")
    assert (done.returncode, "a directory has no Object Lock" in done.stderr) == (2, True), done.stderr
    shown = holdfast({**without, **platform_env}, "--direct", "store", "show")
    assert shown.returncode == 0, shown.stderr
    assert "hold level: database only\nthe object store is a directory" in shown.stdout


def test_an_endpoint_that_is_empty_is_none(environment: dict[str, str]) -> None:
    from holdfast.settings import BucketSettings

    given = {**environment, "HOLDFAST_S3_ENDPOINT_URL": ""}
    code = "from holdfast.settings import BucketSettings; print(BucketSettings.load().s3_endpoint_url)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=given)
    assert done.stdout == "None\n"
    assert "grant_key" not in BucketSettings.model_fields
