"""Rounds of life cycles: as many clients as asked for, for a time, on one server and then on the other, again and again."""

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.lifecycle.journey import CALLS, STEPS, STORING, Client
from benchmarks.lifecycle.place import Server
from benchmarks.spread import spread

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of one server gave.

    Attributes:
        cycles: one list a life cycle: when it began and when each step had ended, in seconds.
        elapsed_s: from the first call to the last reply.
        service_cpu_s: processor time of the server's process.
        database_cpu_s: processor time of PostgreSQL's processes.
        client_cpu_s: processor time of the load generator.
    """

    cycles: list[list[float]]
    elapsed_s: float
    service_cpu_s: float
    database_cpu_s: float
    client_cpu_s: float

    @property
    def cycles_per_s(self) -> float:
        """Life cycles a second."""
        return len(self.cycles) / self.elapsed_s

    @property
    def apart_from_storing_s(self) -> float:
        """What a life cycle took on average without the step that stores bytes."""
        return statistics.fmean(c[-1] - c[0] - (c[STORING + 1] - c[STORING]) for c in self.cycles)


@dataclass(slots=True)
class Rounds:
    """All rounds of one server with one number of clients."""

    rounds: list[Round] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """Return the figures as they stand in the report."""
        cycles = [cycle for one in self.rounds for cycle in one.cycles]
        total = sorted(cycle[-1] - cycle[0] for cycle in cycles)
        rates = [one.cycles_per_s for one in self.rounds]
        return {
            "cycles": len(cycles),
            "cycles_per_s": spread(rates),
            "requests_per_s": spread(rate * CALLS for rate in rates),
            "latency_ms": {f"p{share}": round(quantile(total, share) * 1e3, 2) for share in (50, 95, 99)},
            "step_ms_p50": {
                name: round(statistics.median(c[i + 1] - c[i] for c in cycles) * 1e3, 3) for i, name in enumerate(STEPS)
            },
            "cpu_ms_per_cycle": {
                part: round(sum(getattr(one, f"{part}_cpu_s") for one in self.rounds) / len(cycles) * 1e3, 2)
                for part in ("service", "database", "client")
            },
            "client_cpu_share": round(
                sum(one.client_cpu_s for one in self.rounds) / sum(one.elapsed_s for one in self.rounds), 3
            ),
        }


def interleave(
    ours: Server, floor: Server, postgres: int, clients: int, rounds: int, seconds: float, say: Callable[[str], None]
) -> dict[str, object]:
    """Measure both servers in turn and return both summaries and the ratio, pair by pair."""
    measured = {server.name: Rounds() for server in (ours, floor)}
    for number in range(rounds):
        for server in (ours, floor):
            done = load(server, postgres, clients, seconds)
            measured[server.name].rounds.append(done)
            say(f"{clients:2} clients, round {number + 1}/{rounds}: {server.name:8} {done.cycles_per_s:6.1f} cycles/s")
    pairs = list(zip(measured[ours.name].rounds, measured[floor.name].rounds, strict=True))
    return {
        "clients": clients,
        **{name: rounds.summary() for name, rounds in measured.items()},
        "ratio": spread(a.cycles_per_s / b.cycles_per_s for a, b in pairs),
        "ratio_without_storing": spread(b.apart_from_storing_s / a.apart_from_storing_s for a, b in pairs),
    }


def load(server: Server, postgres: int, clients: int, seconds: float) -> Round:
    """Let clients go through life cycles until the time is over; each ends the one it is in."""
    connected = [Client(server.place, number) for number in range(clients)]
    cycles: list[list[list[float]]] = [[] for _ in range(clients)]
    failures: list[BaseException] = []
    start = threading.Barrier(clients + 1)

    def live(client: Client, mine: list[list[float]]) -> None:
        start.wait()
        deadline = time.perf_counter() + seconds
        try:
            while time.perf_counter() < deadline or not mine:
                mine.append(client.live())
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=live, args=pair) for pair in zip(connected, cycles, strict=True)]
    for thread in threads:
        thread.start()
    before = (cpu_s([server.pid]), cpu_s(family(postgres)), time.process_time())
    began = time.perf_counter()
    start.wait()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    after = (cpu_s([server.pid]), cpu_s(family(postgres)), time.process_time())
    for client in connected:
        client.close()
    if failures:
        raise failures[0]
    service, database, client_cpu = (b - a for a, b in zip(before, after, strict=True))
    return Round([cycle for mine in cycles for cycle in mine], elapsed, service, database, client_cpu)


def quantile(ordered: list[float], percent: int) -> float:
    """Return the value that so many percent of an ordered list do not exceed (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def memory_mb(pid: int) -> dict[str, float]:
    """Return resident memory of a process, now and at its most, in MB (10⁶ bytes)."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        name: round(int(lines[key].split()[0]) * 1024 / 1e6, 1) for name, key in (("now", "VmRSS"), ("most", "VmHWM"))
    }


def family(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def cpu_s(pids: Iterable[int]) -> float:
    """Return the processor time of processes so far, and of those of their children that have ended."""
    total = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:  # it has just ended, and its parent has its time
            continue
        total += sum(int(ticks) for ticks in stat.rpartition(")")[2].split()[11:15])
    return total * _TICK_S
