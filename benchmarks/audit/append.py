"""Appending events: as the service does with a sequencer at work, against the same INSERT into a plain table and no ledger."""

from __future__ import annotations

import hashlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from benchmarks.audit.place import Place
from benchmarks.spread import spread
from holdfast.core.audit import SALT_SIZE_BYTES, commitment
from holdfast.ledger.status import status_of
from holdfast.service.transaction import new_id
from holdfast.store.engine import open_engine
from holdfast.store.prepared import Prepared
from holdfast.store.record import write_record
from holdfast.wire.canonical import event_bytes

_SAMPLE_S = 0.05
_FLOOR = """
    CREATE TABLE IF NOT EXISTS plain_event (
        id uuid PRIMARY KEY, recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(), project text, action text NOT NULL,
        initiator text NOT NULL, target_type text NOT NULL, target_id text NOT NULL, outcome text NOT NULL, content text NOT NULL
    );
    CREATE INDEX IF NOT EXISTS plain_event_project_ix ON plain_event (project, id);
    CREATE INDEX IF NOT EXISTS plain_event_action_ix ON plain_event (project, action, id);
    CREATE INDEX IF NOT EXISTS plain_event_target_ix ON plain_event (target_id, id);
    GRANT INSERT ON plain_event TO holdfast_service
"""
_INSERT = Prepared(
    text(
        "INSERT INTO plain_event (id, project, action, initiator, target_type, target_id, outcome, content)"
        " VALUES (:id, :project, :action, :initiator, :target_type, :target_id, :outcome, :content)"
    )
)
_SEQUENCER = """
import sys, threading
from pathlib import Path
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from holdfast.store.engine import open_engine
url, directory = sys.argv[1], Path(sys.argv[2])
engine = open_engine(url, pool_size=3)
publisher = Publisher(engine, [FileSigner.read(directory / "log.key")], is_signed, DirectoryPlace(directory / "log"))
Sequencer(engine, publisher).run(threading.Event())
"""


def measure(place: Place, writers: int, rounds: int, seconds: float, say: Any) -> dict[str, Any]:
    """Return what writers reach with the ledger and without, in turns, and how old what cannot be proved became."""
    with place.owner.begin() as connection:
        connection.execute(text(_FLOOR))
    engine = open_engine(str(place.engine.url.render_as_string(hide_password=False)), pool_size=writers)
    ratios, ages, rates = [], [], []
    with sequencing(place) as sequencer:
        for number in range(-1, rounds):  # the first one warms up
            found: dict[str, float] = {}
            for way in ("ledger", "floor") if number % 2 else ("floor", "ledger"):
                if way == "floor":
                    settle(place)
                    sequencer.send_signal(signal.SIGSTOP)
                    found[way] = load(engine, plain, writers, seconds)
                    sequencer.send_signal(signal.SIGCONT)
                    continue
                with ageing(place) as seen:
                    found[way] = load(engine, recorded, writers, seconds)
                if number >= 0:
                    ages += seen
            say(f"{writers} writers, round {number}: { ({way: round(rate) for way, rate in found.items()}) } events/s")
            if number >= 0:
                ratios.append(found["ledger"] / found["floor"])
                rates.append(found["ledger"])
    engine.dispose()
    return {
        "writers": writers,
        "ratio": spread(ratios),
        "events_per_s": round(statistics.median(rates)),
        "proof_age_p99_s": round(statistics.quantiles(ages, n=100)[98], 3),
        "proof_age_max_s": round(max(ages), 3),
    }


def event() -> dict[str, Any]:
    identity = new_id()
    content = {
        "format": "holdfast.audit-event/1",
        "id": str(identity),
        "action": "run.finished",
        "initiator": "token:01a2180b-44e3-7985-85dc-3d3918dc9ab4",
        "project": "oncology",
        "target": {"type": "run", "id": str(identity)},
        "outcome": "succeeded",
        "reason": "",
        "request_id": "",
        "trace_id": "",
        "content": {
            "exit_code": 0,
            "output_digests": {"model": "sha256:" + hashlib.sha256(identity.bytes).hexdigest()},
        },
    }
    return {
        "id": identity,
        "project": "oncology",
        "action": "run.finished",
        "initiator": content["initiator"],
        "target_type": "run",
        "target_id": str(identity),
        "outcome": "succeeded",
        "content": event_bytes(content).decode(),
    }


def recorded(connection: Any) -> None:
    """Write an event as every change of the service does."""
    row, salt = event(), os.urandom(SALT_SIZE_BYTES)
    write_record(connection, [{**row, "salt": salt, "commitment": commitment(salt, row["content"].encode())}], None)


def plain(connection: Any) -> None:
    """Write the same without anything that a ledger needs."""
    _INSERT.all(connection, event())


def load(engine: Any, write: Callable[[Any], None], writers: int, seconds: float) -> float:
    """Return how many transactions a second so many writers commit."""
    counts, begin = [0] * writers, threading.Barrier(writers + 1)

    def work(place: int) -> None:
        with engine.connect() as connection:
            begin.wait()
            while time.perf_counter() < until:
                write(connection)
                connection.commit()
                counts[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(writers)]
    until = time.perf_counter() + 3600
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    until = started + seconds
    begin.wait()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


@contextmanager
def sequencing(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """Run a sequencer in a process of its own."""
    url = place.engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen([sys.executable, "-c", _SEQUENCER, url, str(place.directory)])
    try:
        settle(place)
        yield process
    finally:
        process.kill()
        process.wait()


def settle(place: Place) -> None:
    """Return once everything is in the log."""
    deadline = time.monotonic() + 120
    while True:
        with place.engine.connect() as connection:
            status = status_of(connection)
        if status.waiting == 0:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the log does not catch up: {status}")
        time.sleep(0.1)


@contextmanager
def ageing(place: Place) -> Iterator[list[float]]:
    """Collect, all the time, how long the oldest event has waited that cannot be proved yet."""
    seen: list[float] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(_SAMPLE_S):
            with place.engine.connect() as connection:
                seen.append(status_of(connection).proof_age_s)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
