"""The benchmark of the life cycle, on a handful of cycles: it goes through both servers and reports what it promises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from benchmarks.lifecycle.journey import CALLS, STEPS
from benchmarks.lifecycle.measure import quantile
from benchmarks.lifecycle.wire import Connection
from benchmarks.spread import spread

from tests.support.benchmark import report_of
from tests.support.server import free_socket


def test_the_benchmark_goes_through_both_servers_and_reports_the_ratios(here: Path, tmp_path: Path) -> None:
    plot = tmp_path / "lifecycle.svg"
    brief = ["--clients", "1", "3", "--rounds", "2", "--seconds", "0.1", "--warm-up", "0.1"]
    report = report_of(here, "lifecycle", *brief, "--plot", str(plot))
    assert [entry["clients"] for entry in report["results"]] == [1, 3]
    for entry in report["results"]:
        for ratio in (entry["ratio"], entry["ratio_without_storing"]):
            assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
        for server in ("holdfast", "floor"):
            found = entry[server]
            assert found["cycles"] >= 2 * entry["clients"]
            assert found["requests_per_s"]["median"] == pytest.approx(found["cycles_per_s"]["median"] * CALLS, rel=0.01)
            assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p95"] <= found["latency_ms"]["p99"]
            assert list(found["step_ms_p50"]) == list(STEPS)
            assert found["cpu_ms_per_cycle"]["service"] > 0
    for used in report["memory_mb"].values():
        assert 0 < used["now"] <= used["most"]
    assert plot.read_text().count("<svg") == 1


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"why not" if self.path == "/refused" else b"x" * 100_000
        self.send_response(409 if self.path == "/refused" else 200)
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(body) + (self.path == "/cut")))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def connection() -> Iterator[Connection]:
    listening = free_socket()
    with HTTPServer(listening.getsockname(), _Answers, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listening
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made = Connection(listening.getsockname()[1])
        yield made
        made.close()
        server.shutdown()
        thread.join()


def test_the_load_generator_reads_a_reply_that_comes_in_pieces(connection: Connection) -> None:
    assert connection.call(b"GET", b"/long", b"") == b"x" * 100_000


@pytest.mark.parametrize(("path", "said"), [(b"/refused", "409 why not"), (b"/cut", "closed"), (b"/endless", "length")])
def test_a_call_that_does_not_succeed_ends_the_measurement(connection: Connection, path: bytes, said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        connection.call(b"GET", path, b"")


def test_a_quantile_is_the_least_value_that_so_many_percent_do_not_exceed() -> None:
    hundred = [float(value) for value in range(1, 101)]
    assert [quantile(hundred, share) for share in (50, 95, 99)] == [50, 95, 99]
    assert quantile([7.0], 99) == 7
    assert spread([3, 1, 2]) == {"min": 1, "median": 2, "max": 3}
