"""A receiver of OpenTelemetry metrics on this machine, as a collector is one: OTLP over HTTP."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.support.server import free_ports

Point = tuple[str, tuple[tuple[str, str], ...]]


class Received:
    """What counters have reached, by their name and labels."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._latest: dict[tuple[str, Point], float] = {}
        self._lock = threading.Lock()

    def take(self, sender: str, body: bytes) -> None:
        """Keep what a process says that its counters have reached."""
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in metric.sum.data_points:
                    labels = tuple(sorted((label.key, label.value.string_value) for label in point.attributes))
                    with self._lock:
                        name = f"{sender} {point.start_time_unix_nano}"
                        self._latest[name, (metric.name, labels)] = point.as_double or point.as_int

    def counts(self) -> Counter[Point]:
        """Return the sums over all processes."""
        found: Counter[Point] = Counter()
        with self._lock:
            for (_, point), count in self._latest.items():
                found[point] += int(count)
        return found


@contextmanager
def collector() -> Iterator[Received]:
    """Receive metrics on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.take(self.client_address[0], body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", free_ports(1)[0]), Handler)
    received = Received(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
