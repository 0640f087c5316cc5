"""The file system store against what disks, clients and intruders do to it."""

from __future__ import annotations

import hashlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from holdfast.core.digest import of
from holdfast.core.errors import (
    IntegrityViolation,
    InvalidRequest,
    NotFound,
    PolicyViolation,
    Unavailable,
)
from holdfast.objects.filesystem import FilesystemStore
from holdfast.settings import Platform
from tests.support.server import serve

KEY = "project/run/model"
BODY = b"the bytes of a model"
SPARSE_BYTES = 5 << 30
FLAT_BYTES = 64 << 20


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path / "objects", b"k" * 32, "http://127.0.0.1:1/v1")


def write(store: FilesystemStore, body: bytes = BODY, key: str = KEY) -> Path:
    store.write(key, [body], of(body), len(body))
    return store._path(key, of(body).hex())


def read(store: FilesystemStore, body: bytes = BODY, key: str = KEY) -> bytes:
    return b"".join(store.read(key, of(body).hex(), of(body)))


@pytest.mark.parametrize("body", [b"", b"x", BODY, b"x" * (1 << 20), b"x" * ((1 << 20) + 1)])
def test_what_is_stored_is_what_is_read(body: bytes, store: FilesystemStore) -> None:
    write(store, body)
    assert store.stat(KEY, of(body).hex()).size_bytes == len(body)
    assert read(store, body) == body


@pytest.mark.parametrize("body", [BODY, b"x" * (3 << 20)])
def test_tampered_bytes_are_found_and_not_given_out_whole(body: bytes, store: FilesystemStore) -> None:
    path = write(store, body)
    path.chmod(0o600)
    path.write_bytes(b"!" + body[1:])
    got: list[bytes] = []
    with pytest.raises(IntegrityViolation):
        got.extend(store.read(KEY, of(body).hex(), of(body)))
    assert sum(map(len, got)) < len(body)


@pytest.mark.parametrize("target", ["/etc/hostname", "/dev/zero", "beside"])
def test_a_link_in_the_place_of_a_version_is_not_followed(target: str, store: FilesystemStore, tmp_path: Path) -> None:
    path = write(store)
    (path.parent / "beside").write_bytes(BODY)
    path.unlink()
    path.symlink_to(target)
    for look in (lambda: store.stat(KEY, of(BODY).hex()), lambda: read(store)):
        with pytest.raises(IntegrityViolation, match="not a regular file"):
            look()


def test_a_pipe_in_the_place_of_a_version_does_not_hang_the_service(store: FilesystemStore) -> None:
    path = write(store)
    path.unlink()
    os.mkfifo(path)
    for look in (lambda: store.stat(KEY, of(BODY).hex()), lambda: read(store)):
        with pytest.raises(IntegrityViolation, match="not a regular file"):
            look()


@pytest.mark.parametrize("part", ["x" * 255, "\u00e9" * 128])
def test_a_name_that_the_disk_cannot_hold_is_the_callers_to_change(part: str, store: FilesystemStore) -> None:
    key = f"project/run/{part}"
    expires = datetime.now(UTC) + timedelta(minutes=1)
    with pytest.raises(InvalidRequest, match="too long"):
        store.grant("PUT", key, version_id=None, digest=of(BODY), size_bytes=len(BODY), expires_at=expires)
    with pytest.raises(InvalidRequest, match="too long"):
        write(store, key=key)


def test_a_directory_in_the_place_of_a_version_is_said_so(store: FilesystemStore) -> None:
    path = write(store)
    path.unlink()
    path.mkdir()
    with pytest.raises(IntegrityViolation, match="not a regular file"):
        store.stat(KEY, of(BODY).hex())


def test_a_directory_without_permission_is_unavailable(store: FilesystemStore) -> None:
    write(store)
    store._root.chmod(0)
    calls = (lambda: write(store, key="other/run/model"), lambda: read(store), lambda: store.stat(KEY, of(BODY).hex()))
    assert _as_another_user(calls) == ["Unavailable"] * 3
    store._root.chmod(0o700)


def _as_another_user(calls) -> list[str]:
    """Return the names of the errors of calls made by a process without root's rights."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        for call in calls:
            try:
                call()
                os.write(writing, b"done ")
            except BaseException as error:  # noqa: BLE001 - whatever it is, its name is the answer
                os.write(writing, type(error).__name__.encode() + b" ")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        names = answers.read().split()
    os.waitpid(child, 0)
    return names


def test_another_file_in_the_place_of_a_version_is_not_taken_for_it(store: FilesystemStore) -> None:
    path = write(store)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(IntegrityViolation, match="another file"):
        write(store)


def test_a_full_disk_is_unavailable_and_leaves_nothing(store: FilesystemStore) -> None:
    write(store)
    big = b"x" * (4 << 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(Unavailable):
            write(store, big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in store._path(KEY, of(BODY).hex()).parent.iterdir()] == [of(BODY).hex()]


def test_what_a_crash_left_is_no_version(store: FilesystemStore) -> None:
    path = write(store)
    (path.parent / ".0123456789abcdef").write_bytes(BODY[:3])
    assert read(store) == BODY
    with pytest.raises(InvalidRequest):
        store.stat(KEY, ".0123456789abcdef")
    with pytest.raises(NotFound):
        store.stat(KEY, "0" * 64)


@pytest.mark.parametrize(("shift_s", "is_good"), [(-1, True), (-0.001, True), (0, False), (1, False)])
def test_a_grant_ends_at_its_second(shift_s: float, is_good: bool, store: FilesystemStore) -> None:
    expires = datetime(2026, 11, 2, 9, 0, 0, tzinfo=UTC)
    signed = store.grant("GET", KEY, version_id=None, digest=of(BODY), size_bytes=len(BODY), expires_at=expires)
    query = dict(httpx.URL(signed.url).params)
    now = expires + timedelta(seconds=shift_s)
    if is_good:
        assert store.check_grant("GET", KEY, query, now).digest == of(BODY)
    else:
        with pytest.raises(PolicyViolation, match="expired"):
            store.check_grant("GET", KEY, query, now)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "00"},
        {"digest": "zz"},
        {"size": "x"},
        {"size": "9" * 5000},
        {"size": "-1"},
        {"expires": "9" * 400},
        {"grant_token": ""},
        {"grant_token": "\u00e9"},
    ],
)
def test_a_grant_that_was_changed_is_refused(change: dict[str, str], store: FilesystemStore) -> None:
    expires = datetime.now(UTC) + timedelta(minutes=1)
    signed = store.grant("GET", KEY, version_id=None, digest=of(BODY), size_bytes=len(BODY), expires_at=expires)
    with pytest.raises(PolicyViolation):
        store.check_grant("GET", KEY, dict(httpx.URL(signed.url).params) | change, datetime.now(UTC))


@pytest.fixture
def api(platform: Platform) -> Iterator[str]:
    with serve(platform) as url:
        platform.objects._api_url = url
        yield url


def grant(platform: Platform, body_digest: bytes, size: int, key: str = KEY, method: str = "PUT") -> str:
    expires = datetime.now(UTC) + timedelta(minutes=10)
    signed = platform.objects.grant(
        method, key, version_id=None, digest=body_digest, size_bytes=size, expires_at=expires
    )
    return signed.url


def test_an_upload_that_breaks_off_leaves_nothing(
    api: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    body = b"x" * (9 << 20)
    url = urlsplit(grant(platform, of(body), len(body), "broken/run/model"))
    directory = platform.objects._path("broken/run/model", "0" * 64).parent
    with socket.create_connection((url.hostname, url.port)) as connection:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[: 6 << 20])
        _wait(lambda: directory.is_dir() and any(directory.iterdir()))
    _wait(lambda: not any(directory.iterdir()))
    assert not [record for record in caplog.records if "unexpected error" in record.message]
    assert httpx.get(f"{api}/health").status_code == 200


def _wait(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_an_empty_object_goes_up_and_comes_down(api: str, platform: Platform) -> None:
    assert httpx.put(grant(platform, of(b""), 0), content=b"").status_code == 201
    reply = httpx.get(grant(platform, of(b""), 0, method="GET"))
    assert (reply.status_code, reply.content) == (200, b"")


def test_tampered_bytes_break_the_download(api: str, platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    body = b"y" * (3 << 20)
    assert httpx.put(grant(platform, of(body), len(body)), content=body).status_code == 201
    path = platform.objects._path(KEY, of(body).hex())
    path.chmod(0o600)
    path.write_bytes(body[:-1] + b"!")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(grant(platform, of(body), len(body), method="GET"))
    said = [record for record in caplog.records if "integrity violation" in record.message]
    assert (len(said), [record for record in caplog.records if record.exc_info]) == (1, [])
    path.write_bytes(body[:-1])
    assert httpx.get(grant(platform, of(body), len(body), method="GET")).status_code == 500
    # One that goes in a single piece is refused before anything is sent.
    small = b"small"
    assert httpx.put(grant(platform, of(small), len(small)), content=small).status_code == 201
    path = platform.objects._path(KEY, of(small).hex())
    path.chmod(0o600)
    path.write_bytes(b"smell")
    refused = httpx.get(grant(platform, of(small), len(small), method="GET"))
    assert (refused.status_code, refused.json()["title"]) == (500, "integrity violation")


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


def upload_with_flat_memory(platform: Platform, platform_env: dict[str, str], tmp_path: Path, size: int) -> None:
    """Send zeros through a server process of its own, and look at the most memory that it ever had."""
    from tests.support.server import free_socket

    listening = free_socket()
    port, descriptor = listening.getsockname()[1], listening.fileno()
    url = f"http://127.0.0.1:{port}/holdfast/api/v1"
    program = "import uvicorn; from holdfast_plugins.app import standalone; "
    program += f"uvicorn.run(standalone(), fd={descriptor}, log_level='warning')"
    server = subprocess.Popen(
        [sys.executable, "-c", program],
        pass_fds=[descriptor],
        env={**platform_env, "HOLDFAST_API_URL": url, "PATH": os.environ["PATH"]},
    )
    try:
        _wait(lambda: _answers(url))
        for _ in range(3):
            assert httpx.put(_at(platform, url, b"warm", of(b"warm"), 4), content=b"warm").status_code == 201
        before = _peak_kib(server.pid)
        zeros, hashed = bytes(1 << 20), hashlib.sha256()
        for _ in range(size >> 20):
            hashed.update(zeros)
        target = _at(platform, url, b"big", hashed.digest(), size)
        reply = httpx.put(
            target,
            content=(zeros for _ in range(size >> 20)),
            headers={"Content-Length": str(size)},
            timeout=600,
        )
        assert reply.status_code == 201, reply.text
        assert (_peak_kib(server.pid) - before) << 10 < FLAT_BYTES
        received = 0
        with httpx.stream("GET", _at(platform, url, b"big", hashed.digest(), size, "GET"), timeout=600) as down:
            for piece in down.iter_raw():
                received += len(piece)
        assert received == size
        assert (_peak_kib(server.pid) - before) << 10 < FLAT_BYTES
        platform.objects._path("big/run/model", hashed.hexdigest()).unlink()
    finally:
        server.terminate()
        server.wait(30)
        listening.close()


def _at(platform: Platform, url: str, name: bytes, digest: bytes, size: int, method: str = "PUT") -> str:
    platform.objects._api_url = url
    return grant(platform, digest, size, f"{name.decode()}/run/model", method)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_large_object_streams_through_flat_memory(
    platform: Platform, platform_env: dict[str, str], tmp_path: Path
) -> None:
    upload_with_flat_memory(platform, platform_env, tmp_path, 256 << 20)


@pytest.mark.soak
def test_an_object_of_five_gibibytes_streams_through_flat_memory(
    platform: Platform, platform_env: dict[str, str], tmp_path: Path
) -> None:
    upload_with_flat_memory(platform, platform_env, tmp_path, SPARSE_BYTES)
