"""Verifying a log and proving an event of it, in memory that stays flat."""

from __future__ import annotations

import hashlib
import random
import resource
import time
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from benchmarks.audit.place import Place
from benchmarks.spread import spread
from holdfast.core.tiles import WIDTH, bundle_path, unpacked
from holdfast.ledger.keys import is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.prove import prove_events
from holdfast.ledger.verify import Verification
from holdfast.store.engine import open_engine

_PROOFS = 200


def verify(place: Place, rounds: int, say: Any, processes: int = 1) -> dict[str, Any]:
    """Return how fast a log is verified, with its database and without, against hashing the same bytes and nothing else."""
    found: dict[str, list[float]] = {"files": [], "files and rows": []}
    size = 0
    for number in range(rounds):
        floor_files, floor_rows = floor(place)
        for way, engine, least in (
            ("files", None, floor_files),
            ("files and rows", place.engine, floor_files + floor_rows),
        ):
            begin = time.perf_counter()
            again = partial(opened, place.directory, place.url if engine else None) if processes > 1 else None
            look = Verification(place.log, [place.signer.key], is_signed, engine, again=again)
            size = look.verify().size
            took = time.perf_counter() - begin
            if look.findings:
                raise RuntimeError(f"the log does not hold: {look.findings[:3]}")
            found[way].append(least / took)
            say(f"round {number}: {way}: {size / took:.0f} events/s, hashing alone {size / least:.0f}")
    who = resource.RUSAGE_CHILDREN if processes > 1 else resource.RUSAGE_SELF
    return {
        "events": size,
        "processes": processes,
        "ratio": {way: spread(ratios) for way, ratios in found.items()},
        "peak_mb": round(resource.getrusage(who).ru_maxrss / 1024),
    }


def floor(place: Place) -> tuple[float, float]:
    """Return how long hashlib alone takes for the tree over all entries, and for all commitments; the bytes are in memory."""
    trees, rows = 0.0, 0.0
    with place.engine.connect() as connection:
        size = connection.scalar(text("SELECT size FROM ledger_head"))
    for start in range(0, size, WIDTH):
        entries = unpacked(place.log.read(bundle_path(start // WIDTH, min(WIDTH, size - start))))
        leaves = [b"\0" + entry for entry in entries]
        begin = time.perf_counter()
        level = [hashlib.sha256(leaf).digest() for leaf in leaves]
        while len(level) > 1:
            level = [hashlib.sha256(b"\1" + left + right).digest() for left, right in zip(level[::2], level[1::2])]  # noqa: B905
        trees += time.perf_counter() - begin
    with place.engine.connect() as connection:
        for row in connection.execution_options(stream_results=True, yield_per=5000).execute(
            text("SELECT salt || convert_to(content, 'UTF8') AS bytes FROM audit_event")
        ):
            begin = time.perf_counter()
            hashlib.sha256(row.bytes).digest()
            rows += time.perf_counter() - begin
    return trees, rows


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


def opened(directory: Path, url: str | None) -> tuple[DirectoryPlace, Engine | None]:
    """Return the log and its database in another process."""
    engine = open_engine(url, pool_size=2) if url else None
    return DirectoryPlace(directory / "log"), engine
