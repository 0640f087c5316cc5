"""Each command, as it is typed, against the real API."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from holdfast.cli.main import EXIT_CODES, app
from holdfast.core import errors
from holdfast.core.access import AIRFLOW_SCOPE
from holdfast.settings import Platform
from tests.cli.conftest import Cli
from tests.support.story import CONTENT, Story


def commands_of(command, path=()):
    """Yield (words, command) of every command below one."""
    if not getattr(command, "commands", None):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from commands_of(below, (*path, name))


ALL = list(commands_of(get_command(app)))


@pytest.mark.parametrize("words", [words for words, _ in ALL], ids=" ".join)
def test_every_command_explains_itself_and_each_of_its_options(words: tuple[str, ...]) -> None:
    result = Cli().run(*words, "--help")
    assert result.exit_code == 0
    command = dict(ALL)[words]
    assert command.help
    assert command.help.strip()[0].isupper()
    for parameter in command.params:
        assert parameter.name == "help" or parameter.help, parameter.name


def test_no_command_has_an_option_of_the_roots_name() -> None:
    ours = {name for parameter in get_command(app).params for name in parameter.opts if parameter.name != "help"}
    for words, command in ALL:
        taken = ours & {name for parameter in command.params for name in parameter.opts}
        assert not taken, f"{' '.join(words)} {taken}"


def test_each_of_the_six_errors_has_an_exit_code_of_its_own() -> None:
    assert set(EXIT_CODES) == set(errors.ERRORS)
    assert sorted(EXIT_CODES.values()) == [2, 3, 4, 5, 6, 7]


def test_without_a_command_it_shows_its_help() -> None:
    assert "Exit codes" in Cli().run().output


def test_the_roots_options_may_stand_anywhere(cli: Cli, story: Story) -> None:
    story.succeed()
    for words in (
        ("--output", "json", "run", "list"),
        ("run", "--output=json", "list"),
        ("run", "list", "-o", "json"),
    ):
        assert json.loads(cli.table(*words))["items"]
    assert "no Project 'elsewhere'" in cli.refused(3, "run", "list", "--project", "elsewhere")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "show"), "Missing argument"),
        (("run", "show", "seven"), "UUID"),
        (("run", "list", "--limit", "0"), "--limit"),
        (("run", "list", "--colour"), "--colour"),
        (("run", "begin"), "begin"),
    ],
)
def test_words_that_are_wrong_are_an_error_as_json_where_json_is_asked_for(
    words: tuple[str, ...], said: str, cli: Cli
) -> None:
    result = cli.run(*words, "-o", "json")
    assert (result.exit_code, result.stdout) == (2, "")
    error = json.loads(result.stderr)["error"]
    assert (error["title"], error["remedy"], said in error["detail"]) == ("invalid request", "See --help", True)
    assert "Usage" in cli.run(*words).stderr


def test_a_project_is_made_looked_at_and_archived(cli: Cli) -> None:
    name, install = f"p{secrets.token_hex(5)}", cli.as_("system:install")
    made = install.json("project", "create", name, "--owner", "a team")
    assert (made["name"], made["project_class"], made["data_plane"]) == (name, "development", "local")
    bound = install.json("project", "bind", "user:mia", "viewer", "-p", name)
    assert name in cli.table("project", "list")
    assert cli.json("project", "show", name) == made
    assert cli.json("project", "bindings", "-p", name)["items"][0]["subject"] == "user:mia"
    assert install.json("project", "unbind", bound["id"], "-p", name)["revoked_at"]
    assert f"no Project '{name}'" in cli.refused(3, "project", "show", name)
    assert "not undone" in install.refused(2, "project", "archive", name, "--reason", "it has ended")
    assert install.json("project", "archive", name, "--reason", "it has ended", "--yes")["archived_at"]
    assert "read-only" in install.refused(5, "environment", "lock", "e", "--interpreter", sys.executable, "-p", name)


def test_roles_on_the_platform_are_bound_apart(cli: Cli) -> None:
    install = cli.as_("system:install")
    subject = f"group:{secrets.token_hex(4)}"
    bound = install.json("project", "bind", subject, "sre", "--platform")
    assert bound["project"] is None
    assert subject in install.table("project", "bindings", "--platform")
    install.json("project", "unbind", bound["id"], "--platform")


def test_a_token_is_printed_alone_once_and_works_until_it_is_revoked(cli: Cli, story: Story) -> None:
    result = cli.run("token", "create", "airflow", "--airflow", "--lifetime", "12h")
    secret = result.stdout.strip()
    assert (result.exit_code, secret.startswith("hft_")) == (0, True)
    assert secret not in result.stderr
    listed = cli.json("token", "list")["items"][0]
    assert sorted(listed["scope"]) == sorted(AIRFLOW_SCOPE)
    assert secret not in cli.table("token", "list")
    bearer = cli.as_(secret)
    assert bearer.json("project", "show")["name"] == story.project
    assert "may not token.write" in bearer.refused(5, "token", "list")
    cli.json("token", "revoke", listed["id"])
    assert "was revoked" in bearer.refused(5, "project", "show")
    assert "good for nothing" in cli.refused(2, "token", "create", "empty")
    assert "not a duration" in cli.refused(2, "token", "create", "long", "--airflow", "--lifetime", "for ever")


def test_an_environment_is_locked_with_what_is_installed(cli: Cli) -> None:
    locked = cli.json("environment", "lock", "tests", "--interpreter", sys.executable)
    assert {"pytest", "sqlalchemy"} <= set(locked["distributions"])
    image = "registry.example/sklearn@sha256:" + "a" * 64
    assert cli.json("environment", "lock", "tests", "--image", image)["number"] == locked["number"] + 1
    assert "tests" in cli.table("environment", "list")
    assert "not named by digest" in cli.refused(2, "environment", "lock", "tests", "--image", "sklearn:latest")
    assert "is not a Python" in cli.refused(2, "environment", "lock", "tests", "--interpreter", "/nowhere/python")
    assert "an image or an interpreter" in cli.refused(2, "environment", "lock", "tests")


def test_runs_and_datasets_are_shown_with_their_bindings(cli: Cli, story: Story) -> None:
    run = story.succeed()
    assert str(run.id) in cli.table("run", "list", "--state", "succeeded")
    shown = cli.table("run", "show", run.id)
    assert run.seal in shown
    assert "max_depth=4" in shown
    assert cli.json("run", "show", run.id)["seal"] == run.seal
    assert cli.json("run", "list", "--pipeline-run", run.pipeline_run)["items"]
    version = run.inputs[0].dataset_version
    assert cli.json("dataset", "show", version)["id"] == str(version)
    assert "tumours" in cli.table("dataset", "list", "tumours")
    assert "data.csv" in cli.table("dataset", "files", version)


def test_a_page_says_how_the_next_one_is_got(cli: Cli, story: Story) -> None:
    for _ in range(2):
        story.succeed()
    first = cli.run("run", "list", "--limit", 1)
    cursor = first.stderr.split("--cursor ")[1].strip()
    whole = [item["id"] for item in cli.json("run", "list", "--limit", 2)["items"]]
    assert cli.json("run", "list", "--limit", 1, "--cursor", cursor)["items"][0]["id"] == whole[1]
    assert "not a cursor" in cli.refused(2, "run", "list", "--cursor", "%%%")


def test_an_artifact_is_fetched_whole_and_nothing_is_overwritten(cli: Cli, story: Story, tmp_path: Path) -> None:
    artifact = story.artifact(story.succeed(), "model")
    target = tmp_path / "model.skops"
    fetched = cli.json("artifact", "get", artifact, "--to", target)
    assert target.read_bytes() == CONTENT["model"]
    assert fetched["digest"] == "sha256:" + hashlib.sha256(CONTENT["model"]).hexdigest()
    assert "exists already" in cli.refused(4, "artifact", "get", artifact, "--to", target)
    assert cli.run("artifact", "get", artifact, "--to", "-").stdout_bytes == CONTENT["model"]
    assert "cannot be written" in cli.refused(2, "artifact", "get", artifact, "--to", tmp_path / "no" / "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.skops"]
    assert str(artifact) in cli.table("artifact", "list")
    assert cli.json("artifact", "show", artifact)["name"] == "model"
    assert cli.json("artifact", "verify", artifact)["verified"] is True


@pytest.mark.parametrize("change", ["other bytes", "cut short", "gone"])
def test_an_artifact_that_is_not_what_was_recorded_is_not_given(
    cli: Cli, story: Story, platform: Platform, tmp_path: Path, change: str
) -> None:
    content = {**CONTENT, "model": secrets.token_bytes(3 << 20)}
    run = story.start_run()
    artifact = story.artifact(story.finish_run(run, artifacts=story.store(run, content)), "model")
    record = story.mia.artifacts.get(story.project, artifact)
    path = platform.objects._path(record.object_key, record.version_id)
    path.chmod(0o600)
    match change:
        case "other bytes":
            path.write_bytes(content["model"][:-1] + bytes([content["model"][-1] ^ 1]))
        case "cut short":
            path.write_bytes(content["model"][:-1])
        case _:
            path.unlink()
    for words in (("artifact", "verify", artifact), ("artifact", "get", artifact, "--to", tmp_path / "model")):
        said = cli.refused(6, *words)
        assert "model" in said
        assert "grant_token" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_model_goes_to_its_alias_by_commands_alone(cli: Cli, story: Story) -> None:
    policy = f"p{secrets.token_hex(4)}"
    defined = cli.json("policy", "define", policy, "--metric", "accuracy >= 0.9", "--approvals", "1:security_officer")
    assert [gate["gate"] for gate in defined["gates"]] == ["metric", "approval"]
    assert policy in cli.table("policy", "list")
    version = story.register_model()
    asked = cli.json("promote", "request", "--model-version", version.id, "--alias", "challenger", "--policy", policy)
    officer = cli.as_("user:olaf")
    decide = (asked["id"], "--evidence", asked["evidence_digest"], "--reason", "looked at it")
    assert "took part in making" in cli.refused(5, "promote", "approve", *decide)
    assert "other evidence" in officer.refused(4, "promote", "approve", asked["id"], "--evidence", "sha256:" + "0" * 64)
    assert officer.json("promote", "approve", *decide)["state"] == "approved"
    moved = cli.json("promote", "execute", asked["id"])
    assert moved["approved_by"] == ["user:olaf"]
    assert cli.json("promote", "execute", asked["id"]) == moved
    assert asked["id"] in cli.table("promote", "list", "--state", "executed")
    assert "took part" not in cli.table("promote", "show", asked["id"])
    assert f"challenger={version.number}" in cli.table("model", "list")
    assert str(version.id) in cli.table("model", "versions", "tumours")
    assert "user:olaf" in cli.table("model", "history", "tumours", "--alias", "challenger")
    assert cli.json("model", "at", "tumours@challenger")["model_version"] == str(version.id)
    assert "pointed at nothing" in cli.refused(3, "model", "at", "tumours@challenger", "--time", "2001-01-01T00:00Z")
    assert "no time zone" in cli.refused(2, "model", "at", "tumours@challenger", "--time", "2001-01-01T00:00")
    for words in (("model", "history", "nothing"), ("model", "versions", "nothing")):
        assert "no Model 'nothing'" in cli.refused(3, *words)
    assert "not a time" in cli.refused(2, "model", "at", "tumours@challenger", "--time", "yesterday")
    assert "MODEL@ALIAS" in cli.refused(2, "model", "at", "tumours")


def test_a_promotion_is_rejected_by_command(cli: Cli, story: Story) -> None:
    asked = story.request_promotion()
    words = ("promote", "reject", asked.id, "--evidence", asked.evidence_digest)
    assert cli.as_("user:olaf").json(*words)["state"] == "rejected"
    assert "is rejected" in cli.as_("user:olaf").refused(4, *words)


@pytest.mark.parametrize(
    "words",
    [
        ("--metric", "accuracy"),
        ("--metric", "accuracy>=high"),
        ("--metric", "accuracy>=nan", "--approvals", "1:security_officer"),
        ("--approvals", "security_officer"),
        ("--approvals", "0:security_officer"),
        ("--approvals", "1:boss"),
        ("--approvals", "1:security_officer", "--expires", "1s"),
        (),
    ],
    ids=" ".join,
)
def test_a_policy_that_says_nothing_exact_is_refused(cli: Cli, words: tuple[str, ...]) -> None:
    cli.refused(2, "policy", "define", "wrong", *words)


def test_the_audit_trail_is_listed_by_action_and_target(cli: Cli, story: Story) -> None:
    run = story.succeed()
    events = cli.json("audit", "list", "--target", run.id)["items"]
    assert [event["action"] for event in events] == ["run.finished", "run.started", "run.created"]
    assert "run.created" in cli.table("audit", "list", "--action", "run.created")
    assert cli.as_("system:install").json("audit", "list", "--platform")["items"]
    assert "on the platform" in cli.refused(5, "audit", "list", "--platform")


def test_what_somebody_recorded_does_not_drive_the_readers_terminal(cli: Cli, story: Story) -> None:
    asked = story.request_promotion()
    reason = "fine\x1b[2J\x9b31m"
    cli.as_("user:olaf").json("promote", "reject", asked.id, "--evidence", asked.evidence_digest, "--reason", reason)
    for words in (("audit", "list", "--target", asked.id), ("promote", "show", asked.id)):
        for form in ("table", "json"):
            shown = cli.table(*words, "-o", form)
            assert "\x1b" not in shown
            assert "\x9b" not in shown
            assert "u001b" in shown


def test_a_line_in_a_pipe_holds_whole_values(cli: Cli, story: Story) -> None:
    run = story.succeed()
    line = next(line for line in cli.table("run", "list").splitlines() if str(run.id) in line)
    assert run.code is not None
    assert run.code.commit[:12] in line
    assert "…" not in line


def test_a_plan_of_the_reconciler_that_is_none_is_refused_before_anything_is_asked(cli: Cli, tmp_path: Path) -> None:
    assert "cannot be read" in cli.refused(2, "reconcile", "apply", tmp_path / "nowhere.json")
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"format": "holdfast.reconcile-plan/2"}')
    assert "is no plan" in cli.refused(2, "reconcile", "apply", wrong)
    assert "not a duration" in cli.refused(2, "reconcile", "apply", wrong, "--max-age", "for ever")
    nowhere = ("--kubeconfig", tmp_path / "nowhere")
    assert "no cluster can be reached" in cli.refused(2, "reconcile", "plan", *nowhere)
