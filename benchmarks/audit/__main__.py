"""`python -m benchmarks.audit append | look`: see ../README.md."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.audit import append, look
from benchmarks.audit.place import ledger_place


def main(arguments: list[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument(
        "what", choices=["append", "look"], help="append: writers and proof age; look: verify and prove"
    )
    parser.add_argument("--writers", type=int, nargs="+", default=[16, 64], help="append: numbers of writers")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each way, taken in turn")
    parser.add_argument("--seconds", type=float, default=5, help="append: how long a round lasts")
    parser.add_argument("--events", type=int, default=100_000, help="look: how many events the log has")
    parser.add_argument(
        "--processes", type=int, nargs="+", default=[1], help="look: 1, or more for as many as there are cores"
    )
    parser.add_argument("--output", choices=["table", "json"], default="table")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk that is to be measured")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=chosen.output == "json")
    found = measure(chosen, lambda line: console.print(line, markup=False))
    if chosen.output == "json":
        print(json.dumps(found, indent=2))
    else:
        console.print(shown(found))
    return 0


def measure(chosen: argparse.Namespace, say: Any) -> dict[str, Any]:
    """Start a server, measure and return the report."""
    with ledger_place(chosen.directory) as place:
        if chosen.what == "append":
            return {"append": [append.measure(place, n, chosen.rounds, chosen.seconds, say) for n in chosen.writers]}
        place.fill(chosen.events, say)
        return {
            "prove": [look.prove(place)],
            "verify": [look.verify(place, chosen.rounds, say, processes) for processes in chosen.processes],
        }


def shown(found: dict[str, Any]) -> Table:
    """Return the report as a table."""
    table = Table("what", "figure", show_header=True, box=None, padding=(0, 2, 0, 0))
    for what, parts in found.items():
        for part in parts:
            for name, value in part.items():
                table.add_row(f"{what}: {name}", str(value))
    return table


if __name__ == "__main__":
    sys.exit(main())
