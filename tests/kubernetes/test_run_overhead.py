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


@pytest.fixture(scope="module")
def here(plane: DataPlane, place: Installation) -> Iterator[Place]:
    with Markers(plane.cluster.host) as markers:
        yield Place.of(plane, place, markers)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("count", "seconds"), [(4, [0]), pytest.param(20, [0, 6], marks=pytest.mark.soak)], ids=["few", "twenty"]
)
def test_runs_at_once_are_all_recorded_and_their_commands_run_once_each(
    here: Place, count: int, seconds: list[float]
) -> None:
    report = measure(here, rounds=1, seconds=seconds, parallel=count, console=Console(quiet=True))
    at_once = report["at_once"]
    assert (at_once["count"], at_once["recorded_lost"]) == (count, 0)
    for alone, least_s in zip(report["one_at_a_time"], seconds, strict=True):
        for way in WAYS:
            assert least_s < alone[f"{way}_s"]["min"]
        beyond_s = alone["recorded_s"]["median"] - alone["plain_s"]["median"]
        assert alone["beyond_s"]["median"] == pytest.approx(beyond_s, abs=0.01)
    assert all(at_once[f"{way}_s"] > 0 for way in WAYS)
