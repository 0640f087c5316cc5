"""The benchmark of transfers, on few bytes: both ways go there and back, and the report has what it promises."""

from __future__ import annotations

from pathlib import Path

from tests.support.benchmark import report_of


def test_the_benchmark_moves_the_files_both_ways_and_reports_the_ratios(here: Path) -> None:
    brief = ["--large-mib", "65", "--small-count", "20", "--rounds", "2"]
    report = report_of(here, "transfer", *brief)
    assert list(report["results"]) == ["1 file of 65 MiB", "20 files of 64 KiB"]
    for found in report["results"].values():
        for way in ("up", "down"):
            ratio = found[way]["ratio"]
            assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
            assert min(found[way]["agent_mib_per_s"], found[way]["boto3_mib_per_s"]) > 0
        assert found["up"]["ratio_with_hashing"]["median"] < found["up"]["ratio"]["median"]
