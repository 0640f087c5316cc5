"""`python -m benchmarks.run_overhead`: see ../README.md."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.run_overhead.place import WAYS, Ended, Place, place
from benchmarks.spread import spread


def main(arguments: list[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run_overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="DagRuns of each way, one at a time and in turn")
    parser.add_argument("--seconds", type=float, nargs="+", default=[0, 10], help="how long the command works")
    parser.add_argument("--parallel", type=int, default=20, help="DagRuns of each way at once; 0 leaves it out")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=chosen.output == "json")
    with tempfile.TemporaryDirectory(prefix="hf-overhead-", dir="/var/tmp") as root, place(Path(root)) as here:
        report = measure(here, rounds=chosen.rounds, seconds=chosen.seconds, parallel=chosen.parallel, console=console)
    if chosen.output == "json":
        print(json.dumps(report, indent=2))
    else:
        _show(report, console)
    return 0


def measure(here: Place, *, rounds: int, seconds: Sequence[float], parallel: int, console: Console) -> dict[str, Any]:
    """Return the report; raises AssertionError where a Run was lost or a command ran twice."""
    return {
        "one_at_a_time": [_one_at_a_time(here, rounds, each, console) for each in seconds],
        "at_once": _at_once(here, parallel, console) if parallel else None,
    }


def _one_at_a_time(here: Place, rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    taken: list[dict[str, float]] = []
    while len(taken) < rounds:
        pair: dict[str, float] = {}
        # Who comes first changes, so that neither always finds what the other has left.
        for way in sorted(WAYS, reverse=len(taken) % 2 == 1):
            ended = here.run(way, seconds=seconds)
            here.check_counted(way, ended)
            pair.update((way, one.took_s) for one in ended if not one.is_lost)
        console.print(f"{seconds} s, round {len(taken)}: {pair}", style="dim", highlight=False)
        if len(pair) == len(WAYS):
            taken.append(pair)
    return {
        "seconds": seconds,
        "rounds": rounds,
        **{f"{way}_s": spread([pair[way] for pair in taken]) for way in WAYS},
        "beyond_s": spread([pair["recorded"] - pair["plain"] for pair in taken]),
    }


def _at_once(here: Place, count: int, console: Console) -> dict[str, Any]:
    found: dict[str, Any] = {"count": count}
    for way in WAYS:
        ended = here.run(way, count)
        here.check_counted(way, ended)
        found[f"{way}_s"] = _whole_s(ended)
        found[f"{way}_lost"] = sum(one.is_lost for one in ended)
        console.print(f"{count} {way} at once: {found[f'{way}_s']} s", style="dim", highlight=False)
    found["beyond_s_each"] = round((found["recorded_s"] - found["plain_s"]) / count, 2)
    return found


def _whole_s(ended: list[Ended]) -> float:
    return round((max(one.ended for one in ended) - min(one.began for one in ended)).total_seconds(), 1)


def _show(report: dict[str, Any], console: Console) -> None:
    table = Table("", "as a Run, s", "plain pod, s", "beyond, s", box=None)
    at_once = report["at_once"]
    for alone in report["one_at_a_time"]:
        table.add_row(
            f"a command of {alone['seconds']} s, median of {alone['rounds']}",
            *(
                f"{alone[name]['median']:.2f} ({alone[name]['min']:.2f} … {alone[name]['max']:.2f})"
                for name in ("recorded_s", "plain_s", "beyond_s")
            ),
        )
    if at_once is not None:
        table.add_row(
            f"{at_once['count']} at once, all of them",
            str(at_once["recorded_s"]),
            f"{at_once['plain_s']} ({at_once['plain_lost']} lost)",
            f"{at_once['beyond_s_each']:.2f} each",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
