"""`holdfast retention plan` and `holdfast retention apply`, as they are typed, on a file system store and by the disposer's own login."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, text

from holdfast.settings import Platform
from holdfast.wire.canonical import document_digest
from tests.cli.conftest import Cli
from tests.support.disposal import APPROVER, PLANNER, begin, grow_old, index
from tests.support.holds import hold_on, place
from tests.support.postgres import PostgresServer
from tests.support.story import Story

PLAN = ("retention", "plan")
WHY = ("--reason", "the study is over")
NOBODY = "01a20e18-ee49-7ba9-aa93-6423bc86488b"
OTHER_ROOT = ("--root", "sha256:" + "0" * 64)


@pytest.fixture(scope="module")
def operator(cli: Cli, platform: Platform, postgres: PostgresServer, database: tuple[str, str]) -> dict[str, str]:
    """The environment of who carries plans out: the disposer's login, and the store."""
    name = str(make_url(database[0]).database)
    login = postgres.create_login(f"{name}_disposer", member_of="holdfast_disposer")
    return {
        "HOLDFAST_DISPOSER_URL": postgres.url(name, login),
        "HOLDFAST_OBJECTS_ROOT": str(platform.settings.objects_root),
    }


@dataclass(frozen=True)
class Desk:
    """The command lines of the people around one Project, whose objects may go."""

    story: Story
    planner: Cli
    officer: Cli
    operator: Cli
    platform: Platform

    def make(self) -> Any:
        return self.planner.json(*PLAN, "make", *WHY)

    def approved(self) -> Any:
        plan = self.make()
        approved = self.officer.json(*PLAN, "approve", plan["name"], "--root", plan["root"])
        index(self.platform.engine)
        return approved

    def model(self) -> Any:
        found = self.story.mia.artifacts.list(self.story.project).items
        return next(one.id for one in found if one.name == "model")

    def carried_out(self) -> Any:
        """Return the only plan that was carried out."""
        plan = self.approved()
        [done] = self.operator.json("retention", "apply", plan["name"])["plans"]
        return done


@pytest.fixture
def desk(cli: Cli, story: Story, operator: dict[str, str], platform: Platform, owner_sql: Connection) -> Desk:
    project = begin(story)
    project.succeed()
    grow_old(owner_sql)
    here = replace(cli, environment={**cli.environment, "HOLDFAST_PROJECT": project.project})
    return Desk(project, here.as_(PLANNER), here.as_(APPROVER), Cli(operator), platform)


@pytest.fixture
def proof(desk: Desk, tmp_path: Path) -> Path:
    """The proof of what became of the model."""
    model = desk.model()
    done = desk.carried_out()
    desk.officer.table(*PLAN, "prove", done["plan"], model, "--to", tmp_path / "model.json")
    return tmp_path / "model.json"


def test_a_plan_goes_from_its_making_to_its_certificate(desk: Desk, owner_sql: Connection, tmp_path: Path) -> None:
    root = desk.platform.settings.objects_root
    assert root is not None
    made = desk.make()
    assert (made["state"], made["item_count"], made["planned_by"], made["decision"]) == ("made", 4, PLANNER, None)
    assert made["name"] in desk.planner.table(*PLAN, "list")
    assert desk.planner.json(*PLAN, "show", made["name"]) == desk.planner.json(*PLAN, "show", made["id"]) == made
    items = desk.planner.json(*PLAN, "items", made["name"])["items"]
    assert [(one["index"], one["state"]) for one in items] == [(number, "planned") for number in range(4)]
    bytes_of = [
        root.joinpath(*(f"={part}" for part in one["object_key"].split("/"))) for one in items if one["object_key"]
    ]
    assert [place.is_dir() for place in bytes_of] == [True] * 3

    decided = ("--root", made["root"])
    assert "may not decide on it" in desk.planner.refused(5, *PLAN, "approve", made["name"], *decided)
    assert "its root is not the one named" in desk.officer.refused(4, *PLAN, "approve", made["name"], *OTHER_ROOT)
    assert "is not approved" in desk.operator.refused(4, "retention", "apply", made["name"])
    approved = desk.officer.json(*PLAN, "approve", made["name"], *decided, "--reason", "looked at each")
    assert (approved["state"], approved["decision"]["principal"]) == ("approved", APPROVER)
    assert "decided on once" in desk.officer.refused(4, *PLAN, "reject", made["name"], *decided)
    assert "is not in the log yet" in desk.operator.refused(7, "retention", "apply", made["name"])
    assert [place.is_dir() for place in bytes_of] == [True] * 3
    index(desk.platform.engine)

    before = events(owner_sql)
    [done] = desk.operator.json("retention", "apply", made["name"])["plans"]
    assert (done["plan"], done["purged"], done["kept"], done["residual"]) == (made["name"], 4, 0, 0)
    assert not any(place.is_dir() for place in bytes_of)
    left = events(owner_sql)[len(before) :]
    assert sorted(left) == [*["artifact.purged"] * 3, "dataset_version.purged", "retention_plan.certified"]

    # Again shows the same, and does nothing.
    assert desk.operator.json("retention", "apply", made["name"])["plans"] == [done]
    shown = desk.officer.json(*PLAN, "show", made["name"])
    assert (shown["state"], shown["outcomes"]) == ("certified", {"purged": 4})
    assert shown["certificate"] == done["certificate"]["digest"]
    assert desk.officer.json(*PLAN, "certificate", made["name"]) == done["certificate"]
    content = done["certificate"]["content"]
    assert (content["outcomes"], content["approval"]["principal"]) == (
        {"kept": 0, "purged": 4, "residual": 0},
        APPROVER,
    )
    for one in items:
        line = desk.officer.json(*PLAN, "prove", made["name"], one["object"])
        assert (line["line"]["outcome"], line["index"], line["size"]) == ("purged", one["index"], 4)
        file = tmp_path / f"{one['index']}.json"
        said = desk.officer.run(*PLAN, "prove", made["name"], one["object"], "--to", file)
        assert (said.exit_code, f"wrote {file}" in said.stdout + said.stderr) == (0, True), said.stderr
        verified = Cli().run(*PLAN, "verify", file)
        assert (verified.exit_code, one["object"] in verified.stdout + verified.stderr) == (0, True), verified.stderr
    # What was read has left no event.
    assert events(owner_sql)[len(before) :] == left


def events(owner: Connection) -> list[str]:
    return list(owner.scalars(text("SELECT action FROM audit_event ORDER BY recorded_at, id")))


def test_what_is_held_when_a_plan_is_carried_out_stays_and_the_certificate_says_why(desk: Desk) -> None:
    plan = desk.approved()
    model = desk.model()
    hold = place(desk.story, hold_on("artifact", model, is_expanded=False))
    [done] = desk.operator.json("retention", "apply", plan["name"])["plans"]
    # What went into the held model is kept with it: the model refers to it.
    assert (done["purged"], done["kept"], done["residual"]) == (2, 2, 0)
    line = desk.officer.json(*PLAN, "prove", plan["name"], model)["line"]
    assert (line["outcome"], f"under legal hold {hold.name}" in line["says"]) == ("kept", True)
    assert "under legal hold" in desk.officer.table(*PLAN, "items", plan["name"])


def test_a_plan_is_rejected_or_withdrawn_and_then_nothing_goes_by_it(desk: Desk) -> None:
    rejected, withdrawn = desk.make(), desk.make()
    no = desk.officer.json(*PLAN, "reject", rejected["name"], "--root", rejected["root"], "--reason", "not yet")
    assert (no["state"], no["decision"]["reason"]) == ("rejected", "not yet")
    back = desk.planner.json(*PLAN, "withdraw", withdrawn["name"], *WHY)
    assert back["state"] == "withdrawn"
    for plan in (rejected, withdrawn):
        assert "is not approved" in desk.operator.refused(4, "retention", "apply", plan["name"])
        assert "has no certificate yet" in desk.officer.refused(3, *PLAN, "certificate", plan["name"])
        assert "decided on once" in desk.officer.refused(4, *PLAN, "approve", plan["name"], "--root", plan["root"])
        assert "decided on once" in desk.planner.refused(4, *PLAN, "withdraw", plan["name"], *WHY)


def test_words_that_name_nothing_are_refused_with_what_to_write(desk: Desk, story: Story, tmp_path: Path) -> None:
    plan = desk.make()
    name, root = plan["name"], ("--root", plan["root"])
    assert "Say why" in desk.planner.refused(2, *PLAN, "make")
    assert "Say why" in desk.planner.refused(2, *PLAN, "make", "--reason", "  ")
    assert "Say why" in desk.planner.refused(2, *PLAN, "withdraw", name)
    assert "names no retention plan" in desk.officer.refused(2, *PLAN, "show", "12")
    assert "names no retention plan" in desk.operator.refused(2, "retention", "apply", "RP-0")
    for other in ("RP-999999", NOBODY):
        assert "there is no retention plan" in desk.officer.refused(3, *PLAN, "show", other)
        assert "there is no retention plan" in desk.officer.refused(3, *PLAN, "items", other)
        assert "there is no retention plan" in desk.officer.refused(3, *PLAN, "approve", other, *root)
        assert "there is no retention plan" in desk.operator.refused(3, "retention", "apply", other)
    # A plan of another Project is not there either.
    elsewhere = replace(desk.officer, environment={**desk.officer.environment, "HOLDFAST_PROJECT": story.project})
    assert "there is no retention plan" in elsewhere.refused(3, *PLAN, "show", name)
    assert "digest" in desk.officer.refused(2, *PLAN, "approve", name, "--root", "sha256:00")
    assert "retention.plan_decide" in desk.planner.as_("user:mia").refused(5, *PLAN, "approve", name, *root)
    assert "retention.plan" in desk.planner.as_("user:vera").refused(5, *PLAN, "make", *WHY)
    assert "has no certificate yet" in desk.officer.refused(3, *PLAN, "prove", name, NOBODY)


def test_where_nothing_may_go_there_is_no_plan(desk: Desk) -> None:
    assert desk.carried_out()["purged"] == 4
    assert "may go now" in desk.planner.refused(4, *PLAN, "make", *WHY)


def test_a_plan_is_carried_out_by_its_own_login_on_its_own_store(
    desk: Desk, operator: dict[str, str], platform_env: dict[str, str], tmp_path: Path
) -> None:
    plan = desk.approved()
    apply = ("retention", "apply", plan["name"])

    def by(**changes: str) -> Cli:
        return Cli({**operator, **changes})

    wrong = by(HOLDFAST_DISPOSER_URL=platform_env["HOLDFAST_DATABASE_URL"]).refused(2, *apply)
    assert "may not carry out retention plans" in wrong
    assert "holdfast_disposer" in wrong
    assert "HOLDFAST_DISPOSER_URL" in Cli({"HOLDFAST_OBJECTS_ROOT": operator["HOLDFAST_OBJECTS_ROOT"]}).refused(
        2, *apply
    )
    assert "names the object store" in Cli({"HOLDFAST_DISPOSER_URL": operator["HOLDFAST_DISPOSER_URL"]}).refused(
        2, *apply
    )
    assert "is for the object store" in by(HOLDFAST_OBJECTS_ROOT=str(tmp_path)).refused(4, *apply)
    moved = Path(operator["HOLDFAST_OBJECTS_ROOT"])
    aside = moved.with_name("aside")
    moved.rename(aside)
    try:
        assert "is not there" in desk.operator.refused(7, *apply)
    finally:
        aside.rename(moved)
    # Nothing has gone by any of that, and the next call goes on.
    [done] = desk.operator.json(*apply)["plans"]
    assert (done["purged"], done["residual"]) == (4, 0)


def test_what_stays_in_the_store_is_said_and_the_exit_code_says_so(desk: Desk) -> None:
    plan = desk.approved()
    root = desk.platform.settings.objects_root
    assert root is not None
    items = desk.officer.json(*PLAN, "items", plan["name"])["items"]
    key = next(one["object_key"] for one in items if one["object_key"])
    stuck = root.joinpath(*(f"={part}" for part in key.split("/"))) / "stuck"
    stuck.mkdir()  # no version of ours, which a file's removal does not remove
    result = desk.operator.run("retention", "apply", plan["name"])
    assert (result.exit_code, "bytes stay that had to go" in result.stderr) == (7, True), result.stderr
    left = [one for one in desk.officer.json(*PLAN, "items", plan["name"])["items"] if one["state"] == "residual"]
    assert [(one["object_key"], "version stuck is still there" in one["says"]) for one in left] == [(key, True)]
    assert desk.officer.json(*PLAN, "show", plan["name"])["outcomes"] == {"purged": 3, "residual": 1}
    # Once that is mended, the next plan has it again.
    stuck.rmdir()
    again = desk.approved()
    assert again["item_count"] == 1
    [done] = desk.operator.json("retention", "apply", again["name"])["plans"]
    assert (done["purged"], done["residual"]) == (1, 0)


def test_without_a_name_every_approved_plan_is_carried_out(desk: Desk, cli: Cli) -> None:
    plan = desk.approved()
    done = {one["plan"]: one for one in desk.operator.json("retention", "apply")["plans"]}
    assert done[plan["name"]]["purged"] == 4
    assert desk.operator.json("retention", "apply")["plans"] == []


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "the outcome": (lambda found: found["line"].update(outcome="kept"), "another root"),
    "the object": (lambda found: found["line"].update(object=NOBODY), "another root"),
    "the place": (lambda found: found.update(index=(found["index"] + 1) % found["size"]), "another root"),
    "the path": (
        lambda found: found["path"].__setitem__(0, base64.b64encode(secrets.token_bytes(32)).decode()),
        "another root",
    ),
    "the certificate": (
        lambda found: found["certificate"]["content"]["outcomes"].update(purged=5),
        "is not what its digest says",
    ),
    "its digest": (
        lambda found: found["certificate"].update(digest="sha256:" + "0" * 64),
        "is not what its digest says",
    ),
    "the plan that it is of": (lambda found: found["certificate"].update(plan=NOBODY), "is of another plan"),
    "the plan and the certificate's word for it": (
        lambda found: recertified(found, lambda content: content["plan"].update(id=NOBODY)),
        "is of another plan",
    ),
    "how many items it has": (
        lambda found: recertified(found, lambda content: content["plan"].update(items=5)),
        "is of another plan",
    ),
    "the root": (lambda found: recertified(found, lambda content: content.pop("root")), "has no root"),
}


def recertified(found: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a certificate, with a digest that fits."""
    content = found["certificate"]["content"]
    change(content)
    found["certificate"]["digest"] = "sha256:" + document_digest(content).hex()


def test_a_proof_is_checked_offline_and_whatever_is_changed_is_noticed(proof: Path, tmp_path: Path) -> None:
    said = Cli().run(*PLAN, "verify", proof)
    assert said.exit_code == 0
    assert ": purged. Its digest sha256:" in said.stdout + said.stderr
    for number, (what, (change, words)) in enumerate(CHANGES.items()):
        found = json.loads(proof.read_text())
        change(found)
        changed = tmp_path / f"changed{number}.json"
        changed.write_text(json.dumps(found))
        assert words in Cli().refused(6, *PLAN, "verify", changed), what


def test_a_file_that_holds_no_proof_and_one_that_is_there_already_are_refused(
    proof: Path, desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("nothing")
    assert "holds no proof" in Cli().refused(2, *PLAN, "verify", tmp_path / "text")
    found = json.loads(proof.read_text())
    (tmp_path / "path").write_text(json.dumps({**found, "path": ["?"]}))
    assert "holds no proof" in Cli().refused(2, *PLAN, "verify", tmp_path / "path")
    assert "cannot be read" in Cli().refused(2, *PLAN, "verify", tmp_path / "none")
    before, model = proof.read_bytes(), found["line"]["object"]
    assert "cannot be written" in desk.officer.refused(2, *PLAN, "prove", found["line"]["plan"], model, "--to", proof)
    assert proof.read_bytes() == before
    assert "has no object" in desk.officer.refused(3, *PLAN, "prove", found["line"]["plan"], NOBODY)
