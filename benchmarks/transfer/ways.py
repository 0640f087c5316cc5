"""The two ways in which the same files go to the store and back: the agent under grants, and bare boto3."""

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from tests.support.s3 import REGION, S3Server

from holdfast.core.digest import parse
from holdfast.core.errors import HoldfastError
from holdfast.objects.s3 import S3Store
from holdfast.service.staging import GrantMaker
from holdfast.wire.run import MultipartGrant, OutputFile

Seconds = float


class Files:
    """Files of random bytes, in the place where an agent finds a Run's outputs.

    Attributes:
        scratch: the Run's directory.
        names: what the files are called.
        size_bytes: of all of them.
    """

    def __init__(self, directory: Path, count: int, size_bytes: int) -> None:
        self.scratch, self.size_bytes = directory, count * size_bytes
        self.outputs = directory / "outputs"
        self.outputs.mkdir(parents=True)
        self.names = [f"f{number:05}" for number in range(count)]
        for name in self.names:
            with (self.outputs / name).open("wb") as file:
                for offset in range(0, size_bytes, 1 << 20):
                    file.write(secrets.token_bytes(min(1 << 20, size_bytes - offset)))


class Boto3:
    """Bare boto3 with its default TransferConfig; all files are given to one transfer manager, which is its fastest way."""

    def __init__(self, server: S3Server, bucket: str, files: Files) -> None:
        self._client, self._bucket, self._files = server.client(), bucket, files

    def up(self, prefix: str) -> dict[str, Seconds]:
        """Store all files; return the seconds."""
        return {"moved": _timed(lambda: self._move("upload", prefix, self._files.outputs))}

    def down(self, prefix: str, target: Path) -> dict[str, Seconds]:
        """Fetch all files; return the seconds."""
        return {"moved": _timed(lambda: self._move("download", prefix, target))}

    def _move(self, which: str, prefix: str, directory: Path) -> None:
        with create_transfer_manager(self._client, TransferConfig()) as manager:
            if which == "upload":
                moves = [manager.upload(str(directory / n), self._bucket, f"{prefix}/{n}") for n in self._files.names]
            else:
                moves = [manager.download(self._bucket, f"{prefix}/{n}", str(directory / n)) for n in self._files.names]
            for move in moves:
                move.result()


class Agent:
    """The agent's own process under grants, from asking for them to versions that can be read; its start is in the time."""

    def __init__(self, server: S3Server, bucket: str, files: Files) -> None:
        self._store = S3Store(bucket, server.session(), endpoint_url=server.url, region=REGION)
        self._files = files
        self._stored: dict[str, tuple[OutputFile, str]] = {}

    def up(self, prefix: str) -> dict[str, Seconds]:
        """Store all files; return the seconds, and apart from them those of hashing, which comes before."""
        found: list[dict[str, Any]] = []
        order = {"scratch": str(self._files.scratch), "outputs": {"all": "./"}}
        outputs = {name: name for name in self._files.names}
        hashed = _timed(lambda: found.extend(_ask("collect", {**order, "outputs": outputs})["files"]))
        files = [OutputFile(**{k: v for k, v in file.items() if k != "path"}) for file in found]
        return {"moved": _timed(lambda: self._publish(prefix, files, outputs)), "hashed": hashed}

    def down(self, prefix: str, target: Path) -> dict[str, Seconds]:
        """Fetch all files, checked by digest; return the seconds."""
        del prefix
        scratch = target / "run"
        scratch.mkdir()
        (target / "code").mkdir()

        def stage() -> None:
            maker = GrantMaker(self._store, datetime.now(UTC) + timedelta(minutes=15))
            grants = [
                maker.download(file.name, *self._place(file.name), parse(file.digest), file.size_bytes)
                for file, _ in self._stored.values()
            ]
            code = {"checkout": str(target / "code"), "commit": None, "git_directory": None, "path": ""}
            given = {"parameters": {}, "datasets": [], "data_roots": []}
            dumped = [grant.model_dump(mode="json") for grant in grants]
            _ask("stage", {"scratch": str(scratch), "code": code, "grants": dumped, **given})

        return {"moved": _timed(stage)}

    def _place(self, name: str) -> tuple[str, str]:
        return f"{self._prefix}/{name}", self._stored[name][1]

    def _publish(self, prefix: str, files: list[OutputFile], paths: dict[str, str]) -> None:
        self._prefix = prefix
        maker = GrantMaker(self._store, datetime.now(UTC) + timedelta(minutes=15))
        made = [maker.upload(f"{prefix}/{file.name}", file) for file in files]
        parted = [grant for grant in made if isinstance(grant, MultipartGrant)]
        whole = [grant for grant in made if not isinstance(grant, MultipartGrant)]
        order = {
            "scratch": str(self._files.scratch),
            "grants": [grant.model_dump(mode="json") for grant in whole],
            "multipart": [grant.model_dump(mode="json") for grant in parted],
            "paths": paths,
        }
        versions = _ask("publish", order)["versions"]
        for grant in parted:
            facts = self._store.complete_upload(
                grant.object_key, grant.upload_id, parse(grant.digest), grant.size_bytes
            )
            versions[grant.name] = facts.version_id
        self._stored = {file.name: (file, versions[file.name]) for file in files}


def empty(server: S3Server, bucket: str, prefix: str) -> None:
    """Remove what a round has stored."""
    client = server.client()
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        found = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in page.get("Versions", ())]
        if found:
            client.delete_objects(Bucket=bucket, Delete={"Objects": found})


def fresh(directory: Path) -> Path:
    """Return an empty directory in the place of whatever was there."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return directory


def _timed(work: Callable[[], object]) -> Seconds:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ask(command: str, order: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "holdfast.dataplane.agent", command],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    if "failure" in report:
        raise HoldfastError(report["failure"]["message"])
    return dict(report["result"])
