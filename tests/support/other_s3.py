"""Two more S3 servers, which are not Ceph: moto, whose locks are no locks, and versitygw, on a directory."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from demo.supervise import Supervisor

from tests.support.go_program import GoProgram
from tests.support.s3 import REGION, listens
from tests.support.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSITYGW = GoProgram(
    "versitygw",
    Path(__file__).parent / "versitygw",
    "github.com/versity/versitygw",
    package="github.com/versity/versitygw/cmd/versitygw",
)
_KEYS = ("an-access-key", "a-secret-key-of-tests")
_MOTO = "from moto.server import main; import sys; main(sys.argv[1:])"
_DEADLINE_S = 60


class OtherS3:
    """A running server, with one bucket that has Object Lock."""

    def __init__(self, url: str) -> None:
        self.url, self.bucket = url, "holdfast"
        self.client().create_bucket(Bucket=self.bucket, ObjectLockEnabledForBucket=True)

    def session(self) -> boto3.Session:
        """Return where a client's credentials come from."""
        return boto3.Session(aws_access_key_id=_KEYS[0], aws_secret_access_key=_KEYS[1], region_name=REGION)

    def client(self) -> Any:
        """Return a client."""
        return self.session().client("s3", endpoint_url=self.url)


@contextmanager
def moto_s3() -> Iterator[OtherS3]:
    """Start moto in a process of its own, and stop it at the end; what it stores is in memory."""
    with _started("moto", lambda port, _: [sys.executable, "-c", _MOTO, "-H", "127.0.0.1", "-p", str(port)]) as other:
        yield other


@contextmanager
def versity_s3() -> Iterator[OtherS3]:
    """Start versitygw on a fresh directory, and stop it at the end."""

    def command(port: int, root: Path) -> list[str]:
        for name in ("objects", "versions"):
            (root / name).mkdir()
        program = str(VERSITYGW.directory() / "versitygw")
        access, secret = _KEYS
        given = ["--port", f"127.0.0.1:{port}", "--access", access, "--secret", secret, "--region", REGION]
        return [program, *given, "posix", "--versioning-dir", str(root / "versions"), str(root / "objects")]

    with _started("versitygw", command) as other:
        yield other


@contextmanager
def _started(name: str, command: Any) -> Iterator[OtherS3]:
    # Beside other throw-away servers: not every /tmp keeps the attributes that versitygw stores with a file.
    root = Path(tempfile.mkdtemp(prefix=f"hf-{name}-", dir="/var/tmp"))
    (root / "log").mkdir()
    (port,) = free_ports(1)
    try:
        with Supervisor(root / "log") as group:
            group.start(name, command(port, root), {"PATH": os.environ["PATH"]})
            group.wait_until(f"{name}'s start", lambda: listens("127.0.0.1", port), _DEADLINE_S)
            yield OtherS3(f"http://127.0.0.1:{port}")
    finally:
        shutil.rmtree(root)
