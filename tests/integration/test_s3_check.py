"""Whether a bucket is fit, looked at when the service starts and by `holdfast store check`: each thing that can be wrong, and that it is said."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from holdfast.core.errors import HoldfastError, IntegrityViolation, InvalidRequest, Unavailable
from holdfast.objects.guarded import GuardedStore
from holdfast.objects.s3 import S3Store
from holdfast.objects.s3_check import CLOCK_LIMIT_S, CLOCK_WARNING_S, check_clock
from holdfast.settings import check_store
from tests.support.debian import require
from tests.support.forward import Forwarder
from tests.support.s3 import REGION, S3Server
from tests.support.server import free_ports

HOLDFAST = str(Path(sys.executable).parent / "holdfast")
NAMES = ["clock", "bucket", "versions", "object lock", "grants", "parts"]


def store_of(s3: S3Server, bucket: str, **more: Any) -> S3Store:
    return S3Store(bucket, s3.session(**more), endpoint_url=s3.url, region=REGION)


def wrong_with(store: S3Store) -> HoldfastError:
    """Return what keeps a store from being used, as the service's start does."""
    with pytest.raises(HoldfastError) as refusal:
        check_store(GuardedStore(store))
    assert refusal.value.remedy
    return refusal.value


def test_a_good_bucket_is_good_and_nothing_is_left_in_it(s3: S3Server, bucket: str) -> None:
    checks = store_of(s3, bucket).check()
    assert [(c.name, c.error, c.warning) for c in checks] == [(name, None, "") for name in NAMES]
    assert (s3.versions(bucket), s3.uploads(bucket)) == ([], [])


def test_a_bucket_without_versions_or_lock_is_refused(s3: S3Server) -> None:
    plain = s3.create_bucket(is_locked=False)
    error = wrong_with(store_of(s3, plain))
    assert (type(error), "keeps no versions" in error.message) == (InvalidRequest, True)
    s3.client().put_bucket_versioning(Bucket=plain, VersioningConfiguration={"Status": "Enabled"})
    error = wrong_with(store_of(s3, plain))
    assert (type(error), "no Object Lock" in error.message) == (InvalidRequest, True)


def test_a_bucket_that_is_not_there_and_credentials_that_are_not_known_are_told_apart(
    s3: S3Server, bucket: str
) -> None:
    assert "no bucket 'nowhere-at-all'" in wrong_with(store_of(s3, "nowhere-at-all")).message
    error = wrong_with(store_of(s3, bucket, secret_key="wrong-secret"))
    assert (type(error), "SignatureDoesNotMatch" in error.message) == (InvalidRequest, True)
    assert "wrong-secret" not in f"{error} {error.details}"
    stranger = boto3.Session(aws_access_key_id="stranger", aws_secret_access_key="x", region_name=REGION)
    error = wrong_with(S3Store(bucket, stranger, endpoint_url=s3.url, region=REGION))
    assert "InvalidAccessKeyId" in error.message


def test_credentials_that_are_not_there_at_all_are_not_taken_for_a_store_that_is_away(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    environment = {name: text for name, text in environment_of(s3, bucket).items() if not name.startswith("AWS_")}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    done = holdfast(environment, "store", "check")
    assert done.returncode == 2, done.stderr
    assert "has no credentials" in done.stderr
    assert "AWS_ACCESS_KEY_ID" in done.stderr


@pytest.mark.parametrize("url", ["nonsense", "s3://bucket", "https://", "https://user:hunter2@s3.example"])
def test_an_endpoint_that_is_no_url_is_refused_with_its_variable(s3: S3Server, bucket: str, url: str) -> None:
    done = holdfast({**environment_of(s3, bucket), "HOLDFAST_S3_ENDPOINT_URL": url}, "store", "check")
    assert done.returncode == 2, done.stderr
    assert "HOLDFAST_S3_ENDPOINT_URL (Value error, it is not the URL of a server" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_a_right_that_is_missing_is_named(s3: S3Server) -> None:
    bucket = s3.create_bucket()
    denied = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
            }
        ],
    }
    s3.client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(denied))
    error = wrong_with(store_of(s3, bucket))
    assert (type(error), "AccessDenied" in error.message) == (InvalidRequest, True)


@pytest.mark.parametrize(
    ("here_s", "is_wrong", "is_warned"),
    [
        (0, False, False),
        (CLOCK_WARNING_S, False, False),
        (CLOCK_WARNING_S + 1, False, True),
        (-CLOCK_LIMIT_S, False, True),
        (CLOCK_LIMIT_S + 1, True, False),
        (-CLOCK_LIMIT_S - 1, True, False),
    ],
)
def test_the_clocks_may_differ_by_a_bound(here_s: float, is_wrong: bool, is_warned: bool) -> None:
    found = check_clock(here_s, "Thu, 01 Jan 1970 00:00:00 GMT")
    assert (found.error is not None, bool(found.warning)) == (is_wrong, is_warned)


def environment_of(s3: S3Server, bucket: str) -> dict[str, str]:
    return {
        "HOLDFAST_S3_BUCKET": bucket,
        "HOLDFAST_S3_ENDPOINT_URL": s3.url,
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
    }


def holdfast(
    environment: dict[str, str], *arguments: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    given = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOLDFAST_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "HOLDFAST_GRANT_KEY": "k" * 32,
        "HOLDFAST_API_URL": "http://127.0.0.1:1/holdfast/api/v1",
        **environment,
    }
    command = [*before, HOLDFAST, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=given)


def test_the_command_shows_each_check(s3: S3Server, bucket: str) -> None:
    done = holdfast(environment_of(s3, bucket), "store", "check", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert [(one["check"], one["state"]) for one in json.loads(done.stdout)["items"]] == [(n, "good") for n in NAMES]
    shown = holdfast(environment_of(s3, bucket), "store", "check")
    assert (shown.returncode, all(name in shown.stdout for name in NAMES)) == (0, True)


def test_the_command_ends_with_the_code_of_the_error(s3: S3Server, bucket: str) -> None:
    plain = holdfast(environment_of(s3, s3.create_bucket(is_locked=False)), "store", "check", "-o", "json")
    assert plain.returncode == 2
    states = {one["check"]: one["state"] for one in json.loads(plain.stdout)["items"]}
    assert (states["versions"], states["object lock"], states["grants"]) == ("failed", "failed", "good")
    assert "object-lock-enabled-for-bucket" in json.loads(plain.stderr)["error"]["remedy"]
    nowhere = {**environment_of(s3, bucket), "HOLDFAST_S3_ENDPOINT_URL": "http://127.0.0.1:1"}
    down = holdfast(nowhere, "store", "check")
    assert (down.returncode, "does not answer" in down.stderr) == (7, True), down.stderr


def test_a_directory_is_checked_by_the_same_command(tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    done = holdfast({"HOLDFAST_OBJECTS_ROOT": str(objects)}, "store", "check", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["items"][0]["state"]) == (0, "good"), done.stderr
    assert list(objects.iterdir()) == []


@pytest.mark.parametrize("shift", ["+6m", "-6m", "+20m", "-20m"])
def test_a_clock_five_minutes_off_is_refused(shift: str, s3: S3Server, bucket: str) -> None:
    """By a process whose clock is really off; from a quarter of an hour on the store refuses its calls, and the reason stays the same."""
    require({"faketime": "faketime"})
    done = holdfast(environment_of(s3, bucket), "store", "check", "-o", "json", before=("faketime", "-f", shift))
    assert done.returncode == 2, done.stderr
    error = json.loads(done.stderr)["error"]
    side = "ahead of" if shift.startswith("+") else "behind"
    assert re.search(rf"clock is \d+ s {side} the store's", error["detail"]), error
    assert "NTP" in error["remedy"]


def test_a_clock_two_minutes_off_is_a_warning(s3: S3Server, bucket: str) -> None:
    require({"faketime": "faketime"})
    done = holdfast(environment_of(s3, bucket), "store", "check", "-o", "json", before=("faketime", "-f", "+2m"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"][0]["state"] == "warning"


def test_the_service_does_not_start_with_a_bucket_that_keeps_no_versions(s3: S3Server) -> None:
    plain = s3.create_bucket(is_locked=False)
    (port,) = free_ports(1)
    done = holdfast(environment_of(s3, plain), "serve", "--port", str(port))
    assert (done.returncode, "keeps no versions" in done.stderr) == (2, True), done.stderr


def test_a_store_that_is_down_at_the_start_is_looked_at_before_it_is_used(
    s3: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    (port,) = free_ports(1)
    target = int(s3.url.rpartition(":")[2])
    good, bad = s3.create_bucket(), s3.create_bucket(is_locked=False)
    url = f"http://127.0.0.1:{port}"
    guarded = {name: GuardedStore(S3Store(name, s3.session(), endpoint_url=url, region=REGION)) for name in (good, bad)}
    for store in guarded.values():
        check_store(store)  # starts all the same
        with pytest.raises(Unavailable, match="does not answer"):
            store.abort_uploads("x")
    assert "starting without the object store" in caplog.text
    with Forwarder(port, target):
        assert guarded[good].abort_uploads("x") == 0
        with pytest.raises(Unavailable, match=r"cannot be used: .* keeps no versions"):
            guarded[bad].abort_uploads("x")


class Obliging(BaseHTTPRequestHandler):
    """A store that says what is asked of it and takes whatever comes."""

    deleted: list[str]

    def do_GET(self) -> None:
        if "versioning" in self.path:
            self._say("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        elif "object-lock" in self.path:
            enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
            self._say(f"<ObjectLockConfiguration>{enabled}</ObjectLockConfiguration>")
        else:
            self._say("<ListMultipartUploadsResult></ListMultipartUploadsResult>")

    def do_POST(self) -> None:
        self._say("<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say("")

    def do_DELETE(self) -> None:
        self.deleted.append(self.path)
        self._say("")

    def _say(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amz-version-id", "v1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_store_that_takes_other_bytes_is_refused_and_cleaned() -> None:
    """Stands in for a server that ignores the payload's digest; there is none here that is not honest."""
    handler = type("Obliging", (Obliging,), {"deleted": []})
    (port,) = free_ports(1)
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=REGION)
        store = S3Store("obliging", session, endpoint_url=f"http://127.0.0.1:{port}", region=REGION)
        found = {check.name: check.error for check in store.check()}
    finally:
        server.shutdown()
        server.server_close()
    assert all(isinstance(found[name], IntegrityViolation) for name in ("grants", "parts")), found
    assert any("versionId=v1" in path for path in handler.deleted)
