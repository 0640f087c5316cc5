"""What holds for both implementations of the governance functions, from a DatasetVersion to a promoted ModelVersion."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from holdfast.core.errors import IntegrityViolation, InvalidRequest, NotFound, PolicyViolation, StateConflict
from holdfast.dataplane.record import RunRecord
from holdfast.wire.model import DecisionRequest
from holdfast.wire.project import ProjectRequest, Reason
from holdfast.wire.run import InputRef, PipelineRunTransition, RunFinish, RunStart, RunTransition, StoredFile
from tests.support.story import Story


def decide(story: Story, promotion, decision="approve", digest=None):
    return DecisionRequest(
        decision=decision, evidence_digest=digest or promotion.evidence_digest, reason="looked at it"
    )


def test_a_model_goes_from_data_to_champion_and_every_step_has_its_event(story: Story) -> None:
    version = story.register_model()
    promotion = story.request_promotion(version)
    approved = story.olaf.promotions.decide(story.project, promotion.id, decide(story, promotion))
    assert approved.state == "approved"
    assignment = story.mia.promotions.execute(story.project, promotion.id)
    assert assignment.model_version == version.id
    assert assignment.approved_by == ["user:olaf"]
    assert story.vera.models.get_version(story.project, version.id).state == "approved"
    assert story.vera.models.list(story.project).items[0].aliases == {"champion": version.number}
    actions = story.actions()
    for action in ("project.created", "dataset_version.registered", "run.created", "run.started", "run.finished"):
        assert action in actions
    assert actions.count("artifact.registered") >= 3
    assert actions[-4:-3] != ["alias.moved"] or "promotion.executed" in actions


def test_the_same_key_with_the_same_request_gives_the_same_reply_and_one_event(story: Story) -> None:
    key, name = secrets.token_hex(8), f"p{secrets.token_hex(5)}"
    install = story.act_as("system:install")
    first = install.projects.create(ProjectRequest(name=name, owner="o"), key=key)
    assert install.projects.create(ProjectRequest(name=name, owner="o"), key=key) == first
    assert len(install.audit.list(name).items) == 1


def test_the_same_key_with_another_request_is_refused_with_both_digests(story: Story) -> None:
    key, name = secrets.token_hex(8), f"p{secrets.token_hex(5)}"
    install = story.act_as("system:install")
    install.projects.create(ProjectRequest(name=name, owner="o"), key=key)
    with pytest.raises(StateConflict) as refused:
        install.projects.create(ProjectRequest(name=name, owner="another"), key=key)
    assert refused.value.details["recorded_digest"] != refused.value.details["request_digest"]


def test_one_try_has_one_run_whatever_is_repeated(story: Story) -> None:
    request = story.run_request()
    run = story.mia.runs.create(story.project, request)
    assert story.mia.runs.create(story.project, request) == run
    with pytest.raises(StateConflict) as refused:
        story.mia.runs.create(story.project, request.model_copy(update={"parameters": {"max_depth": 5}}))
    assert refused.value.details["run"] == str(run.id)


def test_the_seal_changes_with_every_binding_and_with_nothing_else(story: Story) -> None:
    base = story.run_request()
    seal = story.mia.runs.create(story.project, base).seal

    def sealed(**changes):
        request = base.model_copy(
            update={"idempotency_key": secrets.token_hex(32), "task_id": secrets.token_hex(4), **changes}
        )
        return story.mia.runs.create(story.project, request).seal

    assert sealed() == seal
    changed = [
        sealed(parameters={"max_depth": 5, "rate": 0.1}),
        sealed(command=["python", "steps/other.py"]),
        sealed(outputs={"model": "model.bin"}),
        sealed(code=base.code.model_copy(update={"commit": "d" * 40})),
        sealed(resources={"cpu": "2"}),
    ]
    assert len({seal, *changed}) == 6


def test_the_policy_of_a_run_is_shown_with_each_decision(story: Story) -> None:
    run = story.start_run()
    snapshot = story.vera.runs.get_policy_snapshot(story.project, run.policy_digest)
    assert (snapshot.project, snapshot.digest) == (story.project, run.policy_digest)
    assert {decision["rule"] for decision in snapshot.content["decisions"]} >= {"run.isolation", "run.code-commit"}


def test_a_retry_is_a_new_run_linked_to_its_origin_and_the_lost_try_is_unknown(story: Story) -> None:
    pipeline = story.pipeline_run(run_id="manual__retry")
    first = story.mia.runs.create(story.project, story.run_request(pipeline_run=pipeline))
    second = story.mia.runs.create(
        story.project, story.run_request(pipeline_run=pipeline, try_number=2, origin_reason="clear")
    )
    assert (second.origin_run, second.origin_reason) == (first.id, "clear")
    lost = story.mia.runs.get(story.project, first.id)
    assert (lost.state, lost.owner) == ("unknown", "reconciler")
    assert "try 2" in str(lost.cause)


def test_with_the_end_of_a_pipeline_run_no_run_of_it_stays_open(story: Story) -> None:
    pipeline = story.pipeline_run(run_id="manual__end")
    done, open_run = story.succeed(pipeline_run=pipeline), story.start_run(pipeline_run=pipeline, task_id="other")
    story.mia.runs.change_pipeline_run(story.project, pipeline, PipelineRunTransition(state="failed"))
    lost = story.mia.runs.get(story.project, open_run.id)
    assert (lost.state, lost.owner) == ("unknown", "reconciler")
    assert lost.cause == "the PipelineRun became failed before this Run reported its end"
    assert story.mia.runs.get(story.project, done.id).state == "succeeded"
    # What holds the Run knows better, and may still say so.
    reconciling = RunTransition(state="reconciling", cause="its execution reports its end", owner="pod-1")
    story.mia.runs.change(story.project, open_run.id, reconciling)
    assert story.finish_run(open_run).state == "succeeded"


def test_late_news_of_an_end_leaves_the_runs_of_later_tries_alone(story: Story) -> None:
    pipeline = story.pipeline_run(run_id="manual__late")
    before = story.start_run(pipeline_run=pipeline, task_id="before")
    after = story.start_run(pipeline_run=pipeline, task_id="after")
    ended = PipelineRunTransition(state="failed", ended_at=before.created_at)
    story.mia.runs.change_pipeline_run(story.project, pipeline, ended)
    assert [story.mia.runs.get(story.project, run.id).state for run in (before, after)] == ["unknown", "running"]


def test_a_run_shows_what_it_runs_on(story: Story) -> None:
    run = story.start_run()
    assert (run.environment, run.environment_kind) == ("sklearn/1", "interpreter")
    assert run.environment_reference == "/usr/bin/python3"


def test_a_rerun_is_linked_to_the_run_it_repeats(story: Story) -> None:
    origin = story.mia.runs.create(
        story.project, story.run_request(pipeline_run=story.pipeline_run(run_id="manual__a"))
    )
    request = story.run_request(pipeline_run=story.pipeline_run(run_id="manual__b"), rerun_of="manual__a")
    again = story.mia.runs.create(story.project, request)
    assert (again.origin_run, again.origin_reason, again.seal) == (origin.id, "rerun", origin.seal)


@pytest.mark.parametrize("state", ["succeeded", "failed", "canceled"])
def test_a_terminal_run_never_changes(story: Story, state: str) -> None:
    run = story.start_run()
    more = {"error_class": "user"} if state == "failed" else {}
    story.finish_run(run, state=state, **more)
    for attempt in (
        lambda: story.mia.runs.start(story.project, run.id, RunStart(fence="pod-1")),
        lambda: story.mia.runs.change(story.project, run.id, RunTransition(state="unknown", cause="?", owner="me")),
        lambda: story.mia.runs.finish(story.project, run.id, RunFinish(state="canceled", fence="pod-1")),
    ):
        with pytest.raises(StateConflict, match="terminal"):
            attempt()


def test_only_the_execution_that_holds_a_run_may_end_it(story: Story) -> None:
    run = story.start_run()
    with pytest.raises(StateConflict, match="another execution"):
        story.mia.runs.start(story.project, run.id, RunStart(fence="pod-2"))
    with pytest.raises(StateConflict, match="another execution"):
        story.mia.runs.finish(story.project, run.id, RunFinish(state="canceled", fence="pod-2"))
    with pytest.raises(StateConflict, match="another execution"):
        story.finish_run(run, fence=None)
    assert story.mia.runs.finish(story.project, run.id, RunFinish(state="canceled")).state == "canceled"


def test_a_run_that_a_later_try_goes_on_with_says_so_and_uses_its_secrets_once(story: Story) -> None:
    run = story.start_run(resources={"secrets": {"BANK": "bank/key"}})
    record = RunRecord(story.mia, story.project, run, lambda _: None)

    for _ in range(2):
        record.take_up(2, f"try 2 {run.id}")

    assert (record.run.state, record.run.owner, record.run.fence) == ("running", "try 2", run.fence)
    assert (record.is_taken_from(1), record.is_taken_from(2)) == (True, False)
    events = story.mia.audit.list(story.project, target=str(run.id), limit=100).items[::-1]
    # Events of one transaction have no order among themselves.
    assert sorted(e.action for e in events if e.action.startswith(("run.", "secret."))) == [
        "run.changed",
        "run.changed",
        "run.created",
        "run.started",
        "run.started",
        "secret.used",
    ]


def test_a_run_that_has_ended_is_taken_up_by_nobody(story: Story) -> None:
    run = story.start_run()
    record = RunRecord(story.mia, story.project, run, lambda _: None)
    story.mia.runs.finish(story.project, run.id, RunFinish(state="canceled"))

    with pytest.raises(StateConflict, match="terminal"):
        record.take_up(2, f"try 2 {run.id}")


def test_a_run_that_succeeded_brings_every_output_it_declared(story: Story) -> None:
    run = story.start_run()
    stored = story.store(run)
    with pytest.raises(InvalidRequest, match="declared plots and did not write it"):
        story.finish_run(run, artifacts=[file for file in stored if not file.name.startswith("plots")])


def test_every_metric_stands_in_the_event_whatever_its_name(story: Story) -> None:
    run = story.finish_run(story.start_run(), metrics={"accuracy": 0.95, "\u03b1": 0.5, "\\u03b1": 1 / 3})
    event = next(e for e in story.mia.audit.list(story.project, target=str(run.id)).items if e.action == "run.finished")
    assert event.content["metrics"] == {"accuracy": "0.95", "\\u03b1": "0.5", "\\\\u03b1": repr(1 / 3)}


def test_a_metric_without_a_canonical_form_is_refused_when_the_run_ends(story: Story) -> None:
    # Later would be too late: the evidence of a promotion could not be digested.
    for value in (2.0**53, -1e300, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="metrics"):
            RunFinish(state="canceled", metrics={"n": value})


@pytest.mark.parametrize("name", ["weights", "model/part", "plots"])
def test_an_output_that_was_not_declared_is_refused(story: Story, name: str) -> None:
    run = story.start_run()
    stored = story.store(run)
    stray = StoredFile(**{**stored[0].model_dump(), "name": name})
    with pytest.raises(InvalidRequest, match="did not declare"):
        story.finish_run(run, artifacts=[*stored, stray])


def test_an_artifact_that_is_not_what_is_stored_is_refused(story: Story) -> None:
    run = story.start_run()
    stored = story.store(run)
    lying = stored[0].model_copy(update={"digest": "sha256:" + "0" * 64})
    with pytest.raises(IntegrityViolation):
        story.finish_run(run, artifacts=[lying, *stored[1:]])
    assert story.mia.runs.get(story.project, run.id).state == "running"


def test_an_input_with_another_digest_is_refused(story: Story) -> None:
    ref = InputRef(dataset_version=story.register_dataset(), digest="sha256:" + "0" * 64)
    with pytest.raises(InvalidRequest, match="has digest"):
        story.mia.runs.create(story.project, story.run_request(inputs={"data": ref}))


def test_a_reference_to_another_project_is_refused(story: Story) -> None:
    other = Story.begin(story.act_as, story.objects)
    foreign = InputRef(dataset_version=other.register_dataset())
    with pytest.raises(InvalidRequest, match="never cross Projects"):
        story.mia.runs.create(story.project, story.run_request(inputs={"data": foreign}))


def test_an_unknown_project_looks_like_one_that_is_not_for_the_caller(story: Story) -> None:
    messages = []
    for project in ("nowhere", story.project):
        with pytest.raises(NotFound) as refused:
            story.act_as("user:nobody").runs.list(project)
        messages.append(refused.value.message.replace(project, "…"))
    assert messages[0] == messages[1]


def test_an_archived_project_takes_nothing_new_and_keeps_its_history(story: Story) -> None:
    other = Story.begin(story.act_as, story.objects)
    version = other.register_model()
    owner = story.act_as("system:install")
    owner.projects.archive(other.project, Reason(reason="the study has ended"))
    with pytest.raises(PolicyViolation, match="archived"):
        other.register_dataset()
    assert other.vera.models.get_version(other.project, version.id) == version


def test_a_project_with_a_run_under_way_is_not_archived(story: Story) -> None:
    other = Story.begin(story.act_as, story.objects)
    run = other.start_run()
    owner = story.act_as("system:install")
    with pytest.raises(StateConflict, match="has 1 Run under way"):
        owner.projects.archive(other.project, Reason(reason="the study has ended"))
    other.finish_run(run)
    assert owner.projects.archive(other.project, Reason(reason="the study has ended")).archived_at


def test_a_viewer_reads_and_changes_nothing(story: Story) -> None:
    assert story.vera.runs.list(story.project).items
    with pytest.raises(PolicyViolation, match=r"may not run\.write"):
        story.vera.runs.create(story.project, story.run_request())


def test_the_creator_may_not_approve_and_the_refusal_is_recorded(story: Story) -> None:
    promotion = story.request_promotion()
    with pytest.raises(PolicyViolation) as refused:
        story.mia.promotions.decide(story.project, promotion.id, decide(story, promotion))
    assert refused.value.details["rule"] == "promotion.creator-is-not-approver"
    event = story.mia.audit.list(story.project, target=str(promotion.id)).items[0]
    assert (event.action, event.outcome, event.initiator) == ("promotion.approved", "refused", "user:mia")


def test_who_triggered_the_pipeline_run_is_a_creator(story: Story) -> None:
    pipeline = story.pipeline_run(run_id="manual__olaf", triggered_by="olaf")
    version = story.register_model(story.succeed(pipeline_run=pipeline, parameters={"seed": 7}))
    promotion = story.request_promotion(version)
    assert "user:olaf" in promotion.creators
    with pytest.raises(PolicyViolation, match="took part"):
        story.olaf.promotions.decide(story.project, promotion.id, decide(story, promotion))


def test_a_decision_is_about_exactly_the_evidence(story: Story) -> None:
    promotion = story.request_promotion()
    with pytest.raises(StateConflict, match="other evidence"):
        story.olaf.promotions.decide(story.project, promotion.id, decide(story, promotion, digest="sha256:" + "0" * 64))


def test_an_unapproved_promotion_is_not_executed(story: Story) -> None:
    promotion = story.request_promotion()
    with pytest.raises(StateConflict, match="pending"):
        story.mia.promotions.execute(story.project, promotion.id)


def test_a_rejected_promotion_stays_rejected(story: Story) -> None:
    promotion = story.request_promotion()
    rejected = story.olaf.promotions.decide(story.project, promotion.id, decide(story, promotion, "reject"))
    assert rejected.state == "rejected"
    with pytest.raises(StateConflict, match="rejected"):
        story.olaf.promotions.decide(story.project, promotion.id, decide(story, promotion))


def test_evidence_below_the_bound_is_refused_when_promotion_is_requested(story: Story) -> None:
    run = story.finish_run(story.start_run(), metrics={"accuracy": 0.5})
    with pytest.raises(PolicyViolation, match=r"accuracy is 0\.5"):
        story.request_promotion(story.register_model(run))


@pytest.mark.parametrize("role", ["model", "evidence"])
@pytest.mark.parametrize("change", ["gone", "swapped", "cut short"])
def test_changed_bytes_void_the_approval(story: Story, change: str, role: str) -> None:
    version = story.register_model()
    promotion = story.request_promotion(version)
    story.olaf.promotions.decide(story.project, promotion.id, decide(story, promotion))
    artifact = story.mia.artifacts.get(story.project, next(a.artifact for a in version.artifacts if a.role == role))
    path = story.objects._path(artifact.object_key, artifact.version_id)
    path.chmod(0o600)
    match change:
        case "gone":
            path.unlink()
        case "swapped":
            path.write_bytes(b"?" * path.stat().st_size)
        case _:
            path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        with pytest.raises((IntegrityViolation, StateConflict), match=r"approval is void|is voided"):
            story.mia.promotions.execute(story.project, promotion.id)
    assert story.mia.promotions.get(story.project, promotion.id).state == "voided"
    assert "promotion.voided" in [e.action for e in story.mia.audit.list(story.project, target=str(promotion.id)).items]


def test_an_alias_has_one_answer_for_every_time(story: Story) -> None:
    other = Story.begin(story.act_as, story.objects)
    moments = []
    for _ in range(2):
        promotion = other.request_promotion()
        other.olaf.promotions.decide(other.project, promotion.id, decide(other, promotion))
        moved = other.mia.promotions.execute(other.project, promotion.id)
        assert moved.valid_from == moved.recorded_at
        moments.append(moved.valid_from)
    look = other.vera.models
    assert look.at(other.project, "tumours", "champion").number == 2
    assert look.at(other.project, "tumours", "champion", moments[0]).number == 1
    assert look.at(other.project, "tumours", "champion", moments[1]).number == 2
    assert look.at(other.project, "tumours", "champion", datetime.now(UTC), moments[0]).number == 1
    with pytest.raises(NotFound, match="pointed at nothing"):
        look.at(other.project, "tumours", "champion", moments[0] - timedelta(seconds=1))
    assert [entry.number for entry in look.history(other.project, "tumours").items] == [2, 1]


def test_pages_join_to_the_whole_list_without_repeats(story: Story) -> None:
    whole = [event.id for event in story.mia.audit.list(story.project, limit=500).items]
    found, cursor = [], None
    while True:
        page = story.mia.audit.list(story.project, limit=7, cursor=cursor)
        found += page.items
        if (cursor := page.next) is None:
            break
    # That the whole list was read is itself an event; that the pages were comes after where they begin.
    assert [event.id for event in found[1:]] == whole
    assert found[0].action == "audit_event.read"
    with pytest.raises(InvalidRequest, match="cursor"):
        story.mia.audit.list(story.project, cursor="%%%")


def test_what_is_not_there_is_named(story: Story) -> None:
    for look, kind in (
        (story.vera.runs.get, "Run"),
        (story.vera.artifacts.get, "Artifact"),
        (story.vera.datasets.get, "DatasetVersion"),
    ):
        missing = uuid4()
        with pytest.raises(NotFound, match=f"no {kind} {missing}"):
            look(story.project, missing)
