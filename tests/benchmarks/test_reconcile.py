"""The benchmark of the reconciler, on few pods: a pass over each number of them, and the report has what it promises."""

from __future__ import annotations

from pathlib import Path

from tests.support.benchmark import report_of


def test_the_benchmark_plans_and_applies_at_each_count_and_reports_time_and_memory(here: Path) -> None:
    brief = ["--counts", "20", "40", "--projects", "2", "--rounds", "1"]
    report = report_of(here, "reconcile", *brief)
    assert [entry["pods_and_runs"] for entry in report["results"]] == [20, 40]
    for entry in report["results"]:
        for way in ("api", "direct"):
            # Three pods of no Run, three Runs without a pod, three pods of ended Runs in each Project that was just filled.
            assert entry[way]["items"] == 2 * 3 * 3
            assert 0 < entry[way]["plan_cpu_s"] <= entry[way]["plan_s"] + 1
            assert entry[way]["peak_mb"] > 0
        assert entry["apply"]["items"] == entry["api"]["items"]
    assert set(report["memory_ratio"]) == {"api", "direct"}
