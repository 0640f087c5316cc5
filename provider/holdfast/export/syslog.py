"""Syslog over TLS: RFC 5425, which acknowledges nothing, and RELP, which acknowledges each message.

Over plain TLS a batch has a connection of its own. It ends with our close_notify, and the batch counts as taken when the receiver ends the
connection in order after that: it has then read every byte before it. Whether it has stored them it does not say; what it has thrown away
it can tell by the gap, and get by a replay.
Source: RFC 5425 sections 4.3 and 4.4; RELP specification of rsyslog, version 0 of the protocol.
"""

import fcntl
import socket
import ssl
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

from holdfast.core.errors import Unavailable
from holdfast.export.rfc5424 import framed, message
from holdfast.export.sink import Batch

WINDOW = 128
"""Messages that a RELP receiver may not have acknowledged yet, so that neither side waits for a full buffer of the other's."""
_CHUNK_BYTES = 64 << 10
_LONGEST_ANSWER_BYTES = 64 << 10
_TCP_CLOSE = 7  # Linux, TCP_INFO: reset, or closed on both sides


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a syslog receiver is.

    Attributes:
        host: its name, which its certificate has to be for.
        port: where it listens.
        context: whom to believe, and what to show.
        sender: the name under which it knows us.
        timeout_s: for each step.
    """

    host: str
    port: int
    context: ssl.SSLContext
    sender: str
    timeout_s: float = 15

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def connect(self) -> ssl.SSLSocket:
        """Return a connection; raises OSError."""
        plain = socket.create_connection((self.host, self.port), self.timeout_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self.context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    def unavailable(self, error: Exception) -> Unavailable:
        """Return what a failure is to the exporter."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unavailable(f"{self}: its certificate is not trusted: {error.verify_message}")
        return Unavailable(f"{self} does not take messages ({type(error).__name__})")


class TlsSink:
    """Implements `sink.Sink` over TLS with a length before each message."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def deliver(self, batch: Batch) -> int:
        """Return the index behind the last event, once the receiver has read all of them; raises Unavailable."""
        try:
            with closing(self._receiver.connect()) as connection:
                for chunk in _chunks(framed(each) for each in _messages(batch, self._receiver.sender)):
                    connection.sendall(chunk)
                _check_open(connection)
                _end(connection)
        except OSError as error:
            raise self._receiver.unavailable(error) from None
        return batch.last + 1

    def close(self) -> None:
        """Do nothing: each batch has a connection of its own."""


class RelpSink:
    """Implements `sink.Sink` by RELP over TLS; the connection stays."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._session: _RelpSession | None = None

    def deliver(self, batch: Batch) -> int:
        """Return the index behind the last event, once the receiver has acknowledged each of them; raises Unavailable."""
        try:
            if self._session is None:
                self._session = _RelpSession(self._receiver.connect())
            self._session.send(_messages(batch, self._receiver.sender))
        except OSError as error:
            if self._session is not None:
                self._session.break_off()
                self._session = None
            raise self._receiver.unavailable(error) from None
        return batch.last + 1

    def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            session.close()


class _RelpSession:
    """One RELP session: commands under ascending numbers, and the answers to them."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection, self._number, self._open = connection, 0, 0
        self._buffer = b""
        try:
            connection.sendall(self._command(b"open", b"relp_version=0\nrelp_software=holdfast\ncommands=syslog"))
            while self._open:
                self._answer()
        except BaseException:
            connection.close()
            raise

    def send(self, messages: Iterator[bytes]) -> None:
        """Return when each message is acknowledged; raises OSError."""
        pending: list[bytes] = []
        for each in messages:
            pending.append(self._command(b"syslog", each))
            if len(pending) >= WINDOW // 2:
                self._connection.sendall(b"".join(pending))
                pending.clear()
                while self._open > WINDOW // 2:
                    self._answer()
        self._connection.sendall(b"".join(pending))
        while self._open:
            self._answer()

    def close(self) -> None:
        """End it in order where that can be."""
        with suppress(OSError), closing(self._connection):
            self._connection.sendall(self._command(b"close", b""))
            while self._open:
                self._answer()

    def break_off(self) -> None:
        """End it as it is: nobody knows what the receiver waits for."""
        self._connection.close()

    def _command(self, name: bytes, data: bytes) -> bytes:
        # After the highest number the protocol begins again with 1.
        self._number = self._number % 999_999_999 + 1
        self._open += 1
        return b"%d %s %d%s\n" % (self._number, name, len(data), b" " + data if data else b"")

    def _answer(self) -> None:
        """Take the next answer; the receiver gives them in any order, and each is to one command."""
        _, command, data = self._frame()
        if command == b"serverclose":
            raise ConnectionAbortedError("the receiver ends the session")
        if command != b"rsp":
            raise ConnectionAbortedError("the receiver does not speak RELP")
        self._open -= 1
        # A close is answered without a status.
        if data and not data.startswith(b"200"):
            raise ConnectionAbortedError("the receiver answers with an error")

    def _frame(self) -> tuple[bytes, bytes, bytes]:
        head = self._until_space(), self._until_space()
        size = b""
        while (byte := self._take(1)) not in (b" ", b"\n"):
            size += byte
            if len(size) > 9 or not byte.isdigit():
                raise ConnectionAbortedError("the receiver does not speak RELP")
        data = b""
        if byte == b" ":
            if int(size or b"0") > _LONGEST_ANSWER_BYTES:
                raise ConnectionAbortedError("the receiver's answer is too long")
            data = self._take(int(size or b"0"))
            if self._take(1) != b"\n":
                raise ConnectionAbortedError("the receiver does not speak RELP")
        return head[0], head[1], data

    def _until_space(self) -> bytes:
        word = b""
        while (byte := self._take(1)) != b" ":
            word += byte
            if len(word) > 32:
                raise ConnectionAbortedError("the receiver does not speak RELP")
        return word

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            received = self._connection.recv(_CHUNK_BYTES)
            if not received:
                raise ConnectionAbortedError("the receiver has ended the connection")
            self._buffer += received
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found


def _messages(batch: Batch, sender: str) -> Iterator[bytes]:
    for record, line in zip(batch.records, batch.lines, strict=True):
        yield message(record, line, sender)


def _chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces put together, so that TLS does not make a record of each."""
    held, size = [], 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _check_open(connection: ssl.SSLSocket) -> None:
    """Return where the receiver has not ended the connection before we do; raises OSError where it has."""
    timeout = connection.gettimeout()
    connection.settimeout(0)
    try:
        while connection.recv(_CHUNK_BYTES):
            pass  # nothing that it says means anything
    except ssl.SSLWantReadError:
        connection.settimeout(timeout)
        return
    raise ConnectionAbortedError("the receiver has ended the connection")


def _end(connection: ssl.SSLSocket) -> None:
    """Return when the receiver has ended the connection in order, having read all of it; raises OSError where it has broken off."""
    try:
        # Sends our close_notify and waits for the other.
        connection.unwrap()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        pass  # it closed without one, as many do
    except OSError as error:
        if error.errno != 0:
            raise
    # Its end may have been under way before our last bytes came. To those its kernel then answers with a reset, and it never confirms
    # them; nor does one that closes over bytes which its program has not read.
    deadline = time.monotonic() + (connection.gettimeout() or 0)
    while True:
        if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE:
            raise ConnectionResetError("the receiver has ended the connection before it had everything")
        if not int.from_bytes(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder):
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the receiver does not confirm what was sent")
        time.sleep(0.001)
