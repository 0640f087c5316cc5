"""A throw-away S3 server with versions and Object Lock: Ceph's RADOS gateway on one machine. `python -m tests.support.s3` starts one."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from demo.platform import surrounded
from demo.supervise import Supervisor

from holdfast.settings import Platform
from tests.support.debian import require
from tests.support.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.settings import Settings

PACKAGES = {
    "ceph": "ceph-common",
    "ceph-authtool": "ceph-common",
    "monmaptool": "ceph-common",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "radosgw": "radosgw",
    "radosgw-admin": "radosgw",
}
REGION = "us-east-1"
_DEADLINE_S = 60
# A new monitor empties its register of clients when it reads the first one it has written, and refuses whoever connects at that
# moment, before it has looked at the command: so the command can be repeated.
_NOT_KNOWN_YET = "EPERM: problem getting command descriptions"
_CONFIGURATION = """
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{monitor}
mon initial members = a
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
ms bind port min = 24000
ms bind port max = 24999
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
osd crush update on start = false
osd class update on start = false
osd objectstore = memstore
memstore device bytes = {capacity}
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 2
mon data avail warn = 3
run dir = {root}/run
pid file = {root}/run/$name.pid
admin socket = {root}/run/$name.asok
log file = {root}/log/$name.log
keyring = {root}/keyring
mon data = {root}/mon
osd data = {root}/osd
setuser match path =
[client.rgw]
rgw frontends = beast endpoint={host}:{gateway}
rgw data = {root}/rgw
rgw dns name = localhost
rgw thread pool size = 32
rgw run sync thread = false
rgw crypt require ssl = false
"""
# What is deleted gives its room back at once, and not after hours.
_SWEPT = """rgw gc obj min wait = 1
rgw gc processor period = 1
rgw gc processor max time = 60
"""


@dataclass
class S3Server:
    """A running server.

    Attributes:
        url: its endpoint.
        access_key: of the user that owns the buckets.
        secret_key: of the same user.
        root: its directory.
        group: its processes.
    """

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    root: Path = field(repr=False)
    group: Supervisor = field(repr=False)

    def answers(self) -> bool:
        """Whether it takes connections."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return listens(host, int(port))

    @property
    def credentials(self) -> dict[str, str]:
        """The same as a process finds them in its environment."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def session(self, secret_key: str | None = None) -> boto3.Session:
        """Return where a client's credentials come from."""
        return boto3.Session(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            region_name=REGION,
        )

    def client(self) -> Any:
        """Return a client of the owner, to look with eyes that the service does not have."""
        config = Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return self.session().client("s3", endpoint_url=self.url, config=config)

    def create_bucket(self, *, is_locked: bool = True) -> str:
        """Create a bucket, with versions and Object Lock where asked, and return its name."""
        name = f"hf-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=is_locked)
        return name

    def remove(self, bucket: str, key: str, version_id: str) -> None:
        """Remove a version behind the protocol's back, whatever lock it has: as who owns the machines can."""
        where = [f"--bucket={bucket}", f"--object={key}", f"--object-version={version_id}"]
        _run(self.root, "radosgw-admin", "object", "rm", *where)

    def uploads(self, bucket: str) -> list[str]:
        """Return the keys of the uploads in parts that are under way."""
        return [u["Key"] for u in self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]

    def versions(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the ids of the versions under keys that begin so."""
        found = self.client().list_object_versions(Bucket=bucket, Prefix=prefix)
        return [v["VersionId"] for v in found.get("Versions", []) + found.get("DeleteMarkers", [])]


@contextmanager
def opened_on(server: S3Server, settings: Settings, **more: Any) -> Iterator[Platform]:
    """Yield the platform of some settings with the server behind it, opened with its owner's credentials.

    Args:
        server: the server.
        settings: where everything else is.
        more: settings that are others, as `s3_bucket`.
    """
    changed = settings.model_copy(update={"s3_endpoint_url": server.url, "s3_region": REGION, **more})
    with surrounded(server.credentials):
        opened = Platform.open(changed)
        yield opened
        opened.close()


@contextmanager
def throw_away_s3(
    capacity_bytes: int = 2 << 30, *, is_swept: bool = False, host: str = "127.0.0.1", day_s: int | None = None
) -> Iterator[S3Server]:
    """Start a server in a fresh directory; stop it and remove the directory at the end. What it stores is in memory.

    Args:
        capacity_bytes: how much it stores.
        is_swept: whether uploads that were given up go at once.
        host: the address of this machine at which it is to be reached.
        day_s: how long a day is to lifecycle rules, which then work by day and night.
    """
    require(PACKAGES)
    root = Path(tempfile.mkdtemp(prefix="hf-s3-", dir="/var/tmp"))
    try:
        with Supervisor(root / "log") as group:
            yield _start(root, group, capacity_bytes, is_swept=is_swept, host=host, day_s=day_s)
    finally:
        shutil.rmtree(root)


def _start(root: Path, group: Supervisor, capacity: int, *, is_swept: bool, host: str, day_s: int | None) -> S3Server:
    for name in ("mon", "osd", "run", "log", "rgw"):
        (root / name).mkdir()
    monitor, gateway = free_ports(2)
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    configuration = _CONFIGURATION + (_SWEPT if is_swept else "")
    configuration += f"rgw lc debug interval = {day_s}\n" if day_s else ""
    (root / "ceph.conf").write_text(
        configuration.format(fsid=fsid, monitor=monitor, gateway=gateway, host=host, root=root, capacity=capacity)
    )
    keyring = str(root / "keyring")
    _run(root, "ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    _run(
        root,
        "ceph-authtool",
        keyring,
        "--gen-key",
        "-n",
        "client.admin",
        "--cap",
        "mon",
        "allow *",
        "--cap",
        "osd",
        "allow *",
    )
    _run(
        root,
        "monmaptool",
        "--create",
        "--clobber",
        "--addv",
        "a",
        f"[v1:127.0.0.1:{monitor}]",
        "--fsid",
        fsid,
        f"{root}/monmap",
    )
    _run(root, "ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{root}/monmap", "--keyring", keyring)
    group.start("ceph-mon", ["ceph-mon", "-f", "-i", "a"], _environment(root))
    _run(root, "ceph", "osd", "new", osd, "0")
    _run(root, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    group.start("ceph-osd", ["ceph-osd", "-f", "-i", "0"], _environment(root))
    _run(root, "ceph", "osd", "crush", "add-bucket", "default", "root")
    _run(root, "ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
    group.start("radosgw", ["radosgw", "-f", "-n", "client.rgw"], _environment(root))
    group.wait_until("the S3 server's start", lambda: listens(host, gateway), _DEADLINE_S)
    server = S3Server(f"http://{host}:{gateway}", secrets.token_hex(8), secrets.token_hex(16), root, group)
    keys = ["--access-key", server.access_key, "--secret-key", server.secret_key]
    _run(root, "radosgw-admin", "user", "create", "--uid", "service", "--display-name", "service", *keys)
    return server


def _run(root: Path, command: str, *arguments: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while (refusal := _refusal_of(root, command, *arguments)) is not None:
        if _NOT_KNOWN_YET not in refusal or time.monotonic() > deadline:
            raise RuntimeError(f"{command} {' '.join(arguments[:2])} failed: {refusal[-1000:]}")
        time.sleep(0.1)


def _refusal_of(root: Path, command: str, *arguments: str) -> str | None:
    done = subprocess.run(
        [command, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_DEADLINE_S,
        env=_environment(root),
    )
    return None if done.returncode == 0 else done.stderr


def _environment(root: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "CEPH_CONF": f"{root}/ceph.conf", "HOME": str(root)}


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> None:
    """Start a server, print what a client needs, and stop it on Ctrl-C."""
    description = "A throw-away S3 server, until Ctrl-C or SIGTERM."
    argparse.ArgumentParser(prog="python -m tests.support.s3", description=description).parse_args()
    # Also where a shell has started this in the background, which ignores Ctrl-C there.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    try:
        with throw_away_s3() as server:
            print(f"endpoint {server.url}\naccess key {server.access_key}\nsecret key {server.secret_key}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
