"""The benchmark of the export, on few events: each way exports all of them, and the report has what it promises."""

from __future__ import annotations

from pathlib import Path

from tests.support.benchmark import report_of


def test_the_benchmark_exports_every_way_and_reports_rates_ratios_and_memory(here: Path) -> None:
    report = report_of(here, "export", "--events", "600", "--rounds", "2")
    assert set(report["ways"]) == {"webhook json", "webhook ocsf", "webhook cef", "files json"}
    for way in report["ways"].values():
        assert 0 < way["per_s"]["min"] <= way["per_s"]["max"]
        assert way["ratio"]["median"] > 0
    assert len(report["peak_mb"]) == 2
