"""`python -m benchmarks.reconcile`: see ../README.md."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.reconcile.place import AGENT, Place, place


def main(arguments: list[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconcile", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000], help="pods and Runs, ascending")
    parser.add_argument("--projects", type=int, default=10, help="Projects that hold them")
    parser.add_argument("--rounds", type=int, default=3, help="plans that are made at each count")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=chosen.output == "json")
    with tempfile.TemporaryDirectory(prefix="hf-reconcile-") as root, place(Path(root)) as here:
        results, held = [], 0
        for count in chosen.counts:
            began = time.monotonic()
            here.fill(count - held, chosen.projects)
            made_s, held = time.monotonic() - began, count
            results.append(
                {"pods_and_runs": count, "made_s": round(made_s, 1), **_measure(here, chosen.rounds, console)}
            )
    report = {"results": results, "memory_ratio": {}}
    for way in ("api", "direct"):
        report["memory_ratio"][way] = round(results[-1][way]["peak_mb"] / results[0][way]["peak_mb"], 2)
    if chosen.output == "json":
        print(json.dumps(report, indent=2))
    else:
        _show(report, console)
    return 0


def _measure(here: Place, rounds: int, console: Console) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for way in ("api", "direct"):
        passes = [_run(here, way, "plan") for _ in range(rounds)]
        for each in passes:
            console.print(f"{way}: {each}", style="dim", highlight=False)
        found[way] = {
            "plan_s": min(each["s"] for each in passes),
            "plan_s_most": max(each["s"] for each in passes),
            "plan_cpu_s": min(each["cpu_s"] for each in passes),
            "peak_mb": max(each["peak_mb"] for each in passes),
            "items": passes[0]["items"],
        }
    found["apply"] = _run(here, "api", "apply")
    console.print(f"apply: {found['apply']}", style="dim", highlight=False)
    return found


def _run(here: Place, way: str, command: str) -> dict[str, Any]:
    """Return what one process of `holdfast reconcile` has taken, its start included."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOLDFAST_AGENT_IMAGE": AGENT}
    if way == "direct":
        environment |= here.environment
    else:
        environment |= {"HOLDFAST_API_URL": here.url, "HOLDFAST_TOKEN": "system:benchmark"}
    words = ["-c", "from holdfast.cli.main import run; run()", "reconcile", command, "-o", "json"]
    words += [f"--kubeconfig={here.cluster.kubeconfig}", "--start-grace=1s", "--settle-grace=1s"]
    words += ["--direct"] * (way == "direct")
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([sys.executable, *words], stdout=output, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        took = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = json.loads(output.read() or b"{}")
    if process.returncode != 0:
        raise RuntimeError(f"holdfast reconcile {command} ended with {process.returncode}: {said}")
    peak = round(used.ru_maxrss / 1024, 1)
    cpu = round(used.ru_utime + used.ru_stime, 2)
    return {"s": round(took, 2), "cpu_s": cpu, "peak_mb": peak, "items": len(said["items"])}


def _show(report: dict[str, Any], console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("pods and Runs", "way", "plan, s", "most, s", "CPU, s", "peak, MB", "items", "plan + apply, s"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for entry in report["results"]:
        for way in ("api", "direct"):
            of_way = entry[way]
            figures = (
                of_way["plan_s"],
                of_way["plan_s_most"],
                of_way["plan_cpu_s"],
                of_way["peak_mb"],
                of_way["items"],
            )
            whole = entry["apply"]["s"] if way == "api" else ""
            table.add_row(str(entry["pods_and_runs"]), way, *map(str, figures), str(whole))
    console.print(table)
    console.print(f"memory, largest / smallest: {report['memory_ratio']}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
