"""Stores that break exactly one rule of the honesty probe: an honest one, behind a proxy that lies for it about one kind of canary."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest

from tests.support.s3 import REGION, S3Server
from tests.support.server import free_ports

if TYPE_CHECKING:
    from email.message import Message

_LOCK = "x-amz-object-lock-"
_BYPASS = "x-amz-bypass-governance-retention"
_HOP = {"connection", "content-length", "host", "transfer-encoding"}
_SIGNED_AGAIN = {"authorization", "x-amz-content-sha256", "x-amz-date"}
_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass
class Call:
    """What a client asks for."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, str] = field(init=False)
    bucket: str = field(init=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        _, self.bucket, *key = unquote(parts.path).split("/", 2)
        self.key = "".join(key)

    @property
    def stores(self) -> bool:
        """Whether an object is stored whole."""
        return self.method == "PUT" and bool(self.key) and not self.query and "x-amz-copy-source" not in self.headers

    @property
    def deletes_version(self) -> bool:
        """Whether one version is deleted."""
        return self.method == "DELETE" and "versionId" in self.query

    def sets(self, *subresources: str) -> bool:
        """Whether one of these is set."""
        return self.method == "PUT" and not self.query.keys().isdisjoint(subresources)

    def gets(self, subresource: str) -> bool:
        """Whether this is asked for."""
        return self.method == "GET" and subresource in self.query


@dataclass
class Reply:
    """What is answered."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


class Liar:
    """An honest store's front, with one lie in it.

    Attributes:
        server: the honest store.
        lie: is asked first; None where it lets the store answer.
        memory: what a lie has to remember.
    """

    def __init__(self, server: S3Server, lie: Callable[[Liar, Call], Reply | None]) -> None:
        self.server, self.lie = server, lie
        self.memory: dict[str, Any] = {}

    def answer(self, call: Call) -> Reply:
        """Return the answer to a call."""
        return self.lie(self, call) or self.ask(call)

    def ask(self, call: Call) -> Reply:
        """Return the honest store's answer; what carries its grant in its URL goes as it came."""
        headers = {name: text for name, text in call.headers.items() if name not in _HOP - {"host"}}
        if "authorization" in call.headers:
            headers = {name: text for name, text in headers.items() if name not in _SIGNED_AGAIN | {"host"}}
            request = AWSRequest(call.method, f"{self.server.url}{call.path}", headers=headers, data=call.body)
            S3SigV4Auth(self.server.session().get_credentials(), "s3", REGION).add_auth(request)
            headers = dict(request.headers.items())
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=60)
        try:
            connection.request(call.method, call.path, call.body, headers)
            found = connection.getresponse()
            body = found.read()
            return Reply(found.status, [(n, t) for n, t in found.getheaders() if n.lower() not in _HOP], body)
        finally:
            connection.close()

    def remove(self, bucket: str, key: str, version_id: str) -> None:
        """Remove a version, whatever keeps it."""
        self.server.remove(bucket, key, version_id)


def _swallow(liar: Liar, call: Call) -> Reply:
    return Reply(200, [("x-amz-version-id", "swallowed"), ("ETag", '"0"')])


def _write(liar: Liar, call: Call) -> Reply | None:
    return _swallow(liar, call) if call.stores and call.key.endswith("/write") else None


def _delete(liar: Liar, call: Call) -> Reply | None:
    return Reply(204) if call.deletes_version and call.key.endswith("/delete") else None


def _lock_when_stored(liar: Liar, call: Call) -> Reply | None:
    if call.stores and "/stored-" in call.key:
        call.headers = {name: text for name, text in call.headers.items() if not name.startswith(_LOCK)}
    return None


def _forgets_locks_of(name: str) -> Callable[[Liar, Call], Reply | None]:
    """Return the lie of a store that sets no lock later and says that it has."""

    def lie(liar: Liar, call: Call) -> Reply | None:
        return Reply(200) if call.sets("legal-hold", "retention") and f"/{name}" in call.key else None

    return lie


def _deletes(name: str) -> Callable[[Liar, Call], Reply | None]:
    """Return the lie of a store that deletes what is locked."""

    def lie(liar: Liar, call: Call) -> Reply | None:
        if not call.deletes_version or not call.key.endswith(f"/{name}"):
            return None
        if call.query["versionId"] not in liar.memory:
            liar.remove(call.bucket, call.key, call.query["versionId"])
            liar.memory[call.query["versionId"]] = "removed"
        return Reply(204)

    return lie


def _governance(liar: Liar, call: Call) -> Reply | None:
    if call.deletes_version and call.key.endswith("/governance"):
        call.headers[_BYPASS] = "true"
    return None


def _bypass(liar: Liar, call: Call) -> Reply | None:
    if not call.deletes_version or not call.key.endswith("/bypass"):
        return None
    liar.ask(call)
    return Reply(403, body=b"<Error><Code>AccessDenied</Code></Error>")


def _shorten(liar: Liar, call: Call) -> Reply | None:
    if call.sets("retention") and call.key.endswith("/shorten"):
        liar.memory[call.key] = call.body
        return Reply(200)
    return Reply(200, body=liar.memory[call.key]) if call.gets("retention") and call.key in liar.memory else None


def _batch(liar: Liar, call: Call) -> Reply | None:
    if call.method != "POST" or "delete" not in call.query:
        return None
    named = [
        (one.findtext(f"{_S3}Key") or "", one.findtext(f"{_S3}VersionId") or "")
        for one in ET.fromstring(call.body).iter(f"{_S3}Object")
    ]
    for key, version_id in named:
        liar.remove(call.bucket, key, version_id)
    gone = "".join(f"<Deleted><Key>{key}</Key><VersionId>{v}</VersionId></Deleted>" for key, v in named)
    return Reply(200, body=f"<DeleteResult>{gone}</DeleteResult>".encode())


def _suspend(liar: Liar, call: Call) -> Reply | None:
    if call.sets("versioning"):
        liar.memory["suspended"] = b"Suspended" in call.body
        return Reply(200)
    return _suspended() if call.gets("versioning") and liar.memory.get("suspended") else None


def _suspended() -> Reply:
    return Reply(200, body=b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>")


def _delete_bucket(liar: Liar, call: Call) -> Reply | None:
    if call.method != "DELETE" or call.key or call.query:
        return None
    _empty(liar, call.bucket)
    return liar.ask(call)


def _lifecycle(liar: Liar, call: Call) -> Reply | None:
    if not call.sets("lifecycle"):
        return None
    reply = liar.ask(call)
    _empty(liar, call.bucket, "holdfast-probe/lifecycle/")
    return reply


def _empty(liar: Liar, bucket: str, prefix: str = "") -> None:
    found = liar.server.client().list_object_versions(Bucket=bucket, Prefix=prefix)
    for one in found.get("Versions", []) + found.get("DeleteMarkers", []):
        liar.remove(bucket, one["Key"], one["VersionId"])


def _configuration(liar: Liar, call: Call) -> Reply | None:
    return _suspended() if call.gets("versioning") else None


LIES: dict[str, Callable[[Liar, Call], Reply | None]] = {
    "configuration": _configuration,
    "write": _write,
    "delete": _delete,
    "lock when stored": _lock_when_stored,
    "lock later": _forgets_locks_of("later-"),
    "multipart upload": _forgets_locks_of("multipart"),
    "copy": _forgets_locks_of("copy"),
    "legal hold": _deletes("legal-hold"),
    "compliance": _deletes("compliance"),
    "governance": _governance,
    "governance bypass": _bypass,
    "shorten": _shorten,
    "overwrite": _deletes("overwrite"),
    "batch delete": _batch,
    "suspend versioning": _suspend,
    "delete bucket": _delete_bucket,
    "lifecycle": _lifecycle,
}
"""Each rule of the probe, and how it is broken and no other."""


def does_nothing(liar: Liar, call: Call) -> Reply | None:
    """Answer every change with yes, and make none."""
    return None if call.method in ("GET", "HEAD") else _swallow(liar, call)


@contextmanager
def lying(server: S3Server, lie: Callable[[Liar, Call], Reply | None]) -> Iterator[str]:
    """Yield the URL of a store that tells one lie; its credentials are those of the honest one."""
    liar = Liar(server, lie)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = liar.answer(Call(self.command, self.path, _lowered(self.headers), body))
            self.send_response_only(reply.status)
            for name, text in reply.headers:
                self.send_header(name, text)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    front = ThreadingHTTPServer(("127.0.0.1", free_ports(1)[0]), Handler)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{front.server_address[1]}"
    finally:
        front.shutdown()
        front.server_close()


def _lowered(headers: Message) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}
