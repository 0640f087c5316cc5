"""The figures, for people (a table, a plot) and for programs (JSON)."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

SERVERS = ("holdfast", "floor")


def describe(rounds: int, seconds: float) -> dict[str, object]:
    """Return under what conditions was measured."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "rounds": rounds,
        "seconds": seconds,
    }


def show(report: dict[str, Any], console: Console) -> None:
    """Print the report as tables."""
    rates = _table("the life cycle over REST (median of the rounds; CPU in milliseconds a life cycle)")
    for name in ("clients", "", "cycles/s", "min … max", "requests/s", "p50 ms", "p95", "p99", "CPU", "DB CPU"):
        rates.add_column(name, justify="left" if not name else "right", no_wrap=True)
    ratios = _table("Holdfast / floor, round by round")
    for name in ("clients", "ratio", "min … max", "without storing"):
        ratios.add_column(name, justify="right")
    for entry in report["results"]:
        clients, ratio = str(entry["clients"]), entry["ratio"]
        for server in SERVERS:
            found = entry[server]
            rate, cpu = found["cycles_per_s"], found["cpu_ms_per_cycle"]
            rates.add_row(
                clients if server == SERVERS[0] else "",
                server,
                f"{rate['median']:.1f}",
                f"{rate['min']:.1f} … {rate['max']:.1f}",
                f"{found['requests_per_s']['median']:.0f}",
                *(f"{found['latency_ms'][share]:.1f}" for share in ("p50", "p95", "p99")),
                f"{cpu['service']:.1f}",
                f"{cpu['database']:.1f}",
                end_section=server == SERVERS[-1],
            )
        without = entry["ratio_without_storing"]["median"]
        ratios.add_row(clients, f"{ratio['median']:.2f}", f"{ratio['min']:.2f} … {ratio['max']:.2f}", f"{without:.2f}")
    for table in (rates, _steps(report["results"]), ratios):
        console.print(table)
    busiest = max(entry[server]["client_cpu_share"] for entry in report["results"] for server in SERVERS)
    console.print(f"the load generator used at most {busiest:.0%} of one core")
    for server in SERVERS:
        used = report["memory_mb"][server]
        console.print(f"memory of {server}: {used['now']:.0f} MB resident, {used['most']:.0f} MB at most")


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _steps(results: list[dict[str, Any]]) -> Table:
    table = _table("p50 of each step, ms: Holdfast / floor")
    table.add_column("step", no_wrap=True)
    for entry in results:
        table.add_column(f"{entry['clients']} clients", justify="right", no_wrap=True)
    ours, floor = SERVERS
    for step in results[0][ours]["step_ms_p50"]:
        table.add_row(
            step, *(f"{e[ours]['step_ms_p50'][step]:.1f} / {e[floor]['step_ms_p50'][step]:.1f}" for e in results)
        )
    return table


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw life cycles a second and latency over the number of clients into an SVG or PNG file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    entries = report["results"]
    clients = [entry["clients"] for entry in entries]
    figure, (rates, latencies) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for server in SERVERS:
        found = [entry[server] for entry in entries]
        median = [one["cycles_per_s"]["median"] for one in found]
        below = [one["cycles_per_s"]["median"] - one["cycles_per_s"]["min"] for one in found]
        above = [one["cycles_per_s"]["max"] - one["cycles_per_s"]["median"] for one in found]
        rates.errorbar(clients, median, yerr=[below, above], marker="o", capsize=3, label=server)
        for share, style in (("p50", "-"), ("p99", ":")):
            latencies.plot(
                clients, [one["latency_ms"][share] for one in found], style, marker="o", label=f"{server} {share}"
            )
    rates.set(title="life cycles a second", xlabel="clients", ylabel="1/s", xticks=clients, ylim=(0, None))
    latencies.set(title="latency of a life cycle", xlabel="clients", ylabel="ms", xticks=clients, yscale="log")
    for axes in (rates, latencies):
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(path)


def console_for(output: str) -> Console:
    """Return where progress goes: beside the JSON document, or above the table."""
    file = sys.stderr if output == "json" else sys.stdout
    return Console(file=file, highlight=False, width=None if file.isatty() else 100)
