"""A connection that speaks just enough HTTP/1.1, because a load generator on the same two cores must cost next to nothing."""

import re
import socket

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"


class Connection:
    """One kept-alive connection to a server on the loopback interface; its calls carry what `headers` says."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def call(self, method: bytes, path: bytes, headers: bytes, body: bytes = b"") -> bytes:
        """Make one call and return the reply's body; raises RuntimeError where the status is not 2xx.

        Args:
            method: GET, POST or PUT.
            path: path and query.
            headers: whole lines, each ended by CR LF.
            body: what is sent.
        """
        head = b"%b %b HTTP/1.1\r\nhost: 127.0.0.1\r\n%bcontent-length: %d\r\n\r\n" % (method, path, headers, len(body))
        self._socket.sendall(head + body)
        reply = self._socket.recv(65536)
        while (end := reply.find(_END_OF_HEAD)) < 0:
            reply += self._more()
        length = _LENGTH.search(reply, 0, end)
        if length is None:
            raise RuntimeError(f"{method.decode()} {path.decode()} was answered without a length")
        whole = end + len(_END_OF_HEAD) + int(length[1])
        while len(reply) < whole:
            reply += self._more()
        content = reply[end + len(_END_OF_HEAD) : whole]
        if reply[9:10] != b"2":
            raise RuntimeError(f"{method.decode()} {path.decode()}: {reply[9:12].decode()} {content.decode()}")
        return content

    def _more(self) -> bytes:
        piece = self._socket.recv(65536)
        if not piece:
            raise RuntimeError("the server closed the connection in the middle of a reply")
        return piece
