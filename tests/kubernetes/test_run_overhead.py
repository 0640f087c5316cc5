"""Many Runs at once, beside as many pods of Airflow's own operator: none is lost, none is doubled. The benchmark's own way, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks.run_overhead.__main__ import measure
from benchmarks.run_overhead.place import WAYS, Place
from rich.console import Console

from tests.support.airflow import Installation
from tests.support.kubernetes.data_plane import DataPlane
from tests.support.markers import Markers

AT_ONCE = 20


@pytest.fixture(scope="module")
def here(plane: DataPlane, place: Installation) -> Iterator[Place]:
    with Markers(plane.cluster.host) as markers:
        yield Place.of(plane, place, markers)


def test_twenty_runs_at_once_are_all_recorded_and_their_commands_run_once_each(here: Place) -> None:
    report = measure(here, rounds=1, parallel=AT_ONCE, console=Console(quiet=True))
    alone, at_once = report["one_at_a_time"], report["at_once"]
    assert at_once["count"] == AT_ONCE
    for way in WAYS:
        assert 0 < alone[f"{way}_s"]["min"] <= at_once[f"{way}_s"]
    assert alone["beyond_s"]["median"] == pytest.approx(
        alone["recorded_s"]["median"] - alone["plain_s"]["median"], abs=0.01
    )
