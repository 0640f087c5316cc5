"""Bytes over HTTP under grants, streamed both ways, a few at a time, over connections that are kept.

What breaks off is tried again by itself, bounded, with jitter: a part, not its file; a download from the byte where it stopped.
"""

import hashlib
import http.client
import json
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Event, local
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from holdfast.dataplane.agent.failure import AgentFailure
from holdfast.dataplane.agent.files import PIECE_BYTES, open_regular, pieces_of

Result = TypeVar("Result")

LANES = 4
_ATTEMPTS = 4
_TIMEOUT_S = 60.0
_CODE = re.compile(rb"<Code>(\w{1,60})</Code>")
_OTHER_BYTES = "XAmzContentSHA256Mismatch"


class _Again(Exception):
    """The call may be repeated; says why."""


class Transfers:
    """Moves objects, a few at a time; leaving its context waits for all of them, or for the first that fails, and raises its AgentFailure.

    Attributes:
        versions: the version id of every file that was stored by one call, by its grant's name.
        digests: the digest of every object that was read for it alone, by its grant's name.
    """

    def __init__(self, lanes: int = LANES) -> None:
        self.versions: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(lanes)
        self._begun: list[Future[None]] = []
        self._kept = local()
        self._connections: list[http.client.HTTPConnection] = []
        self._is_over = Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                wait(self._begun)
        finally:
            self._is_over.set()
            self._threads.shutdown(cancel_futures=True)
            for connection in self._connections:
                connection.close()
        if kind is None and self._failure is not None:
            raise self._failure

    def download(self, grant: dict[str, Any], path: Path) -> None:
        """Write a granted object to a new file, checked by size and digest while it arrives.

        It fails with class data when the bytes are not those announced, platform when the store does not answer. No file is left then.
        """
        self._begin(lambda: self._download(grant, path))

    def digest(self, grant: dict[str, Any]) -> None:
        """Find out a granted object's digest while it arrives; none of it is kept.

        It fails with class data when it is gone or is not as long as announced, platform when the store does not answer.
        """
        self._begin(lambda: self._digest(grant))

    def upload(self, grant: dict[str, Any], path: Path) -> None:
        """Store a file by one call.

        It fails with class user when the file has changed since it was hashed, platform when the store does not answer or refuses.
        """

        def store() -> None:
            stored = self._store(grant, grant, path, 0, f"output {grant['name']!r}")
            self.versions[grant["name"]] = stored

        self._begin(store)

    def upload_parts(self, grant: dict[str, Any], path: Path) -> None:
        """Store a file part by part; it is not there before the service puts it together. Fails as `upload` does."""
        offset, count = 0, len(grant["parts"])
        for number, part in enumerate(grant["parts"], 1):
            what = f"output {grant['name']!r}, part {number} of {count},"
            self._begin(lambda part=part, offset=offset, what=what: self._store(grant, part, path, offset, what))  # type: ignore[misc]
            offset += part["size_bytes"]

    def _begin(self, work: Callable[[], object]) -> None:
        def run() -> None:
            if self._is_over.is_set():
                return
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                # What fails after it, fails because of it.
                self._failure = self._failure or error
                self._is_over.set()

        self._begun.append(self._threads.submit(run))

    def _download(self, grant: dict[str, Any], path: Path) -> None:
        try:
            with path.open("wb") as file:
                arriving = _Arriving(file, grant["size_bytes"])
                self._repeat(
                    lambda: self._fetch(grant, arriving), f"input {grant['name']!r} could not be fetched from the store"
                )
            check_content(f"input {grant['name']!r}", (f"sha256:{arriving.digest()}", arriving.size), grant)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _digest(self, grant: dict[str, Any]) -> None:
        arriving = _Arriving(_Nowhere(), grant["size_bytes"])
        what = f"{grant['name']!r} of the source"
        self._repeat(lambda: self._fetch(grant, arriving), f"{what} could not be fetched from the store")
        if arriving.size != grant["size_bytes"]:
            raise AgentFailure(
                "data",
                f"{what} has {arriving.size} bytes, and {grant['size_bytes']} were announced",
                "Find out whether the store is sound",
            )
        self.digests[grant["name"]] = f"sha256:{arriving.digest()}"

    def _fetch(self, grant: dict[str, Any], arriving: "_Arriving") -> None:
        headers = {**grant["headers"], **({"Range": f"bytes={arriving.size}-"} if arriving.size else {})}
        response = self._call("GET", grant, grant["url"], headers, None)
        if response.status == 200:
            arriving.start_over()
        if response.status != 416:  # the store ends where we stopped: then that is all there is
            while arriving.size <= grant["size_bytes"] and (piece := response.read(PIECE_BYTES)):
                arriving.write(piece)
        if not response.isclosed() or arriving.size < grant["size_bytes"]:
            self._drop()
        if arriving.has_stopped_anew():
            raise _Again(f"it broke off at byte {arriving.size}")

    def _store(self, grant: dict[str, Any], part: dict[str, Any], path: Path, offset: int, what: str) -> str:
        """Store the bytes of a file from an offset under the URL of a part, which may be the whole; return the version id, if any."""

        def attempt() -> str:
            with open_regular(path, f"output {grant['name']!r}", "user") as file:
                file.seek(offset)
                body = self._going(_unchanged(pieces_of(file, part["size_bytes"]), part, grant["name"]))
                headers = {**part["headers"], "Content-Length": str(part["size_bytes"])}
                response = self._call("PUT", grant, part["url"], headers, body)
            said = response.read()
            if version := response.getheader("x-amz-version-id"):
                return version
            return str(json.loads(said)["version_id"]) if part is grant else ""

        return self._repeat(attempt, f"{what} could not be stored")

    def _going(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self._is_over.is_set():
                raise _Again("another transfer has failed")
            yield piece

    def _call(
        self, method: str, grant: dict[str, Any], url: str, headers: dict[str, str], body: Iterator[bytes] | None
    ) -> http.client.HTTPResponse:
        """Return the reply to a call, its body unread; raises _Again or AgentFailure where the store refuses."""
        parts = urlsplit(url)
        connection = self._connection(parts.scheme, parts.netloc)
        try:
            # A store that refuses a call closes the connection while the body is under way; its reply can be there all the same.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=headers)
            response = connection.getresponse()
            if response.status >= 300 and response.status != 416:
                _refuse(response, response.read(1 << 16), grant)
        except BaseException:
            self._drop()
            raise
        return response

    def _connection(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        """Return this thread's connection, which is kept from call to call."""
        kept: tuple[tuple[str, str], http.client.HTTPConnection] | None = getattr(self._kept, "connection", None)
        if kept is None or kept[0] != (scheme, netloc):
            self._drop()
            kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            kept = ((scheme, netloc), kind(netloc, timeout=_TIMEOUT_S, blocksize=PIECE_BYTES))
            self._kept.connection = kept
            self._connections.append(kept[1])
        return kept[1]

    def _drop(self) -> None:
        if (kept := getattr(self._kept, "connection", None)) is not None:
            kept[1].close()  # the next call opens it again

    def _repeat(self, attempt: Callable[[], Result], what: str) -> Result:
        for number in range(1, _ATTEMPTS + 1):
            try:
                return attempt()
            except (_Again, OSError, http.client.HTTPException) as error:
                reason = str(error) if isinstance(error, _Again) else type(error).__name__
                if number == _ATTEMPTS or self._is_over.wait(min(5.0, 0.2 * 2.0**number) * (0.5 + random.random() / 2)):
                    break
        raise AgentFailure(
            "platform", f"{what} ({reason})", "Check that the object store answers; a new try starts over"
        )


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, piece: bytes) -> None: ...
    def seek(self, place: int) -> None: ...
    def truncate(self) -> None: ...


class _Arriving:
    """A file that is being written, with the digest of what it has so far."""

    def __init__(self, file: Any, wanted_bytes: int) -> None:
        self._file, self._wanted = file, wanted_bytes
        self._hash, self.size, self._stopped_at = hashlib.sha256(), 0, -1

    def write(self, piece: bytes) -> None:
        self._hash.update(piece)
        self.size += len(piece)
        self._file.write(piece)

    def start_over(self) -> None:
        if self.size:
            self._file.seek(0)
            self._file.truncate()
            self._hash, self.size = hashlib.sha256(), 0

    def has_stopped_anew(self) -> bool:
        """Return whether bytes are missing, and the last attempt did not stop at the same byte."""
        before, self._stopped_at = self._stopped_at, self.size
        return self.size < self._wanted and before != self.size

    def digest(self) -> str:
        return self._hash.hexdigest()


def check_content(what: str, found: tuple[str, int], wanted: dict[str, Any]) -> None:
    """Return when digest and size are those recorded; raises AgentFailure (data) that shows both digests."""
    if found != (wanted["digest"], wanted["size_bytes"]):
        raise AgentFailure(
            "data",
            f"{what} is not what was recorded: recorded {wanted['digest']} ({wanted['size_bytes']} bytes), found {found[0]} ({found[1]} bytes)",
            "Restore the recorded bytes, or register what is there as a new version and bind that",
        )


def _unchanged(pieces: Iterator[bytes], part: dict[str, Any], name: str) -> Iterator[bytes]:
    hashed, size = hashlib.sha256(), 0
    for piece in pieces:
        hashed.update(piece)
        size += len(piece)
        if size >= part["size_bytes"] and f"sha256:{hashed.hexdigest()}" != part["digest"]:
            break
        yield piece
    if (f"sha256:{hashed.hexdigest()}", size) != (part["digest"], part["size_bytes"]):
        raise AgentFailure(
            "user", f"output {name!r} changed while it was stored", "Let no process write after the command ends"
        )


def _refuse(response: http.client.HTTPResponse, said: bytes, grant: dict[str, Any]) -> None:
    """Raise what a status that is no success means; what the store said is repeated by its code only."""
    found = _CODE.search(said)
    code = found[1].decode() if found else ""
    why = f"status {response.status}{', ' if code else ''}{code}"
    # With other bytes than were sent: they have been hashed here while they went, so they changed on their way.
    if response.status >= 500 or response.status == 429 or code == _OTHER_BYTES:
        raise _Again(why)
    name = grant["name"]
    if response.status == 403 and _has_expired(grant, response.getheader("Date")):
        raise AgentFailure(
            "platform",
            f"the grant for {name!r} expired at {grant['expires_at']}, before all bytes were moved",
            "Start a new try; where files are this large, raise HOLDFAST_GRANT_LIFETIME_S",
        )
    if response.status == 404 and grant.get("method") == "GET":
        raise AgentFailure(
            "data",
            f"the bytes of {name!r} are gone: the store holds no such version ({why})",
            "Restore that version; of a source, register what is there now and bind that",
        )
    if code == "NoSuchUpload":
        raise AgentFailure("platform", f"the upload of {name!r} was given up ({why})", "Start a new try")
    raise AgentFailure(
        "platform", f"the object store refused the grant for {name!r} ({why})", "Start a new try; grants expire"
    )


def _has_expired(grant: dict[str, Any], date: str | None) -> bool:
    """Whether a grant is over by the store's own clock, as far as it says what time it has."""
    if date is None or "expires_at" not in grant:
        return False
    # A whole second at each end: the date is cut to seconds, and so is the lifetime in the signature.
    return parsedate_to_datetime(date).timestamp() + 2 >= datetime.fromisoformat(grant["expires_at"]).timestamp()
