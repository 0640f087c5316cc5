"""A wire to PostgreSQL that breaks when COMMIT is sent: before the server has seen it, or when only the answer is missing."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = b"COMMIT\x00"  # with its end: a BEGIN may say READ COMMITTED


class Wire:
    """Forwards between clients of a socket directory and the server of another; breaks once it is armed."""

    def __init__(self, directory: Path, server: Path) -> None:
        self.armed = ""
        self.broken = 0
        self._server = str(server / ".s.PGSQL.5432")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / ".s.PGSQL.5432"))
        self._listening.listen(64)

    def serve(self) -> None:
        """Accept until the socket is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server)
            back = threading.Thread(target=self._back, args=(server, client), daemon=True)
            back.start()
            with suppress(OSError):
                while piece := client.recv(65536):
                    if self.armed and COMMIT in piece:
                        how, self.armed = self.armed, ""
                        self.broken += 1
                        if how == "answer":
                            server.sendall(piece)
                        break
                    server.sendall(piece)
            # The server reads to the end of what was sent, the COMMIT included, before it closes its own end.
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            back.join(10)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(65536):
                if not self.broken:
                    client.sendall(piece)


@contextmanager
def wire(directory: Path, server: Path) -> Iterator[Wire]:
    """Yield a wire whose socket is in the first directory and whose server's is in the second."""
    made = Wire(directory, server)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    yield made
    made.close()
    thread.join(10)
