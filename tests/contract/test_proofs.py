"""Proofs of a Project's events, over the service and over HTTP: who may have them, what they hold, and that they convince a stranger."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from holdfast.core.errors import InvalidRequest, NotFound, PolicyViolation, StateConflict
from holdfast.ledger import verify_proof
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from holdfast.settings import Platform, Settings
from holdfast.wire.model import DecisionRequest
from tests.support.story import Story


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@pytest.fixture(scope="module")
def settings(settings: Settings, root: Path) -> Settings:
    return settings.model_copy(update={"ledger_log": str(root / "log")})


@pytest.fixture(scope="module")
def signer(root: Path) -> FileSigner:
    return FileSigner.make("example.org/log", root / "log.key")


@pytest.fixture(scope="module")
def sequencer(platform: Platform, signer: FileSigner, root: Path) -> Sequencer:
    return Sequencer(platform.engine, Publisher(platform.engine, [signer], is_signed, DirectoryPlace(root / "log")))


def shown(signer: FileSigner, text: str, code: int = 0) -> list[Any]:
    """Return what the verifier for strangers says of a file."""
    command = [sys.executable, "-I", "-S", verify_proof.__file__, "--key", str(signer.key), "-o", "json", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return list(json.loads(done.stdout))


def test_every_event_about_a_run_and_a_model_version_is_proved_in_one_file(
    story: Story, sequencer: Sequencer, signer: FileSigner
) -> None:
    run, other = story.succeed(), story.succeed()
    version = story.register_model(run)
    promotion = story.request_promotion(version)
    decision = DecisionRequest(decision="approve", evidence_digest=promotion.evidence_digest, reason="looked at it")
    story.olaf.promotions.decide(story.project, promotion.id, decision)
    story.mia.promotions.execute(story.project, promotion.id)
    size = sequencer.extend()
    auditor = story.olaf
    about_run = auditor.audit.prove(story.project, run=run.id)
    events = shown(signer, about_run.text)
    assert (about_run.count, about_run.size) == (len(events), size)
    actions = [one["event"]["action"] for one in events]
    assert {"run.created", "run.started", "run.finished", "artifact.registered"} <= set(actions)
    assert str(other.id) not in about_run.text
    read = story.olaf.audit.list(story.project, action="audit_event.read").items
    assert {"run": str(run.id), "proved": about_run.count} in [event.content for event in read]
    assert [one["leaf"]["index"] for one in events] == sorted(one["leaf"]["index"] for one in events)

    about_version = auditor.audit.prove(story.project, model_version=version.id)
    found = {(one["event"]["action"], one["event"]["target"]["id"]) for one in shown(signer, about_version.text)}
    assert {("run.finished", str(run.id)), ("model_version.registered", str(version.id))} <= found
    assert {action for action, target in found if target == str(promotion.id)} >= {
        "promotion.requested",
        "promotion.approved",
        "promotion.executed",
    }
    assert "alias.moved" in {action for action, _ in found}
    event = UUID(events[0]["event"]["id"])
    assert shown(signer, auditor.audit.prove(story.project, event=event).text)[0]["event"]["id"] == str(event)

    # One proof of the file that is not as it was does not hold, and says which; the others do.
    lines = about_run.text.splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line.startswith("index ")]
    lines[places[1]] = lines[places[0]]
    assert [one["holds"] for one in shown(signer, "".join(lines), 1)].count(False) == 1


def test_what_is_not_there_is_not_proved(story: Story, sequencer: Sequencer) -> None:
    run = story.succeed()
    with pytest.raises(StateConflict, match="not in the log yet"):
        story.olaf.audit.prove(story.project, run=run.id)
    sequencer.extend()
    for asked in ({"event": uuid4()}, {"run": uuid4()}, {"model_version": uuid4()}):
        with pytest.raises(NotFound, match="there is no"):
            story.olaf.audit.prove(story.project, **asked)
    for asked in ({}, {"event": uuid4(), "run": run.id}):
        with pytest.raises(InvalidRequest, match="one thing is proved at a time"):
            story.olaf.audit.prove(story.project, **asked)


def test_proofs_are_for_who_may_read_the_projects_audit_trail(
    story: Story, sequencer: Sequencer, act_as: Any, platform: Platform
) -> None:
    run = story.succeed()
    sequencer.extend()
    with pytest.raises((PolicyViolation, NotFound)):
        act_as("user:nobody").audit.prove(story.project, run=run.id)
    with pytest.raises(PolicyViolation):
        story.olaf.audit.prove(None, run=run.id)
    elsewhere = Story.begin(act_as, platform.objects)
    with pytest.raises(NotFound, match="there is no"):
        elsewhere.olaf.audit.prove(elsewhere.project, run=run.id)
