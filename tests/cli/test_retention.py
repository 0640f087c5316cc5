"""`holdfast retention`, as it is typed, against the real API."""

from __future__ import annotations

import secrets

from tests.cli.conftest import Cli
from tests.support.story import Story

SCOPE = ["--of", "artifact", "--starts", "created", "--days", "3650", "--then", "delete"]


def test_a_policy_is_proposed_by_one_person_and_approved_by_another(cli: Cli, story: Story) -> None:
    name, olaf = f"r{secrets.token_hex(4)}", cli.as_("user:olaf")
    label = ("--label", name)
    made = cli.json("retention", "policy", "propose", name, *SCOPE, *label, "--reason", "the law of medical products")
    assert (made["state"], made["version"], made["project"], made["decision"]) == ("proposed", 1, story.project, None)
    digest = ("--digest", made["digest"])

    assert "retention.decide" in cli.refused(5, "retention", "policy", "approve", made["id"], *digest)
    wrong = ("--digest", "sha256:" + "0" * 64)
    assert "another content" in olaf.refused(4, "retention", "policy", "approve", made["id"], *wrong)
    approved = olaf.json("retention", "policy", "approve", made["id"], *digest, "--reason", "checked")
    assert (approved["state"], approved["decision"]["principal"]) == ("in_force", "user:olaf")
    assert "in_force" in cli.table("retention", "policy", "list")
    assert cli.json("retention", "policy", "show", made["id"]) == approved
    assert "decided on once" in olaf.refused(4, "retention", "policy", "reject", made["id"], *digest)

    again = cli.json("retention", "policy", "propose", name, *SCOPE, *label, "--reason", "the same")
    assert again == approved
    longer = ["4000" if word == "3650" else word for word in SCOPE]
    second = cli.json("retention", "policy", "propose", name, *longer, *label, "--reason", "longer")
    assert (second["version"], second["state"]) == (2, "proposed")
    assert "waits for its decision" in cli.refused(4, "retention", "policy", "end", made["id"], "--reason", "r")
    assert cli.json("retention", "policy", "withdraw", second["id"], "--reason", "not now")["state"] == "withdrawn"

    ending = cli.json("retention", "policy", "end", made["id"], "--reason", "over")
    assert (ending["version"], ending["is_end"]) == (3, True)
    olaf.json("retention", "policy", "approve", ending["id"], "--digest", ending["digest"])
    assert cli.json("retention", "policy", "show", made["id"])["state"] == "superseded"
    assert "is not in force" in cli.refused(4, "retention", "policy", "end", made["id"], "--reason", "r")


def test_words_that_make_no_policy_are_refused_with_what_can_be(cli: Cli) -> None:
    propose = ("retention", "policy", "propose", "p")
    assert "Say why" in cli.refused(2, *propose, *SCOPE)
    why = ("--reason", "r")
    for word, other, said in (
        ("3650", "0", "greater than or equal to 1"),
        ("3650", "-5", "greater than or equal to 1"),
        ("3650", "36501", "less than or equal to 36500"),
        ("created", "segment_sealed", "no clock starts with segment_sealed"),
        ("artifact", "audit_event", "holdfast ledger keep"),
        ("artifact", "run_log", "no clock starts with created"),
    ):
        words = [other if found == word else found for found in SCOPE]
        assert said in cli.refused(2, *propose, *words, *why), other


def test_two_policies_of_one_scope_are_refused(cli: Cli) -> None:
    label = ("--label", secrets.token_hex(4))
    cli.json("retention", "policy", "propose", f"r{secrets.token_hex(4)}", *SCOPE, *label, "--reason", "r")
    said = cli.refused(4, "retention", "policy", "propose", f"r{secrets.token_hex(4)}", *SCOPE, *label, "--reason", "r")
    assert "has the scope of policy" in said


def test_a_policy_of_all_projects_is_not_a_projects_to_propose(cli: Cli) -> None:
    words = ("retention", "policy", "propose", f"r{secrets.token_hex(4)}", *SCOPE, "--reason", "r", "--platform")
    assert "on the platform" in cli.refused(5, *words)
    made = cli.as_("system:install").json(*words, "--label", secrets.token_hex(4))
    assert made["project"] is None
    assert made["id"] in cli.table("retention", "policy", "list")


def test_it_is_explained_why_something_is_still_there(cli: Cli, story: Story) -> None:
    run = story.succeed()
    artifact, data = str(story.artifact(run, "plots/roc.svg")), str(story.register_dataset())
    said = cli.table("retention", "explain", "artifact", artifact)
    assert said.startswith(f"artifact {artifact} is kept, with no end that is known, by default no policy, no deletion")
    found = cli.json("retention", "explain", artifact)
    assert (found["outcome"], found["decided_by"]["rule"]) == ("kept", "default")
    said = cli.table("retention", "explain", "dataset-version", data)
    assert "to which no retention policy in force applies" in said
    assert "What would be otherwise" in said
    assert cli.json("retention", "explain", "run", str(run.id))["object_type"] == "run_log"
    assert "is a artifact" in cli.refused(2, "retention", "explain", "run", artifact)
    assert "names no object" in cli.refused(2, "retention", "explain", "artifact", "seven")
    assert "has no Artifact" in cli.refused(3, "retention", "explain", "01a20e18-ee49-7ba9-aa93-6423bc86488b")
