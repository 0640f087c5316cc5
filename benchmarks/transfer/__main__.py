"""`python -m benchmarks.transfer`: see ../README.md."""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.support.s3 import S3Server, throw_away_s3

from benchmarks.spread import spread
from benchmarks.transfer.ways import Agent, Boto3, Files, empty, fresh

_ROOM = 4


def main(arguments: list[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("--large-mib", type=int, default=1024, help="size of the one large file")
    parser.add_argument("--small-count", type=int, default=1000, help="number of small files")
    parser.add_argument("--small-kib", type=int, default=64, help="size of each small file")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each way, taken in turn")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the files lie")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=chosen.output == "json")
    workloads = {
        f"1 file of {chosen.large_mib} MiB": (1, chosen.large_mib << 20),
        f"{chosen.small_count} files of {chosen.small_kib} KiB": (chosen.small_count, chosen.small_kib << 10),
    }
    room = (2 << 30) + _ROOM * (chosen.large_mib << 20)
    with (
        tempfile.TemporaryDirectory(prefix="hf-transfer-", dir=chosen.directory) as place,
        throw_away_s3(capacity_bytes=room, is_swept=True) as server,
    ):
        results = {
            name: _measure(server, Path(place) / str(number), *shape, chosen.rounds, console)
            for number, (name, shape) in enumerate(workloads.items())
        }
    if chosen.output == "json":
        print(json.dumps({"rounds": chosen.rounds, "results": results}, indent=2))
    else:
        _show(results, console)
    return 0


def _measure(
    server: S3Server, directory: Path, count: int, size_bytes: int, rounds: int, console: Console
) -> dict[str, Any]:
    """Move the same files both ways in turn; the first pair warms up and does not count."""
    bucket = server.create_bucket()
    files = Files(directory / "files", count, size_bytes)
    ways = {"agent": Agent(server, bucket, files), "boto3": Boto3(server, bucket, files)}
    taken: list[dict[str, dict[str, float]]] = []
    for number in range(rounds + 1):
        pair: dict[str, dict[str, float]] = {}
        # Who comes first changes, so that neither always finds what the other has left.
        for name in sorted(ways, reverse=number % 2 == 1):
            prefix = f"r{number}-{name}"
            up = ways[name].up(prefix)
            down = ways[name].down(prefix, fresh(directory / "down"))
            empty(server, bucket, prefix)
            pair[name] = {"up": up["moved"], "down": down["moved"], "hashed": up.get("hashed", 0.0)}
        console.print(f"{count} x {size_bytes} B, round {number}: {pair}", style="dim", highlight=False)
        taken += [pair] * (number > 0)
    return _result(taken, files.size_bytes)


def _result(taken: list[dict[str, dict[str, float]]], size_bytes: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for way in ("up", "down"):
        found[way] = {
            "ratio": spread([pair["boto3"][way] / pair["agent"][way] for pair in taken]),
            **{
                f"{name}_mib_per_s": round(size_bytes / (1 << 20) / statistics.median(p[name][way] for p in taken), 1)
                for name in ("agent", "boto3")
            },
        }
    with_hashing = [pair["boto3"]["up"] / (pair["agent"]["up"] + pair["agent"]["hashed"]) for pair in taken]
    found["up"]["ratio_with_hashing"] = spread(with_hashing)
    return found


def _show(results: dict[str, Any], console: Console) -> None:
    table = Table(
        "files", "way", "ratio, median", "least … most", "agent MiB/s", "boto3 MiB/s", "with hashing", box=None
    )
    for name, found in results.items():
        for way, one in found.items():
            ratio, hashing = one["ratio"], one.get("ratio_with_hashing")
            table.add_row(
                name,
                way,
                f"{ratio['median']:.2f}",
                f"{ratio['min']:.2f} … {ratio['max']:.2f}",
                str(one["agent_mib_per_s"]),
                str(one["boto3_mib_per_s"]),
                f"{hashing['median']:.2f}" if hashing else "",
            )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
