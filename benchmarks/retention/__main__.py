"""`python -m benchmarks.retention plan | store`: see ../README.md."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.support.s3 import throw_away_s3

from benchmarks.retention import plan, store
from benchmarks.retention.place import retention_place


def main(arguments: list[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retention", description=__doc__)
    parser.add_argument("what", choices=["plan", "store"], help="plan: what may go; store: locks, and deletions")
    parser.add_argument("--artifacts", type=int, default=1_000_000, help="plan: Artifacts in the Project")
    parser.add_argument("--due", type=int, nargs="+", default=[100, 10_000], help="plan: how many of them may go")
    parser.add_argument("--rounds", type=int, default=3, help="plan: how many plans are made of each number")
    parser.add_argument("--versions", type=int, default=5000, help="store: how many versions there are")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk that is to be measured")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=chosen.output == "json")
    found = measure(chosen, lambda line: console.print(line, markup=False))
    if chosen.output == "json":
        print(json.dumps(found, indent=2))
    else:
        for one in found[chosen.what]:
            console.print(shown(one))
    return 0


def measure(chosen: argparse.Namespace, say: Any) -> dict[str, list[dict[str, Any]]]:
    """Start what is needed, measure and return the report."""
    if chosen.what == "plan":
        with retention_place(chosen.directory) as place:
            place.fill(chosen.artifacts)
            say(f"there are {chosen.artifacts} Artifacts")
            return {"plan": [plan.measure(place, due, chosen.rounds, say) for due in chosen.due]}
    with throw_away_s3() as s3:
        found = []
        for part in (store.delete, store.lock):
            with retention_place(chosen.directory, s3) as place:
                bucket = place.bucket
                store.fill(place, s3, bucket, chosen.versions)
                say(f"there are {chosen.versions} versions")
                found.append(part(place, s3, bucket, chosen.versions))
        return {"store": found}


def shown(found: dict[str, Any]) -> Table:
    """Return the report as a table."""
    table = Table("what", "figure", show_header=True, box=None, padding=(0, 2, 0, 0))
    for name, value in found.items():
        table.add_row(name, str(value))
    return table


if __name__ == "__main__":
    sys.exit(main())
