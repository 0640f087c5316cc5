"""`python -m benchmarks.export`: see ../README.md."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text
from tests.support.export import ExportPlace
from tests.support.postgres import throw_away_server
from tests.support.tls import Authority

from benchmarks.spread import spread
from holdfast.export.config import AnySinkSettings
from holdfast.export.exporter import IDLE
from holdfast.export.trust import client_context
from holdfast.store import migrate
from holdfast.store.engine import open_engine

BATCH = 500


def main(arguments: list[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--events", type=int, default=50_000, help="in the log")
    parser.add_argument("--rounds", type=int, default=3, help="of each way, in turn")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hf-export-") as root, throw_away_server() as postgres:
        owner_url = postgres.create_database("benchmark")
        migrate.upgrade(owner_url)
        login = postgres.create_login("benchmark_app", member_of="holdfast_service")
        engine = open_engine(postgres.url("benchmark", login), pool_size=4)
        report = _measure(ExportPlace.make(engine, Path(root)), Path(root), chosen.events, chosen.rounds)
        engine.dispose()
    if chosen.output == "json":
        print(json.dumps(report, indent=2))
    else:
        _show(report)
    return 0


def _measure(place: ExportPlace, root: Path, events: int, rounds: int) -> dict[str, Any]:
    authority = Authority.make(root / "authority")
    peaks: list[float] = []
    with _receiver(authority) as url:
        ways: dict[str, Callable[[], None]] = {
            f"webhook {format_}": _exporting(
                place, place.webhook(url, ca_file=authority.ca_file, format=format_, batch=BATCH, begin="first")
            )
            for format_ in ("json", "ocsf", "cef")
        }
        ways["files json"] = _exporting(place, place.files(root / "files", format="json", batch=4096, begin="first"))
        size = 0
        per_cpu_s: dict[str, list[float]] = {way: [] for way in ways}
        rates: dict[str, list[float]] = {"floor": [], **{way: [] for way in ways}}
        for _ in range(rounds):
            begin = size
            size = place.publish(events)
            rates["floor"].append((size - begin) / _timed(partial(_floor, place.engine, url, authority, begin))[0])
            for way, export in ways.items():
                took_s, cpu_s = _timed(export)
                rates[way].append((size - begin) / took_s)
                per_cpu_s[way].append((size - begin) / cpu_s)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    pairs = {way: [rate / floor for rate, floor in zip(rates[way], rates["floor"], strict=True)] for way in ways}
    return {
        "events": events,
        "rounds": rounds,
        "floor_per_s": spread(rates["floor"]),
        "ways": {
            way: {"per_s": spread(rates[way]), "per_cpu_s": spread(per_cpu_s[way]), "ratio": spread(pairs[way])}
            for way in ways
        },
        "peak_mb": [round(peak, 1) for peak in peaks],
    }


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return how long it took, and how much of a processor, in seconds."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - used


def _exporting(place: ExportPlace, settings: AnySinkSettings) -> Callable[[], None]:
    """Return what brings a sink up to the log, with everything on."""
    name = f"{settings.kind}-{settings.format}"
    exporter = place.exporter(name, settings)

    def export() -> None:
        while exporter.step() != IDLE:
            pass

    return export


def _floor(engine: Engine, url: str, authority: Authority, begin: int) -> None:
    """Post the events' texts in their order, in as large batches, and do nothing else."""
    with engine.connect() as connection, httpx.Client(verify=client_context(authority.ca_file)) as http:
        while True:
            rows = connection.execute(
                text(
                    "SELECT e.content FROM ledger_leaf l JOIN audit_event e ON e.id = l.event_id"
                    " WHERE l.index >= :begin AND l.index < :end ORDER BY l.index"
                ),
                {"begin": begin, "end": begin + BATCH},
            ).all()
            if not rows:
                return
            http.post(url, content="[" + ",".join(row.content for row in rows) + "]").raise_for_status()
            begin += BATCH


@contextmanager
def _receiver(authority: Authority) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.export.receiver", str(authority.issue())]
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        yield f"https://localhost:{int(process.stdout.readline())}/"
    finally:
        process.kill()
        process.wait()


def _show(report: dict[str, Any]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("way", "events/s, median", "least … most", "per CPU second", "ratio to the floor", "least … most"):
        table.add_column(name, justify="left" if name == "way" else "right")
    floor = report["floor_per_s"]
    table.add_row("floor", f"{floor['median']:.0f}", f"{floor['min']:.0f} … {floor['max']:.0f}", "", "", "")
    for way, of_way in report["ways"].items():
        rate, ratio = of_way["per_s"], of_way["ratio"]
        rates = f"{rate['min']:.0f} … {rate['max']:.0f}"
        ratios = f"{ratio['min']:.2f} … {ratio['max']:.2f}"
        per_cpu_s = f"{of_way['per_cpu_s']['median']:.0f}"
        table.add_row(way, f"{rate['median']:.0f}", rates, per_cpu_s, f"{ratio['median']:.2f}", ratios)
    Console().print(table)
    Console().print(f"peak memory after each round, MB: {report['peak_mb']}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
