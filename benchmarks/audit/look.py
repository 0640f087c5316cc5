"""Verifying a log and proving an event of it, in memory that stays flat."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import time
from contextlib import closing
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import text

from benchmarks.audit.again import opened
from benchmarks.audit.place import Place
from benchmarks.lifecycle.measure import cpu_s, family
from benchmarks.spread import spread
from holdfast.core.tiles import WIDTH, bundle_path, unpacked
from holdfast.ledger.keys import is_signed
from holdfast.ledger.order import EVENT_OF_LEAF
from holdfast.ledger.prove import prove_events
from holdfast.ledger.rows import AT_ONCE
from holdfast.ledger.verify import Verification

_PROOFS = 200
_READ = f"""
    SELECT e.salt || convert_to(e.content, 'UTF8'), l.index, e.id, e.recorded_at, e.commitment, s.class,
    e.project, e.action, e.initiator, e.target_type, e.target_id, e.outcome
    FROM ledger_leaf l JOIN audit_segment s ON s.segment = l.segment
    JOIN {EVENT_OF_LEAF} ON true
    WHERE l.index >= %s AND l.index < %s ORDER BY l.index
"""


def verify(place: Place, rounds: int, say: Any, processes: int = 1) -> dict[str, Any]:
    """Return how fast a log is verified, with its database and without, against hashing the same bytes and nothing else."""
    ratios: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    cpu_us: dict[str, list[float]] = {}
    size = 0
    for number in range(rounds):
        tree, commitments, read = floors(place)
        for way, engine, least in (
            ("files", None, tree.wall_s),
            ("files and rows", place.engine, tree.wall_s + commitments.wall_s),
        ):
            again = partial(opened, place.directory, place.url if engine else None) if processes > 1 else None
            look = Verification(place.log, [place.signer.key], is_signed, engine, again=again)
            before = sum(os.times()[:4]), cpu_s(family(place.server.pid))
            begin = time.perf_counter()
            size = look.verify().size
            took = time.perf_counter() - begin
            after = sum(os.times()[:4]), cpu_s(family(place.server.pid))
            if look.findings:
                raise RuntimeError(f"the log does not hold: {look.findings[:3]}")
            ratios.setdefault(way, []).append(least / took)
            rates.setdefault(way, []).append(size / took)
            for part, ended, begun in zip(("python", "postgres"), after, before, strict=True):
                cpu_us.setdefault(f"{way}: {part}", []).append(1e6 * (ended - begun) / size)
            say(f"round {number}: {way}: {size / took:.0f} events/s, hashing alone {size / least:.0f}")
        for part, floor in (("the tree", tree), ("commitments", commitments)):
            cpu_us.setdefault(f"hashlib: {part}", []).append(1e6 * floor.cpu_s / size)
        least = tree.wall_s + read.wall_s
        ratios.setdefault("files and rows, to reading and hashing them", []).append(least / took)
        say(f"round {number}: reading all rows and hashing them: {size / least:.0f} events/s")
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "events": size,
        "processes": processes,
        "ratio": {way: spread(found) for way, found in ratios.items()},
        "per_s": {way: spread(found) for way, found in rates.items()},
        "cpu_us_per_event": {what: spread(found) for what, found in cpu_us.items()},
        "peak_mb": round(most / 1024),
    }


class Timed:
    """Adds up how long a piece of work takes, by the clock and in processor time of this thread."""

    wall_s = cpu_s = 0.0

    def __enter__(self) -> None:
        self._begun = time.perf_counter(), time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.cpu_s += time.thread_time() - self._begun[1]
        self.wall_s += time.perf_counter() - self._begun[0]


def floors(place: Place) -> tuple[Timed, Timed, Timed]:
    """Return how long hashlib alone takes for the tree over all entries and for all commitments, and reading with hashing these.

    The first two are of bytes that are in memory; the third is a program that reads what has to be compared, in the log's order, by the
    driver's cursor, compares nothing and hashes each row.
    """
    tree, commitments, read = Timed(), Timed(), Timed()
    with place.engine.connect() as connection:
        size = connection.scalar(text("SELECT size FROM ledger_head"))
    for start in range(0, size, WIDTH):
        entries = unpacked(place.log.read(bundle_path(start // WIDTH, min(WIDTH, size - start))))
        leaves = [b"\0" + entry for entry in entries]
        with tree:
            level = [hashlib.sha256(leaf).digest() for leaf in leaves]
            while len(level) > 1:
                level = [hashlib.sha256(b"\1" + left + right).digest() for left, right in zip(level[::2], level[1::2])]  # noqa: B905
    with closing(place.engine.raw_connection()) as connection, connection.driver_connection.cursor(binary=True) as rows:
        for start in range(0, size, AT_ONCE):
            with read:
                rows.execute(_READ, (start, start + AT_ONCE))
                salted = [row[0] for row in rows.fetchall()]
                with commitments:
                    for one in salted:
                        hashlib.sha256(one).digest()
    return tree, commitments, read


def prove(place: Place) -> dict[str, Any]:
    """Return how long a proof of one event takes, in milliseconds."""
    took = []
    with place.engine.connect() as connection:
        size = connection.scalar(text("SELECT size FROM ledger_head"))
        for _ in range(_PROOFS):
            index = random.randrange(size)
            event = connection.scalar(text("SELECT event_id FROM ledger_leaf WHERE index = :index"), {"index": index})
            begin = time.perf_counter()
            prove_events(connection, place.log, "oncology", event=UUID(str(event)))
            took.append(1000 * (time.perf_counter() - begin))
    return {"events": size, "ms": spread(took), "p99_ms": round(sorted(took)[int(0.99 * len(took))], 1)}
