"""Every command, given on a real database: what changes something, or shows something sensitive, leaves its event; nothing else leaves one."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from holdfast.core.audit import AuditAction, EventClass, class_of
from holdfast.wire.project import ProjectRequest, RoleBindingRequest, TokenRequest
from holdfast.wire.retention import RetentionPolicy
from tests.cli.conftest import Cli
from tests.cli.test_commands import ALL
from tests.support.disposal import APPROVER, PLANNER, begin, let_something_be_due, make_plan
from tests.support.holds import ask, bind_officers, hold_on, place
from tests.support.retention import approve_retention, propose_retention
from tests.support.story import Story
from tests.support.trail import no_events, state_of

Given = Callable[[Story, Path], tuple[Any, ...]]
INSTALL, OLAF = "system:install", "user:olaf"
DIGEST = "sha256:" + "0" * 64


def binding(story: Story) -> str:
    request = RoleBindingRequest(subject=f"user:{secrets.token_hex(4)}", role="viewer")
    return str(story.act_as(INSTALL).projects.bind_role(story.project, request).id)


def project(story: Story) -> str:
    return story.act_as(INSTALL).projects.create(ProjectRequest(name=f"p{secrets.token_hex(5)}", owner="o")).name


def clustered(story: Story) -> str:
    name = f"p{secrets.token_hex(5)}"
    install = story.act_as(INSTALL)
    install.projects.create(ProjectRequest(name=name, owner="o", data_plane="kubernetes", namespace=name))
    install.projects.bind_role(name, RoleBindingRequest(subject="user:mia", role="viewer"))
    return name


def token(story: Story) -> str:
    return str(story.mia.projects.create_token(story.project, TokenRequest(name="t", scope=["project.read"])).token.id)


def deciding(story: Story) -> tuple[Any, ...]:
    asked = story.request_promotion()
    return asked.id, "--evidence", asked.evidence_digest


def approved(story: Story) -> Any:
    from holdfast.wire.model import DecisionRequest

    asked = story.request_promotion()
    story.olaf.promotions.decide(
        story.project, asked.id, DecisionRequest(decision="approve", evidence_digest=asked.evidence_digest)
    )
    return asked.id


def artifact(story: Story) -> Any:
    return story.artifact(story.succeed(), "model")


def dataset(story: Story) -> Any:
    return story.register_dataset()


def proposing() -> tuple[str, ...]:
    """Return the words that propose a policy with a scope of its own."""
    words = ["--of", "artifact", "--starts", "created", "--days", "30", "--then", "delete", "--label"]
    return f"r{secrets.token_hex(4)}", *words, secrets.token_hex(4)


def proposed(story: Story) -> RetentionPolicy:
    return propose_retention(story, f"r{secrets.token_hex(4)}", label=secrets.token_hex(4))


def deciding_on(found: RetentionPolicy) -> tuple[Any, ...]:
    return found.id, "--digest", found.digest


def hold(story: Story, *, is_asked: bool = False) -> str:
    bind_officers(story)
    placed = place(story, hold_on("dataset_version", dataset(story)))
    return (ask(story, placed) if is_asked else placed).name


def deciding_on_plan(story: Story) -> tuple[str, ...]:
    plan = make_plan(story)
    return plan.name, "--root", plan.root


CHANGES: dict[str, tuple[str, Given]] = {
    "project create": (INSTALL, lambda s, _: (f"p{secrets.token_hex(5)}", "--owner", "o")),
    "project archive": (INSTALL, lambda s, _: (project(s), "--reason", "over", "--yes")),
    "project bind": (INSTALL, lambda s, _: (f"user:{secrets.token_hex(4)}", "viewer")),
    "project unbind": (INSTALL, lambda s, _: (binding(s),)),
    "token create": ("user:mia", lambda s, _: ("t", "--airflow")),
    "token revoke": ("user:mia", lambda s, _: (token(s),)),
    "hold place": (
        INSTALL,
        lambda s, _: ("--matter", "m", "--reason", "r", "--object", f"dataset_version/{dataset(s)}"),
    ),
    "hold request-release": ("user:sofia", lambda s, _: (hold(s), "--reason", "settled")),
    "hold reject-release": ("user:sam", lambda s, _: (hold(s, is_asked=True),)),
    "environment lock": ("user:mia", lambda s, _: ("e", "--image", f"registry.example/x@{DIGEST}")),
    "policy define": ("user:mia", lambda s, _: ("q", "--approvals", "1:security_officer")),
    "promote request": (
        "user:mia",
        lambda s, _: ("--model-version", s.register_model().id, "--alias", "a", "--policy", "clinical"),
    ),
    "promote approve": (OLAF, lambda s, _: deciding(s)),
    "promote reject": (OLAF, lambda s, _: deciding(s)),
    "promote execute": ("user:mia", lambda s, _: (approved(s),)),
    "retention plan make": (PLANNER, lambda s, _: ("--reason", "r")),
    "retention plan approve": (APPROVER, lambda s, _: deciding_on_plan(s)),
    "retention plan reject": (APPROVER, lambda s, _: deciding_on_plan(s)),
    "retention plan withdraw": (PLANNER, lambda s, _: (make_plan(s).name, "--reason", "r")),
    "retention policy propose": ("user:mia", lambda s, _: (*proposing(), "--reason", "r")),
    "retention policy approve": (OLAF, lambda s, _: deciding_on(proposed(s))),
    "retention policy reject": (OLAF, lambda s, _: deciding_on(proposed(s))),
    "retention policy withdraw": ("user:mia", lambda s, _: (proposed(s).id, "--reason", "r")),
    "retention policy end": ("user:mia", lambda s, _: (approve_retention(s, proposed(s)).id, "--reason", "r")),
}
SENSITIVE: dict[str, Given] = {
    "project bindings": lambda s, _: (),
    "token list": lambda s, _: (),
    "audit list": lambda s, _: (),
    "artifact get": lambda s, path: (artifact(s), "--to", path / "got"),
    "artifact verify": lambda s, _: (artifact(s),),
}
HARMLESS: dict[str, Given] = {
    "hold list": lambda s, _: (),
    "hold show": lambda s, _: (hold(s),),
    "hold objects": lambda s, _: (hold(s),),
    "project list": lambda s, _: (),
    "project show": lambda s, _: (),
    "environment list": lambda s, _: (),
    "dataset list": lambda s, _: (),
    "dataset show": lambda s, _: (dataset(s),),
    "dataset files": lambda s, _: (dataset(s),),
    "run list": lambda s, _: (),
    "run show": lambda s, _: (s.succeed().id,),
    "artifact list": lambda s, _: (),
    "artifact show": lambda s, _: (artifact(s),),
    "model list": lambda s, _: (),
    "model versions": lambda s, _: (s.register_model() and "tumours",),
    "model history": lambda s, _: (s.mia.promotions.execute(s.project, approved(s)) and "tumours",),
    "model at": lambda s, _: (s.mia.promotions.execute(s.project, approved(s)) and "tumours@champion",),
    "policy list": lambda s, _: (),
    "promote list": lambda s, _: (),
    "promote show": lambda s, _: (s.request_promotion().id,),
    "retention plan list": lambda s, _: (),
    "retention plan show": lambda s, _: (make_plan(s).name,),
    "retention plan items": lambda s, _: (make_plan(s).name,),
    "retention policy list": lambda s, _: (),
    "retention policy show": lambda s, _: (proposed(s).id,),
    "retention explain": lambda s, _: ("artifact", artifact(s)),
    "cluster manifests": lambda s, _: ("--object-store", "192.0.2.1:443", "--project", clustered(s)),
    "db upgrade": lambda s, _: (),
    "db check": lambda s, _: (),
    "store check": lambda s, _: (),
    "store show": lambda s, _: ("--direct",),
    "ledger status": lambda s, _: (),
    "ledger segments": lambda s, _: (),
    "ledger key": lambda s, path: ("example.org/log", path / "log.key"),
    "audit verifier": lambda s, _: (),
}
# What cannot be given here, and why it needs no event of its own, or where that is shown.
ELSEWHERE = {
    "serve": "a service; what it serves is recorded by what it does (tests/api)",
    "login": "a log-in to Airflow, which records it (tests/airflow)",
    "db downgrade": "the owner of the database takes it back; no login of the service can, and no event would survive it",
    "cluster check": "looks at a cluster (tests/kubernetes)",
    "reconcile plan": "looks at a cluster (tests/kubernetes)",
    "reconcile apply": "each item by its own event over the API (tests/kubernetes, tests/contract)",
    "audit prove": "needs a log; that it leaves the event of a sensitive read is shown over the API (tests/api)",
    "audit verify": "reads the log's files and the database by the service's own login, whose owner can read them anyway",
    "ledger retain": "needs a disposer's login and a log; each segment by its own event (tests/integration/test_segments.py)",
    "audit erase": "the same",
    "retention apply": "needs a disposer's login; each item by its own event (tests/cli/test_retention_plans.py)",
    "retention plan certificate": "needs a plan that was carried out; leaves none (tests/cli/test_retention_plans.py)",
    "retention plan prove": "the same",
    "retention plan verify": "reads a file",
    "store probe": "opens the database and a bucket; leaves its event (tests/integration/test_store_probe.py)",
    "ledger keep": "opens the database; leaves its event (tests/cli/test_ledger.py)",
    "ledger run": "extends the log and changes no record (tests/integration)",
    "export run": "adds its sinks, each by its own event (tests/export/test_delivery.py)",
    "hold approve-release": "waits for a day to be over; leaves its event (tests/cli/test_holds.py)",
    "hold reconcile": "needs a bucket; each batch by its own event (tests/integration/test_hold_locks.py)",
    "export pause": "needs a sink; leaves its event (tests/export/test_delivery.py)",
    "export resume": "the same",
    "export replay": "the same",
    "export dead-letters": "the same, where it sends them again; the list is of indexes",
    "export status": "shows how far each sink has come, and no event",
    "export receiver": "prints a program",
}


def events(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT action FROM holdfast.audit_event ORDER BY id")))


def where_something_is_due(cli: Cli, story: Story, owner: Connection) -> tuple[Cli, Story]:
    """Return another Project, none of whose objects is under a hold of another test, and a command line in it."""
    project = begin(story)
    let_something_be_due(project, owner)
    return Cli({**cli.environment, "HOLDFAST_PROJECT": project.project}), project


def test_every_command_is_looked_at() -> None:
    assert {" ".join(words) for words, _ in ALL} == {*CHANGES, *SENSITIVE, *HARMLESS, *ELSEWHERE}


@pytest.mark.parametrize("command", CHANGES)
def test_a_command_that_changes_something_leaves_its_event(
    command: str, cli: Cli, story: Story, owner_sql: Connection, tmp_path: Path
) -> None:
    principal, given = CHANGES[command]
    if command.startswith("retention plan "):
        cli, story = where_something_is_due(cli, story, owner_sql)
    words = given(story, tmp_path)
    before, count = state_of(owner_sql), len(events(owner_sql))
    cli.as_(principal).json(*command.split(), *words)
    left = [AuditAction(action) for action in events(owner_sql)[count:]]
    assert EventClass.CHANGE in {class_of(action) for action in left}
    assert state_of(owner_sql) != before


@pytest.mark.parametrize("command", SENSITIVE)
def test_a_command_that_shows_something_sensitive_leaves_its_event(
    command: str, cli: Cli, story: Story, owner_sql: Connection, tmp_path: Path
) -> None:
    words = SENSITIVE[command](story, tmp_path)
    before, count = state_of(owner_sql), len(events(owner_sql))
    assert cli.run(*command.split(), *words).exit_code == 0
    left = [AuditAction(action) for action in events(owner_sql)[count:]]
    assert {class_of(action) for action in left} == {EventClass.READ}
    assert state_of(owner_sql) == before


@pytest.mark.parametrize("command", HARMLESS)
def test_any_other_command_leaves_nothing(
    command: str, cli: Cli, story: Story, owner_sql: Connection, tmp_path: Path, platform_env: dict[str, str]
) -> None:
    if command.startswith("retention plan "):
        cli, story = where_something_is_due(cli, story, owner_sql)
    words = HARMLESS[command](story, tmp_path)
    before, count = state_of(owner_sql), len(events(owner_sql))
    platform_env = {**platform_env, "HOLDFAST_PROOF_AGE_LIMIT_S": "86400"}
    # Legal holds are of the platform, and not for who maintains a Project.
    reader = cli.as_(INSTALL) if command.startswith("hold ") else cli
    result = Cli({**platform_env, **reader.environment}).run(*command.split(), *words)
    assert result.exit_code == 0, (result.stdout, result.stderr)
    assert state_of(owner_sql) == before
    assert len(events(owner_sql)) == count


def test_without_its_event_a_command_changes_nothing_and_says_so(cli: Cli, story: Story, owner_sql: Connection) -> None:
    before = state_of(owner_sql)
    with no_events(owner_sql):
        said = cli.refused(7, "environment", "lock", "never", "--interpreter", sys.executable)
    assert "does not let the service write what has to be written" in said
    assert state_of(owner_sql) == before
