"""The agent's transfers against a store that breaks off, refuses and forgets: what is repeated, from where, and what is said."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from holdfast.dataplane.agent import transfer
from holdfast.dataplane.agent.failure import AgentFailure
from holdfast.dataplane.agent.transfer import LANES, Transfers
from tests.support.server import free_ports

MIB = 1 << 20
BODY = b"".join(bytes([n]) * MIB for n in range(3)) + b"!"


class Fickle(BaseHTTPRequestHandler):
    """A store with faults to order.

    Attributes:
        cuts: after how many bytes each of the next replies breaks off.
        refusals: (status, body) of the next calls by path.
        knows_ranges: whether it gives a part of an object.
    """

    protocol_version = "HTTP/1.1"
    cuts: list[int]
    refusals: dict[str, list[tuple[int, bytes]]]
    calls: list[tuple[str, str | None]]
    peers: set[Any]
    stored: dict[str, bytes]
    knows_ranges = True

    def do_GET(self) -> None:
        self._note(self.headers["Range"])
        if self._refused():
            return
        start = int(self.headers["Range"][6:-1]) if self.headers["Range"] and self.knows_ranges else 0
        if start >= len(BODY):
            self._say(416, b"")
            return
        body = BODY[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        self.wfile.write(body if cut is None else body[: max(0, cut - start)])
        self.close_connection = cut is not None

    def do_PUT(self) -> None:
        self._note(None)
        if self._refused():
            return
        self.stored[self.path.partition("?")[0]] = self.rfile.read(int(self.headers["Content-Length"]))
        self._say(200, b"", **{"x-amz-version-id": "v1"})

    def _note(self, asked: str | None) -> None:
        self.calls.append((self.path.partition("?")[0], asked))
        self.peers.add(self.client_address)

    def _refused(self) -> bool:
        """Refuse a call without reading its body, as servers do."""
        if waiting := self.refusals.get(self.path.partition("?")[0]):
            status, body = waiting.pop(0)
            self._say(status, body)
            self.close_connection = True
            return True
        return False

    def _say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Fickle]]]:
    monkeypatch.setattr(transfer.random, "random", lambda: -0.98)  # the waits are a hundredth of what they are
    fresh: dict[str, Any] = {"cuts": [], "refusals": {}, "calls": [], "peers": set(), "stored": {}}
    handler = type("Fickle", (Fickle,), fresh)
    (port,) = free_ports(1)
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{port}", handler
    server.shutdown()
    server.server_close()


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def grant_of(url: str, name: str, content: bytes, method: str = "PUT") -> dict[str, Any]:
    return {
        "name": name,
        "method": method,
        "url": f"{url}/{name}?signature=canary",
        "headers": {},
        "digest": digest_of(content),
        "size_bytes": len(content),
        "expires_at": "2100-01-01T00:00:00Z",
    }


def parted(url: str, sizes: list[int]) -> dict[str, Any]:
    """Return a grant for BODY in parts."""
    parts, offset = [], 0
    for number, size in enumerate(sizes, 1):
        piece = BODY[offset : offset + size]
        parts.append({**grant_of(url, f"part{number}", piece), "name": "ignored"})
        offset += size
    return {**grant_of(url, "model", BODY), "parts": parts}


def fetched(url: str, path: Path) -> bytes:
    with Transfers() as transfers:
        transfers.download(grant_of(url, "model", BODY, "GET"), path)
    return path.read_bytes()


def failed(url: str, path: Path) -> tuple[str, str]:
    with pytest.raises(AgentFailure) as failure:
        fetched(url, path)
    assert not path.exists()
    assert "canary" not in f"{failure.value.message} {failure.value.remedy}"
    return failure.value.error_class, failure.value.message


def test_a_download_that_breaks_off_goes_on_where_it_stopped(store, tmp_path: Path) -> None:
    url, fickle = store
    fickle.cuts += [MIB + 5, 2 * MIB + 7]
    assert fetched(url, tmp_path / "model") == BODY
    assert [asked for _, asked in fickle.calls] == [None, f"bytes={MIB + 5}-", f"bytes={2 * MIB + 7}-"]


def test_a_store_without_ranges_is_read_from_the_start(store, tmp_path: Path) -> None:
    url, fickle = store
    fickle.knows_ranges = False
    fickle.cuts += [MIB + 5]
    assert fetched(url, tmp_path / "model") == BODY


def test_a_store_that_stops_at_the_same_byte_twice_has_other_bytes(store, tmp_path: Path) -> None:
    url, fickle = store
    fickle.cuts += [MIB, MIB]
    kind, message = failed(url, tmp_path / "model")
    assert (kind, "not what was recorded" in message, f"found {digest_of(BODY[:MIB])}" in message) == (
        "data",
        True,
        True,
    )


def test_a_store_that_holds_fewer_bytes_than_were_recorded_is_found_out(store, tmp_path: Path) -> None:
    longer = grant_of(store[0], "model", BODY + b"and more", "GET")
    with pytest.raises(AgentFailure, match="not what was recorded"), Transfers() as transfers:
        transfers.download(longer, tmp_path / "model")


def test_an_object_that_is_gone_is_the_datas_fault(store, tmp_path: Path) -> None:
    url, fickle = store
    fickle.refusals["/model"] = [(404, b"<Error><Code>NoSuchVersion</Code></Error>")]
    kind, message = failed(url, tmp_path / "model")
    assert (kind, "are gone" in message, "NoSuchVersion" in message) == ("data", True, True)


def test_a_part_that_fails_is_repeated_alone(store, tmp_path: Path) -> None:
    url, fickle = store
    (tmp_path / "model").write_bytes(BODY)
    fickle.refusals["/part2"] = [
        (503, b""),
        (400, b"<Error><Code>XAmzContentSHA256Mismatch</Code></Error>"),
    ]
    with Transfers() as transfers:
        transfers.upload_parts(parted(url, [MIB, MIB, MIB + 1]), tmp_path / "model")
    assert [path for path, _ in sorted(fickle.calls)] == ["/part1", "/part2", "/part2", "/part2", "/part3"]
    assert b"".join(fickle.stored[f"/part{number}"] for number in (1, 2, 3)) == BODY


def test_a_part_that_fails_for_good_is_named_with_the_reason(store, tmp_path: Path) -> None:
    url, fickle = store
    (tmp_path / "model").write_bytes(BODY)
    fickle.refusals["/part2"] = [(503, b"<Error><Code>SlowDown</Code></Error>")] * 4
    with pytest.raises(AgentFailure) as failure, Transfers() as transfers:
        transfers.upload_parts(parted(url, [MIB, MIB, MIB + 1]), tmp_path / "model")
    assert failure.value.error_class == "platform"
    assert "output 'model', part 2 of 3, could not be stored (status 503, SlowDown)" in failure.value.message


@pytest.mark.parametrize(("code", "said"), [("AccessDenied", "refused the grant"), ("NoSuchUpload", "was given up")])
def test_a_refusal_while_the_body_is_under_way_is_heard(code: str, said: str, store, tmp_path: Path) -> None:
    url, fickle = store
    (tmp_path / "model").write_bytes(BODY)
    # A connection that is closed under a body may take the reply with it; one of the attempts gets through.
    fickle.refusals["/model"] = [(403, f"<Error><Code>{code}</Code></Error>".encode())] * 4
    with pytest.raises(AgentFailure) as failure, Transfers() as transfers:
        transfers.upload(grant_of(url, "model", BODY), tmp_path / "model")
    assert (failure.value.error_class, said in failure.value.message) == ("platform", True), failure.value.message


def test_many_files_go_over_few_connections(store, tmp_path: Path) -> None:
    url, fickle = store
    with Transfers() as transfers:
        for number in range(100):
            (tmp_path / f"f{number}").write_bytes(b"x" * number)
            transfers.upload(grant_of(url, f"f{number}", b"x" * number), tmp_path / f"f{number}")
    assert len(transfers.versions) == len(fickle.stored) == 100
    assert len(fickle.peers) <= LANES


def test_a_file_that_fails_ends_the_others(store, tmp_path: Path) -> None:
    url, fickle = store

    def move() -> None:
        with Transfers() as transfers:
            for number in range(1000):
                (tmp_path / f"f{number}").write_bytes(b"now")
                was = b"was" if number == 0 else b"now"
                transfers.upload(grant_of(url, f"f{number}", was), tmp_path / f"f{number}")

    with pytest.raises(AgentFailure, match="changed while it was stored"):
        move()
    assert len(fickle.stored) < 1000
