"""The benchmark of the audit ledger, briefly: it goes through, and the report has what it promises. How fast is not judged here."""

from __future__ import annotations

from pathlib import Path

from tests.support.benchmark import report_of


def test_writers_are_measured_with_and_without_a_ledger(here: Path) -> None:
    [found] = report_of(here, "audit", "append", "--writers", "2", "--rounds", "1", "--seconds", "0.5")["append"]
    assert (found["writers"], found["ratio"]["median"] > 0, found["events_per_s"] > 0) == (2, True, True)
    assert found["proof_age_p99_s"] >= 0


def test_a_log_is_verified_and_an_event_of_it_proved(here: Path) -> None:
    found = report_of(here, "audit", "look", "--events", "700", "--rounds", "1")
    assert found["prove"][0]["events"] == found["verify"][0]["events"] == 700
    ratios = found["verify"][0]["ratio"]
    assert set(ratios) == {"files", "files and rows", "files and rows, to reading and hashing them"}
    assert all(ratio["median"] > 0 for ratio in ratios.values())
