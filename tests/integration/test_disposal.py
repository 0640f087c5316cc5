"""Plans carried out on Ceph's RADOS Gateway: bytes and record go together, whatever dies in between, and a hold that comes before wins."""

from __future__ import annotations

import base64
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from holdfast.core.digest import parse
from holdfast.core.errors import HoldfastError, IntegrityViolation, StateConflict, Unavailable
from holdfast.core.retention.plan import check_line
from holdfast.objects.s3_eraser import S3Eraser
from holdfast.ops.disposal import PROBE_POINTS, check_login
from holdfast.settings import Platform, Settings
from holdfast.wire.canonical import document_bytes, document_digest
from holdfast.wire.retention_plan import RetentionExecution, RetentionLine
from holdfast.wire.run import InputRef
from tests.support.dishonest import Call, Liar, Reply, lying
from tests.support.disposal import approve_plan, begin, disposal, grow_old, make_plan
from tests.support.holds import hold_on, place
from tests.support.ledger import unguarded
from tests.support.retention import approve_retention, propose_retention
from tests.support.s3 import REGION, S3Server, opened_on
from tests.support.story import Story


@pytest.fixture(scope="module")
def platform(settings: Settings, s3: S3Server, bucket: str) -> Iterator[Platform]:
    with opened_on(s3, settings, objects_root=None, s3_bucket=bucket) as opened:
        yield opened


@pytest.fixture
def eraser(s3: S3Server, bucket: str) -> S3Eraser:
    return S3Eraser(bucket, s3.session(), endpoint_url=s3.url, region=REGION)


@pytest.fixture
def project(story: Story) -> Story:
    return begin(story)


def planned(story: Story, platform: Platform, owner: Connection) -> Any:
    """Return an approved plan of all that there is in a Project, which is old by now."""
    grow_old(owner)
    plan = make_plan(story)
    approve_plan(story, plan, platform.engine)
    return plan


def in_store(s3: S3Server, bucket: str, story: Story) -> set[str]:
    """Return the keys under which the store has anything, versions or delete markers, of a Project's Artifacts."""
    keys = {artifact.object_key for artifact in story.vera.artifacts.list(story.project, limit=500).items}
    prefix = next(iter(keys)).split("/")[0]
    pages = s3.client().get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return {one["Key"] for page in pages for kind in ("Versions", "DeleteMarkers") for one in page.get(kind, ())}


def states(story: Story) -> dict[str, str]:
    """Return the states of a Project's Artifacts, by their Run and name."""
    return {f"{one.run}/{one.name}": one.state for one in story.vera.artifacts.list(story.project, limit=500).items}


def counts(done: RetentionExecution) -> tuple[int, int, int]:
    return done.purged, done.kept, done.residual


def line_holds(line: RetentionLine) -> None:
    """Return when a line is of its certificate, and that of its digest."""
    certificate = line.certificate
    assert f"sha256:{document_digest(certificate.content).hex()}" == certificate.digest
    path = [base64.b64decode(one) for one in line.path]
    check_line(document_bytes(line.line), line.index, line.size, path, parse(certificate.content["root"]))


def test_bytes_and_record_go_together_and_each_line_is_proved(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser, s3: S3Server, bucket: str
) -> None:
    run = project.succeed()
    model = project.vera.artifacts.get(project.project, project.artifact(run, "model"))
    # Whatever else lies under the same key goes, too: another version, and a delete marker.
    s3.client().put_object(Bucket=bucket, Key=model.object_key, Body=b"another version")
    s3.client().delete_object(Bucket=bucket, Key=model.object_key)
    plan = planned(project, platform, owner)
    told: list[tuple[int, int]] = []
    done = disposal(disposer, eraser, progress=lambda *one: told.append(one), batch=3).carry_out(plan.name)
    assert counts(done) == (4, 0, 0)
    assert told == [(3, 4), (4, 4)]
    assert in_store(s3, bucket, project) == set()
    assert set(states(project).values()) == {"purged"}

    certificate = project.vera.retention_plans.certificate(project.project, plan.name)
    assert certificate == done.certificate
    content = certificate.content
    assert content["outcomes"] == {"purged": 4, "kept": 0, "residual": 0}
    assert (content["plan"]["root"], content["store"]["hold_level"]) == (plan.root, "database only")
    assert content["approval"]["principal"] == "user:sam"
    for item in project.vera.retention_plans.items(project.project, plan.name).items:
        line = project.vera.retention_plans.line(project.project, plan.name, item.object)
        line_holds(line)
        assert (line.line["outcome"], line.line["object"]) == ("purged", str(item.object))
        changed = line.model_copy(update={"line": {**line.line, "outcome": "kept"}})
        with pytest.raises(IntegrityViolation, match="is not of this certificate"):
            line_holds(changed)
        action = f"{item.object_type}.purged"
        [event] = project.olaf.audit.list(project.project, action=action, target=str(item.object)).items
        assert (event.content["plan"], event.content["digest"]) == (plan.name, item.digest)
    [event] = project.olaf.audit.list(project.project, action="retention_plan.certified", target=str(plan.id)).items
    assert (event.id, event.content["certificate"]) == (certificate.event, certificate.digest)
    assert project.vera.retention_plans.get(project.project, plan.name).state == "certified"
    # Once more it is the same certificate, and nothing is done; what has gone is in no later plan.
    assert disposal(disposer, eraser).carry_out(plan.name) == done
    with pytest.raises(StateConflict, match="nothing in Project"):
        make_plan(project)
    with pytest.raises(StateConflict, match="is purged"):
        project.vera.retention.explain(project.project, model.id)


_DIE_AT = """
import os, sys
import boto3
from holdfast.core.access import Caller
from holdfast.objects.s3_eraser import S3Eraser
from holdfast.ops.disposal import Disposal
from holdfast.store.engine import open_engine
url, bucket, endpoint, region, key, secret, plan, point = sys.argv[1:]
session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret)
die = lambda now: os._exit(9) if now == point else None
eraser = S3Eraser(bucket, session, endpoint_url=endpoint, region=region)
Disposal(open_engine(url), eraser, Caller("system:disposer"), probe=die, batch=2).carry_out(plan)
"""


@pytest.mark.parametrize("point", PROBE_POINTS)
def test_a_process_that_dies_anywhere_comes_to_the_same_certificate(
    project: Story,
    platform: Platform,
    owner: Connection,
    disposer: Engine,
    eraser: S3Eraser,
    s3: S3Server,
    bucket: str,
    point: str,
) -> None:
    project.succeed()
    plan = planned(project, platform, owner)
    credentials = s3.session().get_credentials()
    command = [
        *(sys.executable, "-c", _DIE_AT, disposer.url.render_as_string(hide_password=False), bucket, s3.url, REGION),
        *(credentials.access_key, credentials.secret_key, plan.name, point),
    ]
    assert subprocess.run(command, check=False).returncode == 9
    with pytest.raises(HoldfastError, match="no certificate yet"):
        project.vera.retention_plans.certificate(project.project, plan.name)
    done = disposal(disposer, eraser, batch=2).carry_out(plan.name)
    assert counts(done) == (4, 0, 0)
    assert in_store(s3, bucket, project) == set()
    events = project.olaf.audit.list(project.project, limit=500).items
    purged = [event.target_id for event in events if event.action.endswith(".purged")]
    assert len(purged) == len(set(purged)) == 4
    assert sum(event.action == "retention_plan.certified" for event in events) == 1
    # What it says is what one that was not interrupted says, but for what names them.
    other = begin(project)
    other.succeed()
    whole = disposal(disposer, eraser).carry_out(planned(other, platform, owner).name).certificate.content
    found = done.certificate.content
    assert {name: found[name] for name in ("format", "outcomes", "store", "not_looked_at")} == {
        name: whole[name] for name in ("format", "outcomes", "store", "not_looked_at")
    }


def test_what_comes_between_approval_and_execution_keeps(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser, s3: S3Server, bucket: str
) -> None:
    runs = [project.succeed(parameters={"n": number}) for number in range(4)]
    version = project.register_model(runs[2])
    plan = planned(project, platform, owner)
    held, used = project.artifact(runs[0], "model"), project.artifact(runs[1], "model")
    place(project, hold_on("artifact", held, is_expanded=False))
    project.start_run(inputs={"model": InputRef(artifact=used)})
    promotion = project.request_promotion(version)
    before = in_store(s3, bucket, project)
    done = disposal(disposer, eraser).carry_out(plan.name)
    kept = {
        str(item.object): item.says
        for item in project.vera.retention_plans.items(project.project, plan.name).items
        if item.state == "kept"
    }
    assert "it is under legal hold LH-" in kept[str(held)]
    assert "has not ended" in kept[str(used)]
    assert any(str(promotion.id) in says for says in kept.values())
    # The data that all of them were made of is referred to by every one.
    says = kept[str(project.register_dataset())]
    # All that keeps it is named, whatever came first.
    assert f"artifact {held}, which refers to it, is under legal hold" in says
    assert "which refers to it, has not ended" in says
    assert f"which refers to it, is asked to be promoted by {promotion.id}" in says
    assert counts(done) == (plan.item_count - len(kept), len(kept), 0)
    gone = before - in_store(s3, bucket, project)
    assert len(gone) == done.purged
    for identity, says in kept.items():
        [event] = project.olaf.audit.list(project.project, action="retention_plan.item_kept", target=identity).items
        assert event.content["says"] == says
    assert list(states(project).values()).count("purged") == done.purged


def test_what_has_gone_by_one_plan_is_not_said_to_go_by_another(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser
) -> None:
    project.succeed()
    first, second = planned(project, platform, owner), planned(project, platform, owner)
    assert counts(disposal(disposer, eraser).carry_out(first.name)) == (4, 0, 0)
    assert counts(disposal(disposer, eraser).carry_out(second.name)) == (0, 4, 0)
    says = {item.says for item in project.vera.retention_plans.items(project.project, second.name).items}
    assert all(one.startswith("it has gone by another plan") for one in says), says


def test_a_plan_whose_approval_expires_half_way_is_certified_all_the_same(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser
) -> None:
    project.succeed()
    expired, plan = planned(project, platform, owner), planned(project, platform, owner)

    class Dies(Exception):
        pass

    def die(point: str) -> None:
        if point == "begun":
            raise Dies

    carrying = disposal(disposer, eraser, probe=die, batch=1)
    with pytest.raises(Dies):
        carrying.carry_out(plan.name)
    with unguarded(owner, "retention_plan_decision"):
        owner.execute(text("UPDATE retention_plan_decision SET created_at = created_at - interval '8 days'"))
    owner.commit()
    # Of the two only the one that has begun is looked at without being named, and the other is refused.
    ours = {plan.name, expired.name}
    assert [name for name in carrying.approved() if name in ours] == [plan.name]
    with pytest.raises(StateConflict, match="has expired"):
        disposal(disposer, eraser).carry_out(expired.name)
    done = disposal(disposer, eraser).carry_out(plan.name)
    assert counts(done) == (1, 3, 0)
    says = [item.says for item in project.vera.retention_plans.items(project.project, plan.name).items if item.says]
    assert says.count("the approval had expired when its turn came") == 3


def test_a_policy_that_has_changed_since_lets_nothing_go(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser
) -> None:
    project.succeed()
    plan = planned(project, platform, owner)
    approve_retention(project, propose_retention(project, "artifacts", period_days=2))
    done = disposal(disposer, eraser).carry_out(plan.name)
    # The data's own policy is the same still, and nothing that is kept by one refers to it.
    assert counts(done) == (1, 3, 0)
    says = [item.says for item in project.vera.retention_plans.items(project.project, plan.name).items]
    assert sum("not in force any more" in one for one in says) == 3
    assert set(states(project).values()) == {"available"}
    # By the version that is in force now they may go: by another plan.
    again = make_plan(project)
    approve_plan(project, again, platform.engine)
    assert counts(disposal(disposer, eraser).carry_out(again.name)) == (3, 0, 0)


def test_what_the_store_does_not_let_go_is_named_and_planned_again(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser, s3: S3Server, bucket: str
) -> None:
    run = project.succeed()
    model = project.vera.artifacts.get(project.project, project.artifact(run, "model"))
    where = {"Bucket": bucket, "Key": model.object_key, "VersionId": model.version_id}
    s3.client().put_object_legal_hold(**where, LegalHold={"Status": "ON"})  # somebody's own, of which no record knows
    plan = planned(project, platform, owner)
    done = disposal(disposer, eraser).carry_out(plan.name)
    assert counts(done) == (3, 0, 1)
    line = project.vera.retention_plans.line(project.project, plan.name, model.id)
    assert line.line["outcome"] == "residual"
    assert f"version {model.version_id} is still there: the store refused (AccessDenied" in line.line["says"]
    [event] = project.olaf.audit.list(project.project, action="artifact.purged", target=str(model.id)).items
    assert event.outcome == "refused"
    assert states(project)[f"{run.id}/model"] == "expired"
    assert in_store(s3, bucket, project) == {model.object_key}
    s3.client().put_object_legal_hold(**where, LegalHold={"Status": "OFF"})
    again = make_plan(project)
    assert again.item_count == 1
    approve_plan(project, again, platform.engine)
    assert counts(disposal(disposer, eraser).carry_out(again.name)) == (1, 0, 0)
    assert in_store(s3, bucket, project) == set()


def _says_that_it_deletes(liar: Liar, call: Call) -> Reply | None:
    if call.method == "POST" and "delete" in call.query:
        return Reply(200, [("Content-Type", "application/xml")], b"<DeleteResult/>")
    return None


def _fails_at(number: int) -> Any:
    """Return the lie of a store that is down from its so-manieth deletion on."""

    def lie(liar: Liar, call: Call) -> Reply | None:
        if call.method == "POST" and "delete" in call.query:
            liar.memory["calls"] = liar.memory.get("calls", 0) + 1
        return Reply(503) if liar.memory.get("calls", 0) >= number else None

    return lie


def test_a_store_that_answers_and_does_nothing_is_not_believed(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, s3: S3Server, bucket: str
) -> None:
    project.succeed()
    plan = planned(project, platform, owner)
    with lying(s3, _says_that_it_deletes) as url:
        # The plan is for the store by its own address.
        eraser = _at(s3, bucket, url)
        done = disposal(disposer, eraser).carry_out(plan.name)
    assert counts(done) == (1, 0, 3)
    says = [item.says for item in project.vera.retention_plans.items(project.project, plan.name).items]
    assert sum("the store said that it is deleted" in one for one in says) == 3
    assert set(states(project).values()) == {"expired"}


def test_a_store_that_goes_down_leaves_nothing_half_done(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser, s3: S3Server, bucket: str
) -> None:
    for number in range(2):
        project.succeed(parameters={"n": number})
    plan = planned(project, platform, owner)
    with lying(s3, _fails_at(2)) as url, pytest.raises(Unavailable):
        disposal(disposer, _at(s3, bucket, url), batch=2).carry_out(plan.name)
    found = sorted(states(project).values())
    items = project.vera.retention_plans.get(project.project, plan.name).outcomes
    assert items["purging"] == 2, (items, found)
    # What had begun to go is held now: its bytes are there, and stay; only what had gone has gone.
    going = [
        item.object
        for item in project.vera.retention_plans.items(project.project, plan.name).items
        if item.state == "purging" and item.object_type == "artifact"
    ]
    place(project, hold_on("artifact", *going, is_expanded=False))
    done = disposal(disposer, eraser, batch=2).carry_out(plan.name)
    assert (done.kept >= len(going), done.residual) == (True, 0)
    for one in going:
        artifact = project.vera.artifacts.get(project.project, one)
        assert artifact.state == "expired"
        platform.objects.stat(artifact.object_key, artifact.version_id)


def test_bytes_that_had_gone_before_a_hold_are_said_to_have_gone(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser
) -> None:
    run = project.succeed()
    plan = planned(project, platform, owner)

    class Dies(Exception):
        pass

    def die(point: str) -> None:
        if point == "erased":
            raise Dies

    with pytest.raises(Dies):
        disposal(disposer, eraser, probe=die).carry_out(plan.name)
    model = project.artifact(run, "model")
    place(project, hold_on("artifact", model, is_expanded=False))
    done = disposal(disposer, eraser).carry_out(plan.name)
    line = project.vera.retention_plans.line(project.project, plan.name, model)
    assert line.line["outcome"] == "residual"
    assert "its bytes had gone before; its record stays: it is under legal hold" in line.line["says"]
    assert done.residual == 1


def _at(s3: S3Server, bucket: str, url: str) -> S3Eraser:
    """Return an eraser that reaches a store over another address, and names it by its own."""

    class Elsewhere(S3Eraser):
        @property
        def place(self) -> str:
            return f"{s3.url}/{bucket}"

    return Elsewhere(bucket, s3.session(), endpoint_url=url, region=REGION)


def test_a_plan_is_carried_out_once_at_a_time(
    project: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser
) -> None:
    project.succeed()
    plan = planned(project, platform, owner)
    refused: list[str] = []

    def another(point: str) -> None:
        if point == "begun":
            with pytest.raises(StateConflict, match="another process carries out"):
                disposal(disposer, eraser).carry_out(plan.name)
            refused.append(point)

    assert counts(disposal(disposer, eraser, probe=another).carry_out(plan.name)) == (4, 0, 0)
    assert refused == ["begun"]


def test_the_login_that_carries_out_has_to_be_the_disposers(disposer: Engine, platform: Platform) -> None:
    check_login(disposer)
    with pytest.raises(HoldfastError, match="may not carry out"):
        check_login(platform.engine)


def raced(
    story: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser, runs: int, batch: int
) -> tuple[int, int]:
    """Carry out a plan while somebody places holds on what is in it; return how many holds came first, and how many too late."""
    made = [story.succeed(parameters={"n": number}) for number in range(runs)]
    plan = planned(story, platform, owner)
    wanted = [story.artifact(run, name) for run in made for name in ("model", "metrics", "plots/roc.svg")]
    random.shuffle(wanted)
    held: dict[UUID, str] = {}
    refused: set[UUID] = set()
    failures: list[BaseException] = []
    begun = threading.Event()

    def hold() -> None:
        begun.wait(30)
        for one in wanted[: len(wanted) // 2]:
            try:
                place(story, hold_on("artifact", one, is_expanded=False))
                held[one] = story.vera.artifacts.get(story.project, one).state
            except HoldfastError as error:
                if "there is no artifact" in str(error):
                    refused.add(one)
                else:
                    failures.append(error)

    thread = threading.Thread(target=hold)
    thread.start()
    done = disposal(disposer, eraser, batch=batch, probe=lambda _: begun.set()).carry_out(plan.name)
    thread.join(120)
    assert not failures
    for artifact in story.vera.artifacts.list(story.project, limit=500).items:
        if artifact.id in held:
            # It was there when the hold was placed, it is there now, and so are its bytes.
            assert (held[artifact.id], artifact.state) == ("available", "available")
            platform.objects.stat(artifact.object_key, artifact.version_id)
        if artifact.id in refused:
            assert artifact.state == "purged"
    assert done.residual == 0
    return len(held), len(refused)


def test_a_hold_placed_before_a_deletion_wins(
    story: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser
) -> None:
    first = late = 0
    for batch in (1, 2, 7):
        held, refused = raced(begin(story), platform, owner, disposer, eraser, 12, batch)
        first, late = first + held, late + refused
    assert first, late


@pytest.mark.soak
def test_a_hold_placed_before_a_deletion_wins_in_thousands_of_orders(
    story: Story, platform: Platform, owner: Connection, disposer: Engine, eraser: S3Eraser
) -> None:
    first = late = 0
    while first + late < 5000:
        held, refused = raced(begin(story), platform, owner, disposer, eraser, 60, random.randint(1, 8))
        first, late = first + held, late + refused
    assert first > 100
    assert late > 100
