"""Counts how often user code has run, outside of everything that is tested: each execution calls a server of the test's own."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.support.server import free_ports

_CALL = """
import http.client, os, pathlib, sys, time
connection = http.client.HTTPConnection("{host}", {port}, timeout=20)
connection.request("POST", "/{name}")
assert connection.getresponse().status == 200
time.sleep({seconds})
pathlib.Path(os.environ["HOLDFAST_OUTPUTS"], "out.txt").write_text("{name}") if {writes} else None
"""


class Markers:
    """A server that counts calls by name.

    Args:
        host: the address at which user code reaches it.
    """

    def __init__(self, host: str) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        counts, lock = self._counts, self._lock

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with lock:
                    counts[self.path.removeprefix("/")] += 1
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self.host, self.port = host, free_ports(1)[0]
        self._server = ThreadingHTTPServer((host, self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, name: str) -> int:
        """Return how often the code of this name has run."""
        with self._lock:
            return self._counts[name.replace(" ", "-")]

    def command(self, name: str, seconds: float = 0, *, writes: bool = True) -> list[str]:
        """Return a command that counts itself, works for a while, and writes the output `out.txt`."""
        code = _CALL.format(host=self.host, port=self.port, name=name.replace(" ", "-"), seconds=seconds, writes=writes)
        return ["python", "-c", code]
