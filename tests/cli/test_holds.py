"""`holdfast hold`, as a Security Officer gives it."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from tests.cli.conftest import Cli
from tests.support.holds import OFFICERS, bind_officers, cool_off
from tests.support.story import Story

ON = ("--matter", "Doe v. Clinic", "--reason", "a letter of counsel")


@pytest.fixture(scope="module")
def officer(cli: Cli, story: Story) -> Cli:
    bind_officers(story)
    return cli.as_(OFFICERS[0])


def test_a_hold_from_its_placing_to_its_release(officer: Cli, story: Story, owner_sql: Connection) -> None:
    version = story.register_model()
    scope = ("--object", f"model_version/{version.id}")
    said = officer.json("hold", "place", *ON, *scope, "--dry-run")
    assert said == {"objects": {"artifact": 3, "dataset_version": 1, "model_version": 1, "run": 1}, "total": 6}
    assert officer.json("hold", "list")["items"] == []
    hold = officer.json("hold", "place", *ON, *scope, "--custodian", "Dr. Roe", "--custodian", "IT")
    assert (hold["objects"], hold["custodians"]) == (said["objects"], ["Dr. Roe", "IT"])
    assert (hold["locks"], hold["state"]) == ({"wanted": 3, "locked": 0, "released": 0}, "placed")
    shown = officer.run("hold", "show", hold["name"])
    assert "Doe v. Clinic" in shown.stdout
    assert "3 Artifacts are not locked in the object store yet: held by the database alone" in shown.stderr
    assert str(version.id) in officer.table("hold", "objects", hold["name"])
    assert hold["name"] in officer.table("hold", "list", "--active")
    assert "waits for a decision" in officer.refused(4, "hold", "approve-release", hold["name"])
    officer.json("hold", "request-release", hold["name"], "--reason", "settled")
    other = officer.as_(OFFICERS[1])
    assert "cools off until" in other.refused(4, "hold", "approve-release", hold["name"])
    cool_off(owner_sql, type("Hold", (), {"id": hold["id"]}))
    assert "may not approve it" in officer.refused(5, "hold", "approve-release", hold["name"])
    assert other.json("hold", "approve-release", hold["name"], "--reason", "seen")["state"] == "released"
    assert [one["name"] for one in officer.json("hold", "list", "--released")["items"]] == [hold["name"]]


def test_a_query_is_of_the_project_and_too_much_has_to_be_meant(officer: Cli, story: Story) -> None:
    story.succeed()
    query = ("--query", "artifact", "--name", "mod*", "--created-before", "2100-01-01")
    hold = officer.json("hold", "place", *ON, *query, "--no-expand", "--yes")
    assert hold["query"]["project"] == story.project
    assert hold["query"]["created_before"] == "2100-01-01T00:00:00Z"
    assert set(hold["objects"]) == {"artifact"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name one of the two"),
        (("--object", "artifact"), "'artifact' names no object"),
        (("--object", "dataset/01a20e18-ee49-7ba9-aa93-6423bc86488b"), "names no object"),
        (("--object", "run/01a20e18-ee49-7ba9-aa93-6423bc86488b"), "there is no run 01a20e18"),
        (("--query", "artifact", "--kind", "no-such-kind"), "a legal hold on nothing"),
        (("--kind", "model"), "there is no query for --kind"),
        (
            ("--query", "artifact", "--created-after", "2026-01-02", "--created-before", "2026-01-01"),
            "nothing is created both after and before",
        ),
    ],
)
def test_bad_input_is_named(words: tuple[str, ...], said: str, officer: Cli) -> None:
    assert said in officer.refused(2, "hold", "place", *ON, *words)
    assert "names no legal hold" in officer.refused(2, "hold", "show", "12")
    assert "no legal hold LH-99999" in officer.refused(3, "hold", "show", "LH-99999")
