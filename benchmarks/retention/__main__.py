"""`python -m benchmarks.retention`: see ../README.md."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.retention import plan
from benchmarks.retention.place import retention_place


def main(arguments: list[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retention", description=__doc__)
    parser.add_argument("--artifacts", type=int, default=1_000_000, help="Artifacts in the Project")
    parser.add_argument("--due", type=int, nargs="+", default=[100, 10_000, 100_000], help="how many of them may go")
    parser.add_argument("--rounds", type=int, default=3, help="plans that are made of each number")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk that is to be measured")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=chosen.output == "json")

    def say(line: str) -> None:
        console.print(line, markup=False)

    with retention_place(chosen.directory) as place:
        place.fill(chosen.artifacts)
        say(f"there are {chosen.artifacts} Artifacts")
        found = [plan.measure(place, due, chosen.rounds, say) for due in chosen.due]
    if chosen.output == "json":
        print(json.dumps(found, indent=2))
    else:
        console.print(shown(found))
    return 0


def shown(found: list[dict[str, Any]]) -> Table:
    """Return the report as a table."""
    table = Table(*found[0], show_header=True, box=None, padding=(0, 2, 0, 0))
    for one in found:
        table.add_row(*(str(value) for value in one.values()))
    return table


if __name__ == "__main__":
    sys.exit(main())
