"""Receivers of exported events: real servers on this machine, over real TLS, that behave as badly as they are told to."""

from __future__ import annotations

import hmac
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from holdfast.export.webhook import signature
from tests.support.tls import Authority

KEY = b"a key for the tests that is long enough for anybody"
Behaviour = Callable[[int], str]


def well(_: int) -> str:
    return "take"


@dataclass
class Receiver:
    """What a receiver was told to do, and what it has taken.

    Attributes:
        behave: says what is done with the n-th call or connection, from 0: `take`, `forget` (say that it was taken), `drop`, `slow`,
            `double`, `late` (kept behind the next one), or a status.
        taken: lines, as a receiver stores them.
    """

    behave: Behaviour = well
    taken: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    calls: int = 0
    url: str = ""
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    refused: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)

    def next(self) -> str:
        with self.lock:
            self.calls += 1
            number = self.calls - 1
        return self.behave(number)

    def take(self, how: str, lines: list[str]) -> None:
        with self.lock:
            if how == "late":
                self.held += lines
                return
            self.taken += lines * (2 if how == "double" else 1)
            self.taken += self.held
            self.held.clear()


class _Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        timestamp = self.headers["Holdfast-Timestamp"]
        if "Authorization" in self.headers:
            self.receiver.authorizations.append(self.headers["Authorization"])
        if not hmac.compare_digest(signature(KEY, timestamp, body), self.headers["Holdfast-Signature"]):
            self.receiver.refused.append("signature")
            self._answer(401)
            return
        assert abs(time.time() - int(timestamp)) < 300
        match self.receiver.next():
            case "drop":
                self.close_connection = True
                self.connection.close()
            case "forget":
                self._answer(200)
            case status if status.isdigit():
                self._answer(int(status))
            case how:
                if how == "slow":
                    time.sleep(0.2)
                self.receiver.take(how, [body.decode()])
                self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections are cut on purpose."""


@contextmanager
def webhook(
    authority: Authority | None, behave: Behaviour = well, *, name: str = "localhost", port: int = 0
) -> Iterator[Receiver]:
    """Yield a receiver of webhooks; plain HTTP where there is no authority."""
    receiver = Receiver(behave)
    handler = type("Handler", (_Webhook,), {"receiver": receiver})
    server = _Server(("127.0.0.1", port or free_port()), handler)
    if authority is not None:
        server.socket = authority.server_context(name).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    receiver.port = server.server_address[1]
    receiver.url = f"{'https' if authority else 'http'}://localhost:{receiver.port}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def records_in(bodies: list[str]) -> list[Any]:
    """Return the records of bodies."""
    return [record for body in bodies for record in json.loads(body)["records"]]


def _serve(
    authority: Authority, receiver: Receiver, handle: Callable[[ssl.SSLSocket, Receiver], None]
) -> Iterator[Receiver]:
    context, stop = authority.server_context(), threading.Event()
    listening = socket.create_server(("127.0.0.1", free_port()))
    listening.settimeout(0.02)
    receiver.port = listening.getsockname()[1]
    threads: list[threading.Thread] = []

    def one(plain: socket.socket) -> None:
        plain.settimeout(10)
        with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
            handle(connection, receiver)

    def accept() -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                thread = threading.Thread(target=one, args=(listening.accept()[0],), daemon=True)
                thread.start()
                threads.append(thread)

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield receiver
    finally:
        stop.set()
        accepting.join()
        listening.close()


@contextmanager
def syslog(authority: Authority, behave: Behaviour = well) -> Iterator[Receiver]:
    """Yield a receiver of RFC 5425; it reads frames until the sender ends the connection."""
    yield from _serve(authority, Receiver(behave), _octet_counted)


def _octet_counted(connection: ssl.SSLSocket, receiver: Receiver) -> None:
    how = receiver.next()
    lines: list[str] = []
    with connection.makefile("rb") as stream:
        while size := _number(stream):
            lines.append(stream.read(size).decode())
            if how == "drop" and len(lines) == 3:
                # As a program that is killed: what it has not read is answered with a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
                return
            if how == "early" and len(lines) == 3:
                # As one that is restarted: it says that it ends, while more is coming.
                with suppress(OSError):
                    connection.settimeout(0.05)
                    connection.unwrap()
                return
    if how != "forget":
        receiver.take(how, lines)
    with suppress(OSError):
        connection.unwrap()


def _number(stream: Any) -> int:
    digits = b""
    while (byte := stream.read(1)) != b" ":
        if not byte:
            return 0
        digits += byte
    return int(digits)


@contextmanager
def relp(authority: Authority, behave: Behaviour = well) -> Iterator[Receiver]:
    """Yield a receiver of RELP; what is done is said for each message."""
    yield from _serve(authority, Receiver(behave), _relp)


def _relp(connection: ssl.SSLSocket, receiver: Receiver) -> None:
    with connection.makefile("rb") as stream:
        while head := _word(stream):
            number, command, size = int(head), _word(stream), _word(stream)
            # Without data the size ends with the frame.
            data = stream.read(int(size)) if size != b"0" else b""
            if data:
                assert stream.read(1) == b"\n"
            answer = b"200 OK"
            if command == b"open":
                assert b"commands=syslog" in data
                answer += b"\nrelp_version=0\ncommands=syslog"
            elif command == b"syslog":
                how = receiver.next()
                if how == "drop":
                    return
                if how.isdigit():
                    answer = f"{how} no".encode()
                elif how != "forget":
                    receiver.take(how, [data.decode()])
            elif command == b"close":
                connection.sendall(b"%d rsp 0\n0 serverclose 0\n" % number)
                return
            connection.sendall(b"%d rsp %d %s\n" % (number, len(answer), answer))


def _word(stream: Any) -> bytes:
    word = b""
    while (byte := stream.read(1)) not in (b" ", b"\n", b""):
        word += byte
    return word


def free_port() -> int:
    """Return a port below the ones that the system gives away by itself."""
    for port in range(21000, 31000):
        candidate = 21000 + (port * 7919 + int(time.time_ns())) % 10000
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", candidate))
            return candidate
    raise RuntimeError("no port is free")
