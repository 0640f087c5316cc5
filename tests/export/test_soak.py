"""What a long stream costs: memory stays where it is, however many events go through."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from holdfast.export.exporter import IDLE, Exporter
from holdfast.export.feed import Feed
from holdfast.export.sink import Batch
from tests.support.export import ExportPlace

MIB = 1 << 20


class _Forgetting:
    """A sink that takes everything and keeps nothing but the last index."""

    def __init__(self) -> None:
        self.events = 0

    def deliver(self, batch: Batch) -> int:
        assert sum(map(len, batch.lines)) < 64 * MIB
        self.events += len(batch.lines)
        return batch.last + 1

    def close(self) -> None:
        """Nothing is open."""


def peaks(place: ExportPlace, name: str, rounds: Sequence[int]) -> list[int]:
    """Return the most that was allocated while each number of events went through, in bytes."""
    sink, settings = _Forgetting(), place.files(place.root / "unused", batch=500)
    place.operations.add(name, settings)
    exporter = Exporter(place.engine, name, settings, sink, Feed(place.engine, place.log))
    found = []
    for count in rounds:
        place.publish(count)
        gc.collect()
        tracemalloc.start()
        before = sink.events
        while exporter.step() != IDLE:
            pass
        found.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sink.events - before >= count
    return found


def test_memory_does_not_grow_with_the_number_of_events(place: ExportPlace, named: Callable[[], str]) -> None:
    warm, few, many = peaks(place, named(), [600, 1000, 5000])
    assert many < 1.3 * max(warm, few), (warm, few, many)
    assert many < 16 * MIB


def test_a_batch_of_large_events_is_cut_by_its_bytes(place: ExportPlace, named: Callable[[], str]) -> None:
    sink, settings, name = _Forgetting(), place.files(place.root / "unused", batch=500, limit_bytes=16 * MIB), named()
    place.operations.add(name, settings)
    exporter = Exporter(place.engine, name, settings, sink, Feed(place.engine, place.log))
    place.publish()
    place.catch_up(exporter)
    before = sink.events
    place.publish(20, content={"parameters": "x" * (3 * MIB)})
    assert exporter.step() == timedelta(0)
    assert sink.events - before == 3
    place.catch_up(exporter)
    assert sink.events - before == 20


@pytest.mark.soak
def test_a_hundred_thousand_events_take_no_more_memory_than_ten_thousand(
    place: ExportPlace, named: Callable[[], str]
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    few, many = peaks(place, named(), [10_000, 100_000])
    assert many < 1.3 * few, (few, many)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 200 * 1024
