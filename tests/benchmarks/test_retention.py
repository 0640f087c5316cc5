"""The benchmark of retention, briefly: it goes through, and the report has what it promises. How fast is not judged here."""

from __future__ import annotations

from pathlib import Path

from tests.support.benchmark import report_of


def test_a_plan_is_made_among_many_and_by_hand(here: Path) -> None:
    [found] = report_of(here, "retention", "plan", "--artifacts", "500", "--due", "40", "--rounds", "1")["plan"]
    assert (found["items"], found["ratio"]["median"] > 0) == (40, True)


def test_versions_are_locked_and_deleted_and_so_by_bare_calls(here: Path) -> None:
    deleted, locked = report_of(here, "retention", "store", "--versions", "60")["store"]
    assert (deleted["versions"], locked["versions"]) == (60, 60)
    assert all(found["ratio"] > 0 for found in (deleted, locked))
