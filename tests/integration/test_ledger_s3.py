"""The log in a bucket and its copies under Object Lock: read without a database, taken back by nobody, and a copy that hangs delays nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from demo.platform import surrounded

from holdfast.core.errors import HoldfastError, IntegrityViolation, InvalidRequest, NotFound, Unavailable
from holdfast.core.note import Checkpoint, open_checkpoint, signed
from holdfast.ledger.configured import place_of
from holdfast.ledger.copies import Copier
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.publish import Publisher
from holdfast.ledger.s3_place import S3Place
from holdfast.ledger.sequencer import Sequencer
from holdfast.ledger.status import status_of
from holdfast.ledger.verify import Verification
from holdfast.service.governance import GovernanceService
from holdfast.settings import LedgerSettings, Platform
from holdfast.wire.project import ProjectRequest
from tests.support.forward import Forwarder
from tests.support.ledger import checked_by_others, log_of
from tests.support.s3 import REGION, S3Server
from tests.support.server import free_ports

RETAINED = timedelta(days=1)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> FileSigner:
    return FileSigner.make("example.org/log", tmp_path_factory.mktemp("keys") / "log.key")


@pytest.fixture(scope="module")
def log(s3: S3Server, bucket: str) -> S3Place:
    return S3Place(bucket, "audit/log", s3.session(), endpoint_url=s3.url, region=REGION)


@pytest.fixture(scope="module")
def worm_bucket(s3: S3Server) -> str:
    return s3.create_bucket()


@pytest.fixture(scope="module")
def worm(s3: S3Server, worm_bucket: str) -> S3Place:
    return S3Place(worm_bucket, "copy", s3.session(), endpoint_url=s3.url, region=REGION, retained=RETAINED)


@pytest.fixture(scope="module")
def publisher(platform: Platform, signer: FileSigner, log: S3Place) -> Publisher:
    return Publisher(platform.engine, [signer], is_signed, log)


@pytest.fixture(scope="module")
def sequencer(platform: Platform, publisher: Publisher) -> Sequencer:
    return Sequencer(platform.engine, publisher)


@pytest.fixture
def copier(platform: Platform, publisher: Publisher, worm: S3Place) -> Copier:
    return Copier(platform.engine, publisher.keys, is_signed, worm)


def create(admin: GovernanceService, count: int = 1) -> None:
    for _ in range(count):
        admin.projects.create(ProjectRequest(name=f"p{uuid4().hex[:12]}", owner="tests"))


def verified(log: Any, signer: FileSigner, **more: Any) -> list[tuple[int | None, str]]:
    look = Verification(log, [signer.key], is_signed, **more)
    look.verify()
    return [(finding.index, finding.what) for finding in look.findings]


def test_the_log_is_read_from_the_bucket_alone_by_us_and_by_others(
    admin: GovernanceService,
    sequencer: Sequencer,
    copier: Copier,
    log: S3Place,
    worm: S3Place,
    platform: Platform,
    signer: FileSigner,
    s3: S3Server,
    bucket: str,
    tmp_path: Path,
) -> None:
    create(admin, 300)
    size = sequencer.extend()
    assert copier.catch_up() == size
    create(admin, 5)
    assert sequencer.extend() == size + 5
    assert copier.catch_up() == size + 5
    assert verified(log, signer, engine=platform.engine, copies=[worm]) == []
    assert verified(log, signer) == []
    client = s3.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="audit/log/"):
        for found in page["Contents"]:
            path = tmp_path / found["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    known = [tmp_path / name for name, _ in worm.below("checkpoints")]
    for path, (_, content) in zip(known, worm.below("checkpoints"), strict=True):
        path.write_bytes(content)
    found = checked_by_others(tmp_path / "audit" / "log", str(signer.key), *known)
    assert (found["fsck"], found["tlog"], found["consistent"]) == ("holds", "holds", len(known))


def test_a_checkpoint_in_the_copy_is_removed_by_nobody_and_what_is_written_over_it_is_found(
    admin: GovernanceService,
    sequencer: Sequencer,
    copier: Copier,
    log: S3Place,
    worm: S3Place,
    platform: Platform,
    signer: FileSigner,
    s3: S3Server,
    worm_bucket: str,
) -> None:
    create(admin)
    size = sequencer.extend()
    copier.catch_up()
    client, key = s3.client(), f"copy/checkpoints/{size:020}"
    facts = client.head_object(Bucket=worm_bucket, Key=key)
    assert facts["ObjectLockMode"] == "COMPLIANCE"
    assert facts["ObjectLockRetainUntilDate"] - datetime.now(UTC) > RETAINED - timedelta(minutes=5)
    for more in ({}, {"BypassGovernanceRetention": True}):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.delete_object(Bucket=worm_bucket, Key=key, VersionId=facts["VersionId"], **more)
    forged = signed(str(Checkpoint(signer.key.name, size, bytes(32))), (signer.key, signer.sign))
    version = client.put_object(Bucket=worm_bucket, Key=key, Body=forged.encode())["VersionId"]
    found = verified(log, signer, engine=platform.engine, copies=[worm])
    assert found == [
        (None, f"the checkpoint {size:020} in {worm} of {size} events has another root than the log's entries")
    ]
    client.delete_object(Bucket=worm_bucket, Key=key, VersionId=version)
    assert verified(log, signer, engine=platform.engine, copies=[worm]) == []


def test_a_log_that_is_made_anew_with_the_key_contradicts_the_copy(
    admin: GovernanceService, sequencer: Sequencer, copier: Copier, signer: FileSigner, worm: S3Place, tmp_path: Path
) -> None:
    """Two logs, each whole and signed by the one key: who compares what he was shown with the copy finds out."""
    create(admin, 3)
    size = sequencer.extend()
    copier.catch_up()
    other = DirectoryPlace(tmp_path / "other")
    shown = [content for _, content in worm.below("checkpoints")]
    root = open_checkpoint(shown[-1].decode(), [signer.key], is_signed).root
    files, notes = log_of([b'{"another":%d}' % number for number in range(size)], signer)
    assert open_checkpoint(notes[size], [signer.key], is_signed).root != root
    other.write(files)
    assert verified(other, signer) == []
    found = verified(other, signer, copies=[worm])
    assert len(found) == len(shown)
    assert all("has another root than the log's entries" in what for _, what in found)


def test_a_copy_of_another_log_or_of_a_newer_one_stops_everything(
    sequencer: Sequencer,
    platform: Platform,
    publisher: Publisher,
    signer: FileSigner,
    tmp_path: Path,
    admin: GovernanceService,
) -> None:
    size = sequencer.extend()
    other = FileSigner.make("example.org/log", tmp_path / "other.key")
    for key, of, message in ((other, size, "is not this log's"), (signer, 10**6, "older than the log")):
        place = DirectoryPlace(tmp_path / str(of))
        place.write({"checkpoint": signed(str(Checkpoint(key.key.name, of, bytes(32))), (key.key, key.sign)).encode()})
        copier = Copier(platform.engine, publisher.keys, is_signed, place)
        watched = Sequencer(platform.engine, publisher, [copier])
        create(admin)
        with pytest.raises(IntegrityViolation, match=message):
            watched.run(threading.Event())
        assert Publisher(platform.engine, [signer], is_signed, publisher._log).publish() == size
    assert sequencer.extend() > size


def test_a_copy_that_is_away_delays_nothing_and_gets_everything_later(
    admin: GovernanceService,
    platform: Platform,
    publisher: Publisher,
    s3: S3Server,
    log: S3Place,
    signer: FileSigner,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket, [port] = s3.create_bucket(), free_ports(1)
    far = S3Place(bucket, "", s3.session(), endpoint_url=f"http://127.0.0.1:{port}", region=REGION, retained=RETAINED)
    with extending(Sequencer(platform.engine, publisher, [Copier(platform.engine, publisher.keys, is_signed, far)])):
        create(admin, 3)
        until(lambda: waiting(platform) == 0 and bool(caplog.records))
        with Forwarder(port, int(s3.url.rpartition(":")[2])):
            create(admin, 3)
            until(lambda: waiting(platform) == 0 and at(far) == at(log) > 0)
    near = S3Place(bucket, "", s3.session(), endpoint_url=s3.url, region=REGION)
    assert verified(log, signer, engine=platform.engine, copies=[near]) == []
    assert caplog.text.count("gets no checkpoints now") == 1


def test_a_copy_that_hangs_delays_the_start_for_ten_seconds_and_then_nothing(
    admin: GovernanceService, platform: Platform, publisher: Publisher, s3: S3Server
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hung = S3Place("copies", "", s3.session(), endpoint_url=url, region=REGION, retained=RETAINED)
        with extending(
            Sequencer(platform.engine, publisher, [Copier(platform.engine, publisher.keys, is_signed, hung)])
        ):
            create(admin, 3)
            until(lambda: waiting(platform) == 0)
            create(admin, 3)
            until(lambda: waiting(platform) == 0)
            silent.close()


@contextmanager
def extending(sequencer: Sequencer) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=sequencer.run, args=(stop, 0.02))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def waiting(platform: Platform) -> int:
    with platform.engine.connect() as connection:
        return status_of(connection).waiting


def at(place: Any) -> int:
    try:
        return Checkpoint.unchecked(place.read("checkpoint").decode()).size
    except (NotFound, Unavailable):
        return 0


def until(is_so: Any, deadline_s: float = 60) -> None:
    deadline = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_copy_whose_bucket_holds_nothing_is_refused(
    s3: S3Server, platform: Platform, publisher: Publisher, sequencer: Sequencer
) -> None:
    sequencer.extend()
    plain = s3.create_bucket(is_locked=False)
    place = S3Place(plain, "", s3.session(), endpoint_url=s3.url, region=REGION, retained=RETAINED)
    with pytest.raises(HoldfastError, match="Object Lock") as refusal:
        Copier(platform.engine, publisher.keys, is_signed, place).catch_up()
    assert "--object-lock-enabled-for-bucket" in refusal.value.remedy


def test_a_store_that_takes_the_lock_and_does_not_hold_it_is_found_out(
    s3: S3Server, worm_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = S3Place(worm_bucket, "liar", s3.session(), endpoint_url=s3.url, region=REGION, retained=RETAINED)
    put = place._client.put_object
    locks = ("ObjectLockMode", "ObjectLockRetainUntilDate")
    monkeypatch.setattr(
        place._client, "put_object", lambda **what: put(**{name: what[name] for name in what if name not in locks})
    )
    with pytest.raises(IntegrityViolation, match="does not hold checkpoints"):
        place.write({"checkpoint": b"x"})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"HOLDFAST_LEDGER_LOG": "somewhere"}, "neither an absolute directory nor"),
        ({"HOLDFAST_LEDGER_LOG": "s3://"}, "no address in S3"),
        ({"HOLDFAST_LEDGER_COPIES": "s3://copies/log?days=3"}, "options that a place does not know"),
        ({"HOLDFAST_LEDGER_COPIES": "/mnt/a,s3://copies/log"}, "HOLDFAST_LEDGER_COPY_RETENTION_DAYS"),
        ({"HOLDFAST_LEDGER_KEY": "log.key"}, "neither an absolute file nor"),
        ({"HOLDFAST_LEDGER_KEY": "pkcs11:token=a"}, "module-path"),
        ({"HOLDFAST_LEDGER_COPY_RETENTION_DAYS": "0"}, "greater than or equal to 1"),
    ],
)
def test_settings_without_a_meaning_are_refused_by_their_name(more: dict[str, str], message: str) -> None:
    with surrounded({"HOLDFAST_LEDGER_LOG": "/srv/log", **more}), pytest.raises(InvalidRequest) as refusal:
        LedgerSettings.load()
    assert message in refusal.value.message
    assert all(name in refusal.value.message for name in more)


def test_a_place_has_credentials_of_its_own_by_a_profile(s3: S3Server, worm_bucket: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[profile auditor]\naws_access_key_id = {s3.access_key}\naws_secret_access_key = {s3.secret_key}\n"
        f"region = {REGION}\nendpoint_url = {s3.url}\n"
    )
    with surrounded({"AWS_CONFIG_FILE": str(config)}):
        place = place_of(
            f"s3://{worm_bucket}/own/?profile=auditor", endpoint_url="http://127.0.0.1:1", region="nowhere"
        )
        place.write({"checkpoint": b"x"})
        assert place.read("checkpoint") == b"x"
        with pytest.raises(InvalidRequest, match="no AWS profile 'nobody'"):
            place_of(f"s3://{worm_bucket}/own/?profile=nobody", endpoint_url=None, region=REGION)


def test_the_commands_use_a_log_in_s3(
    s3: S3Server, bucket: str, worm_bucket: str, platform_env: dict[str, str], signer: FileSigner, platform: Platform
) -> None:
    environment = {
        **platform_env,
        **s3.credentials,
        "PATH": os.environ["PATH"],
        "HOLDFAST_S3_ENDPOINT_URL": s3.url,
        "HOLDFAST_LEDGER_LOG": f"s3://{bucket}/audit/log/",
        "HOLDFAST_LEDGER_COPIES": f"s3://{worm_bucket}/copy/",
        "HOLDFAST_LEDGER_COPY_RETENTION_DAYS": "1",
    }
    command = [Path(sys.executable).parent / "holdfast", "-o", "json", "audit", "verify", "--key", str(signer.key)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["findings"], found["size"] > 300, len(found["signed"])) == ([], True, 1)


@pytest.fixture(autouse=True)
def _nothing_is_left_waiting(platform: Platform) -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("copy ")]
