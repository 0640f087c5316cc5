"""Bytes over HTTP under a grant, streamed both ways; connection errors are tried again, bounded, with jitter."""

import hashlib
import http.client
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from holdfast.dataplane.agent.failure import AgentFailure
from holdfast.dataplane.agent.files import PIECE_BYTES, open_regular, pieces_of

Result = TypeVar("Result")

_ATTEMPTS = 4
_TIMEOUT_S = 60.0


class _Again(Exception):
    pass


def download(grant: dict[str, Any], path: Path) -> None:
    """Write a granted object to a new file, checked by size and digest while it arrives.

    Raises:
        AgentFailure: class data when the bytes are not those announced, platform when the store does not answer. No file is left.
    """

    def attempt() -> None:
        hashed, size = hashlib.sha256(), 0
        try:
            with path.open("wb") as file:
                for piece in _fetch(grant):
                    hashed.update(piece)
                    size += len(piece)
                    file.write(piece)
            check_content(f"input {grant['name']!r}", (f"sha256:{hashed.hexdigest()}", size), grant)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    _repeat(attempt, f"input {grant['name']!r} could not be fetched from the object store")


def upload(grant: dict[str, Any], path: Path) -> str:
    """Store a file under a grant and return its version id.

    Raises:
        AgentFailure: class user when the file has changed since it was hashed, platform when the store does not answer.
    """

    def attempt() -> str:
        with open_regular(path, f"output {grant['name']!r}", "user") as file:
            return _store(grant, _unchanged(pieces_of(file), grant))

    return _repeat(attempt, f"output {grant['name']!r} could not be stored")


def check_content(what: str, found: tuple[str, int], wanted: dict[str, Any]) -> None:
    """Return when digest and size are those recorded; raises AgentFailure (data) that shows both digests."""
    if found != (wanted["digest"], wanted["size_bytes"]):
        raise AgentFailure(
            "data",
            f"{what} is not what was recorded: recorded {wanted['digest']} ({wanted['size_bytes']} bytes), found {found[0]} ({found[1]} bytes)",
            "Restore the recorded bytes, or register what is there as a new version and bind that",
        )


def _unchanged(pieces: Iterator[bytes], grant: dict[str, Any]) -> Iterator[bytes]:
    hashed, size = hashlib.sha256(), 0
    for piece in pieces:
        hashed.update(piece)
        size += len(piece)
        if size >= grant["size_bytes"] and f"sha256:{hashed.hexdigest()}" != grant["digest"]:
            break
        yield piece
    if (f"sha256:{hashed.hexdigest()}", size) != (grant["digest"], grant["size_bytes"]):
        raise AgentFailure(
            "user",
            f"output {grant['name']!r} changed while it was stored",
            "Let no process write after the command ends",
        )


def _connect(url: str) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.netloc, timeout=_TIMEOUT_S), f"{parts.path}?{parts.query}"


def _fetch(grant: dict[str, Any]) -> Iterator[bytes]:
    connection, target = _connect(grant["url"])
    try:
        connection.request("GET", target, headers=grant["headers"])
        response = connection.getresponse()
        _check_status(response)
        while piece := response.read(PIECE_BYTES):
            yield piece
    finally:
        connection.close()


def _store(grant: dict[str, Any], body: Iterator[bytes]) -> str:
    connection, target = _connect(grant["url"])
    try:
        headers = {**grant["headers"], "Content-Length": str(grant["size_bytes"])}
        connection.request("PUT", target, body=body, headers=headers)
        response = connection.getresponse()
        _check_status(response)
        return response.getheader("x-amz-version-id") or str(json.loads(response.read(1 << 16))["version_id"])
    finally:
        connection.close()


def _check_status(response: http.client.HTTPResponse) -> None:
    if response.status >= 500 or response.status == 429:
        raise _Again
    if response.status >= 300:
        raise AgentFailure(
            "platform",
            f"the object store refused the grant with status {response.status}",
            "Start a new try; grants expire",
        )


def _repeat(attempt: Callable[[], Result], what: str) -> Result:
    for number in range(1, _ATTEMPTS + 1):
        try:
            return attempt()
        except (_Again, OSError, http.client.HTTPException):
            if number == _ATTEMPTS:
                break
            time.sleep(min(5.0, 0.2 * 2.0**number) * (0.5 + random.random() / 2))
    raise AgentFailure("platform", what, "Check that the object store answers; a new try starts over")
