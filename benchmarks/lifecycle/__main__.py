"""`python -m benchmarks.lifecycle`: see ../README.md."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.lifecycle import report
from benchmarks.lifecycle.measure import interleave, load, memory_mb
from benchmarks.lifecycle.place import both


def main(arguments: list[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lifecycle", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="numbers of clients to measure with")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each server, taken in turn")
    parser.add_argument("--seconds", type=float, default=8, help="how long a round lasts")
    parser.add_argument(
        "--warm-up", type=float, default=3, help="seconds of load on each server before the first round"
    )
    parser.add_argument("--output", choices=["table", "json"], default="table")
    parser.add_argument("--plot", type=Path, help="an SVG or PNG file to draw into")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk that is to be measured")
    chosen = parser.parse_args(arguments)
    progress = report.console_for(chosen.output)
    found = measure(chosen.clients, chosen.rounds, chosen.seconds, chosen.warm_up, chosen.directory, progress.print)
    if chosen.output == "json":
        print(json.dumps(found, indent=2))
    else:
        report.show(found, progress)
    if chosen.plot is not None:
        report.plot(found, chosen.plot)
        progress.print(f"the plot is in {chosen.plot}")
    return 0


def measure(
    clients: list[int], rounds: int, seconds: float, warm_up: float, directory: Path, say: Any
) -> dict[str, Any]:
    """Start both servers, measure them in turn and return the report."""
    with (
        tempfile.TemporaryDirectory(prefix="hf-bench-", dir=directory) as place,
        both(Path(place), max(clients)) as (ours, floor, postgres),
    ):
        for server in (ours, floor):
            load(server, postgres, min(4, max(clients)), warm_up)
        results = [interleave(ours, floor, postgres, count, rounds, seconds, say) for count in clients]
        memory = {server.name: memory_mb(server.pid) for server in (ours, floor)}
    return {**report.describe(rounds, seconds), "results": results, "memory_mb": memory}


if __name__ == "__main__":
    sys.exit(main())
