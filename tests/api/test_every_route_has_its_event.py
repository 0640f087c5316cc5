"""Every route, called on a real database: what changes something or shows something sensitive has its event, and without it is not done."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from holdfast.core.access import Caller
from holdfast.core.audit import AuditAction, EventClass, class_of
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from holdfast.objects.s3_eraser import S3Eraser
from holdfast.service.governance import GovernanceService
from holdfast.settings import Platform, Settings
from holdfast.wire.model import DecisionRequest
from holdfast.wire.project import RoleBindingRequest, TokenRequest
from holdfast.wire.retention import RetentionDecisionRequest, RetentionPolicyRequest
from tests.api.test_rest import routes
from tests.support.disposal import APPROVER, PLANNER, dispose_something, let_something_be_due, make_plan
from tests.support.holds import OFFICERS, ask, bind_officers, hold_on, place
from tests.support.postgres import PostgresServer
from tests.support.s3 import REGION, S3Server, opened_on, throw_away_s3
from tests.support.server import serve
from tests.support.story import CONTENT, Story, digest_of
from tests.support.trail import events_of, no_events, state_of

SIGNER = FileSigner("example.org/log", secrets.token_bytes(32))
PROJECTS = [f"project{number}" for number in range(80)]
ID = "01a20e18-ee49-7ba9-aa93-6423bc86488b"


@dataclass(frozen=True)
class Call:
    """One call that succeeds.

    Attributes:
        below: the path below the Project, or below /v1 where it begins with `!`.
        body: of the call.
        principal: who makes it.
    """

    below: str = ""
    body: Any = None
    principal: str = "system:install"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with throw_away_s3() as server:
        yield server


@pytest.fixture(scope="module")
def platform(settings: Settings, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    bucket = s3.create_bucket()
    s3.client().put_object(Bucket=bucket, Key="in/a.csv", Body=b"1,2")
    rules = ",".join(f"{name}=s3://{bucket}/in/" for name in PROJECTS)
    more = {"objects_root": None, "s3_bucket": s3.create_bucket(), "s3_sources": rules}
    more["ledger_log"] = str(tmp_path_factory.mktemp("ledger"))
    with opened_on(s3, settings, **more) as opened:
        opened.settings.__dict__["tests_source"] = f"s3://{bucket}/in/"
        yield opened


@pytest.fixture(scope="module")
def http(platform: Platform) -> Iterator[httpx.Client]:
    with serve(platform) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture
def story(platform: Platform) -> Story:
    return Story.begin(
        lambda principal: platform.governance(Caller(principal)), platform.objects, project=PROJECTS.pop()
    )


def proved(story: Story) -> str:
    """Return a Run whose events are in the log."""
    run, service = story.succeed(), story.act_as("system:install")
    assert isinstance(service, GovernanceService)
    assert service.log is not None
    Sequencer(service.engine, Publisher(service.engine, [SIGNER], is_signed, service.log)).extend()
    return str(run.id)


def binding(story: Story) -> str:
    request = RoleBindingRequest(subject="user:x", role="viewer")
    return str(story.act_as("system:install").projects.bind_role(story.project, request).id)


def platform_binding(story: Story) -> str:
    request = RoleBindingRequest(subject=f"user:x{secrets.token_hex(4)}", role="viewer")
    return str(story.act_as("system:install").projects.bind_role(None, request).id)


def token(story: Story) -> str:
    return str(story.mia.projects.create_token(story.project, TokenRequest(name="t", scope=["project.read"])).token.id)


def decided(story: Story, decision: str = "approve") -> Any:
    promotion = story.request_promotion()
    story.olaf.promotions.decide(
        story.project, promotion.id, DecisionRequest(decision=decision, evidence_digest=promotion.evidence_digest)
    )
    return promotion


def decision(story: Story) -> Call:
    promotion = story.request_promotion()
    body = {"decision": "approve", "evidence_digest": promotion.evidence_digest}
    return Call(f"/promotions/{promotion.id}/decisions", body, "user:olaf")


def uploads(story: Story, below: str = "") -> Call:
    run = story.start_run()
    file = {"name": "model", "digest": digest_of(CONTENT["model"]), "size_bytes": len(CONTENT["model"])}
    more = {"upload_id": "x"} if below else {}
    return Call(f"/runs/{run.id}/uploads{below}", {"files": [{**file, **more}]})


def attached(story: Story) -> Call:
    """Store a file that is no declared output, as somebody does who attaches it."""
    run, body = story.start_run(), b"a note"
    key = f"{story.mia.projects.get(story.project).id}/{run.id}/notes.txt"
    facts: dict[str, Any] = {"digest": digest_of(body), "size_bytes": len(body)}
    expires_at = datetime.now(UTC) + timedelta(minutes=5)
    digest = bytes.fromhex(facts["digest"][7:])
    upload = story.objects.begin_upload(key, digest=digest, size_bytes=len(body), parts=[], expires_at=expires_at)
    reply = httpx.put(upload.parts[0].url, content=body, headers=dict(upload.parts[0].headers)).raise_for_status()
    version = reply.headers["x-amz-version-id"]
    return Call(
        "/artifacts",
        {"run": str(run.id), "file": {"name": "notes.txt", **facts, "object_key": key, "version_id": version}},
    )


def retention() -> dict[str, Any]:
    """Return the body of a policy with a scope of its own."""
    return {
        "name": f"r{secrets.token_hex(4)}",
        "object_type": "artifact",
        "label": secrets.token_hex(4),
        "starts": "created",
        "period_days": 30,
        "disposition": "delete",
        "reason": "r",
    }


def retention_call(story: Story, *, is_platform: bool, verb: str) -> Call:
    place = None if is_platform else story.project
    proposer, officer = story.act_as("system:install"), story.act_as("system:officer")
    proposed = proposer.retention.propose(place, RetentionPolicyRequest(**retention()))
    decision = RetentionDecisionRequest(decision="approve", digest=proposed.digest)
    if verb == "end":
        officer.retention.decide(place, proposed.id, decision)
    path = f"{'!' if is_platform else ''}/retention-policies/{proposed.id}/{verb}"
    body = decision.model_dump(mode="json") if verb == "decisions" else {"reason": "r"}
    return Call(path, body, "system:officer" if verb == "decisions" else "system:install")


def held(story: Story, decision: str | None = None) -> Call:
    """Place a hold, and ask for its release where that is to be decided."""
    bind_officers(story)
    hold = place(story, hold_on("run", story.succeed().id))
    if decision is None:
        return Call(f"!/legal-holds/{hold.name}/release-requests", {"reason": "settled"}, OFFICERS[0])
    [release] = ask(story, hold).releases
    body = {"decision": decision, "release": str(release.id)}
    return Call(f"!/legal-holds/{hold.id}/release-decisions", body, OFFICERS[1])


def plan_call(story: Story, verb: str) -> Call:
    plan = make_plan(story)
    if verb == "withdraw":
        return Call(f"/retention-plans/{plan.name}/withdraw", {"reason": "r"}, PLANNER)
    return Call(f"/retention-plans/{plan.id}/decisions", {"decision": "approve", "root": plan.root}, APPROVER)


POD = {"namespace": "n", "name": "p", "rule": "pod.of-no-run"}
CHANGES: dict[tuple[str, str], Callable[[Story], Call]] = {
    ("POST", "/projects"): lambda s: Call("!/projects", {"name": f"p{secrets.token_hex(6)}", "owner": "o"}),
    ("POST", "/legal-holds"): lambda s: Call(
        "!/legal-holds", hold_on("dataset_version", s.register_dataset()).model_dump(mode="json")
    ),
    ("POST", "/legal-holds/{hold}/release-requests"): held,
    # An approval waits for a day to be over; that it has its event, too, is shown in tests/integration/test_legal_holds.py.
    ("POST", "/legal-holds/{hold}/release-decisions"): lambda s: held(s, "reject"),
    ("POST", "/projects/{project}/archive"): lambda s: Call("/archive", {"reason": "over"}),
    ("POST", "/bindings"): lambda s: Call("!/bindings", {"subject": f"user:{secrets.token_hex(4)}", "role": "viewer"}),
    ("POST", "/bindings/{binding}/revoke"): lambda s: Call(f"!/bindings/{platform_binding(s)}/revoke"),
    ("POST", "/projects/{project}/bindings"): lambda s: Call("/bindings", {"subject": "user:y", "role": "viewer"}),
    ("POST", "/projects/{project}/bindings/{binding}/revoke"): lambda s: Call(f"/bindings/{binding(s)}/revoke"),
    ("POST", "/projects/{project}/tokens"): lambda s: Call("/tokens", {"name": "t", "scope": ["project.read"]}),
    ("POST", "/projects/{project}/tokens/{token}/revoke"): lambda s: Call(f"/tokens/{token(s)}/revoke"),
    ("POST", "/projects/{project}/datasets/{dataset}/versions"): lambda s: Call(
        "/datasets/d/versions", s.dataset_request("4,5").model_dump(mode="json")
    ),
    ("POST", "/projects/{project}/environments"): lambda s: Call(
        "/environments", {"name": "e", "kind": "interpreter", "reference": "/p"}
    ),
    ("POST", "/projects/{project}/pipeline-runs"): lambda s: Call("/pipeline-runs", {"dag_id": "d", "run_id": "r"}),
    ("POST", "/projects/{project}/pipeline-runs/{pipeline_run}/transitions"): lambda s: Call(
        f"/pipeline-runs/{s.pipeline_run()}/transitions", {"state": "succeeded"}
    ),
    ("POST", "/projects/{project}/runs"): lambda s: Call("/runs", s.run_request().model_dump(mode="json")),
    ("POST", "/projects/{project}/runs/{run}/start"): lambda s: Call(
        f"/runs/{s.mia.runs.create(s.project, s.run_request()).id}/start", {"fence": "f"}
    ),
    ("POST", "/projects/{project}/runs/{run}/transitions"): lambda s: Call(
        f"/runs/{s.start_run().id}/transitions", {"state": "unknown", "cause": "c", "owner": "o"}
    ),
    ("POST", "/projects/{project}/runs/{run}/finish"): lambda s: Call(
        f"/runs/{s.start_run().id}/finish", {"state": "canceled", "fence": "pod-1"}
    ),
    ("POST", "/projects/{project}/pods/{uid}/quarantine"): lambda s: Call(f"/pods/{ID}/quarantine", POD),
    ("POST", "/projects/{project}/pods/{uid}/removal"): lambda s: Call(f"/pods/{ID}/removal", POD),
    ("POST", "/projects/{project}/dag-refusals"): lambda s: Call(
        "/dag-refusals", {"dag_id": "d", "rule": "run.inputs-bound", "reason": "none", "file": "d.py"}
    ),
    ("POST", "/projects/{project}/artifacts"): attached,
    ("POST", "/projects/{project}/models/{model}/versions"): lambda s: Call(
        "/models/m/versions", {"artifact": str(s.artifact(s.succeed(), "model"))}
    ),
    ("POST", "/projects/{project}/policies"): lambda s: Call(
        "/policies", {"name": "p", "gates": [{"gate": "approval", "roles": ["viewer"]}]}
    ),
    ("POST", "/projects/{project}/promotions"): lambda s: Call(
        "/promotions", {"model_version": str(s.register_model().id), "alias": "champion", "policy": "clinical"}
    ),
    ("POST", "/projects/{project}/promotions/{promotion}/decisions"): decision,
    ("POST", "/projects/{project}/promotions/{promotion}/execute"): lambda s: Call(
        f"/promotions/{decided(s).id}/execute"
    ),
    ("POST", "/projects/{project}/retention-policies"): lambda s: Call("/retention-policies", retention()),
    ("POST", "/retention-policies"): lambda s: Call("!/retention-policies", retention()),
    ("POST", "/projects/{project}/retention-plans"): lambda s: Call("/retention-plans", {"reason": "r"}, PLANNER),
    **{
        ("POST", f"/projects/{{project}}/retention-plans/{{plan}}/{verb}"): partial(plan_call, verb=verb)
        for verb in ("decisions", "withdraw")
    },
    **{
        ("POST", f"{place}/retention-policies/{{policy}}/{verb}"): partial(
            retention_call, is_platform=not place, verb=verb
        )
        for place in ("/projects/{project}", "")
        for verb in ("decisions", "withdraw", "end")
    },
}
GRANTS_AND_READS: dict[tuple[str, str], Callable[[Story], Call]] = {
    ("POST", "/projects/{project}/dataset-sources/grants"): lambda s: Call(
        "/dataset-sources/grants", {"source": "{source}"}
    ),
    ("GET", "/projects/{project}/runs/{run}/staging"): lambda s: Call(f"/runs/{s.start_run().id}/staging"),
    ("GET", "/projects/{project}/artifacts/{artifact}/grant"): lambda s: Call(
        f"/artifacts/{s.artifact(s.succeed(), 'model')}/grant"
    ),
    ("GET", "/projects/{project}/tokens"): lambda s: Call("/tokens"),
    ("GET", "/projects/{project}/bindings"): lambda s: Call("/bindings"),
    ("GET", "/bindings"): lambda s: Call("!/bindings"),
    ("GET", "/projects/{project}/audit-events"): lambda s: Call("/audit-events"),
    ("GET", "/audit-events"): lambda s: Call("!/audit-events"),
    ("GET", "/projects/{project}/audit-proofs"): lambda s: Call(f"/audit-proofs?run={proved(s)}"),
    ("GET", "/audit-proofs"): lambda s: Call(f"!/audit-proofs?run={proved(s)}"),
}
# What asks for something and leaves nothing behind: the test below sees that it is so.
CHANGES_NOTHING: dict[tuple[str, str], Callable[[Story], Call]] = {
    ("POST", "/legal-holds/coverage"): lambda s: Call(
        "!/legal-holds/coverage", {"objects": [{"type": "run", "id": ID}]}
    ),
    ("POST", "/projects/{project}/runs/standings"): lambda s: Call("/runs/standings", {"runs": [ID]}),
    # Leave to bring bytes, and their being brought: they become Artifacts, and an event, with the Run's end.
    ("POST", "/projects/{project}/runs/{run}/uploads"): uploads,
    ("POST", "/projects/{project}/runs/{run}/uploads/complete"): lambda s: uploads(s, "/complete"),
    ("PUT", "/objects/{key:path}"): lambda s: Call("!/objects/x"),
    ("GET", "/objects/{key:path}"): lambda s: Call("!/objects/x"),
}


def below_v1(path: str) -> str:
    return path.removeprefix("/v1")


READS = [
    (method, below_v1(path))
    for method, path in routes()
    if method == "GET" and (method, below_v1(path)) not in {**GRANTS_AND_READS, **CHANGES_NOTHING}
]


def make(http: httpx.Client, method: str, story: Story, call: Call, key: str, platform: Platform) -> httpx.Response:
    path = call.below[1:] if call.below.startswith("!") else f"/projects/{story.project}{call.below}"
    body = call.body
    if body == {"source": "{source}"}:
        body = {"source": platform.settings.__dict__["tests_source"]}
    headers = {
        "Authorization": f"Bearer {call.principal}",
        "Idempotency-Key": key,
        "X-Request-ID": secrets.token_hex(8),
    }
    return http.request(method, path, headers=headers, json=body)


def test_every_route_that_may_change_or_show_something_is_looked_at() -> None:
    named = {**CHANGES, **GRANTS_AND_READS, **CHANGES_NOTHING}
    served = {(method, below_v1(path)) for method, path in routes()}
    assert set(named) <= served
    assert {route for route in served if route[0] != "GET"} <= set(named)


@pytest.mark.parametrize("route", list(CHANGES), ids=" ".join)
def test_a_change_has_its_event_and_without_it_is_not_made(
    route: tuple[str, str], http: httpx.Client, story: Story, platform: Platform, owner_sql: Connection
) -> None:
    if "/retention-plans" in route[1]:
        let_something_be_due(story, owner_sql)
    call, key = CHANGES[route](story), secrets.token_hex(8)
    before = state_of(owner_sql)
    with no_events(owner_sql):
        refused = make(http, route[0], story, call, key, platform)
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json"), refused.text
    assert "does not let the service write what has to be written" in refused.json()["detail"]
    assert refused.headers["retry-after"]
    assert state_of(owner_sql) == before
    assert not events_of(owner_sql, refused.headers["x-request-id"])
    done = make(http, route[0], story, call, key, platform)
    assert done.is_success, done.text
    assert state_of(owner_sql) != before or "pods" in route[1] or "refusals" in route[1]
    events = events_of(owner_sql, done.headers["x-request-id"])
    assert events
    assert {class_of(AuditAction(event["action"])) for event in events} <= {EventClass.CHANGE, EventClass.DENIAL}
    assert {event["initiator"] for event in events} == {call.principal}


@pytest.mark.parametrize("route", list(GRANTS_AND_READS), ids=" ".join)
def test_a_sensitive_read_has_its_event_and_without_it_shows_nothing(
    route: tuple[str, str], http: httpx.Client, story: Story, platform: Platform, owner_sql: Connection
) -> None:
    call = GRANTS_AND_READS[route](story)
    with no_events(owner_sql):
        refused = make(http, route[0], story, call, "k", platform)
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json"), refused.text
    done = make(http, route[0], story, call, "k", platform)
    assert done.status_code == 200, done.text
    [event] = events_of(owner_sql, done.headers["x-request-id"])
    assert (event["initiator"], event["outcome"]) == ("system:install", "succeeded")
    if route[0] == "GET":
        assert class_of(AuditAction(event["action"])) is EventClass.READ


@pytest.mark.parametrize("route", list(CHANGES_NOTHING), ids=" ".join)
def test_what_is_said_to_change_nothing_changes_nothing(
    route: tuple[str, str], http: httpx.Client, story: Story, platform: Platform, owner_sql: Connection
) -> None:
    call = CHANGES_NOTHING[route](story)
    before = state_of(owner_sql)
    assert make(http, route[0], story, call, "k", platform).status_code < 500
    assert state_of(owner_sql) == before


@pytest.mark.parametrize("route", READS, ids=" ".join)
def test_a_read_changes_nothing_and_needs_no_event(
    route: tuple[str, str],
    http: httpx.Client,
    reading: dict[str, str],
    certified: dict[str, str],
    owner_sql: Connection,
) -> None:
    path = route[1]
    for name, value in (certified if "{plan}" in path else reading).items():
        path = path.replace(f"{{{name}}}", value)
    if path.startswith(f"/projects/{reading['project']}/dataset-versions"):
        path = path.replace(reading["version"], reading["dataset_version"])
    if path.startswith("/retention-policies"):
        path = path.replace(reading["policy"], reading["platform_policy"])
    assert "{" not in path
    before = state_of(owner_sql)
    headers = {"Authorization": "Bearer system:install", "X-Request-ID": secrets.token_hex(8)}
    with no_events(owner_sql):
        reply = http.get(path, headers=headers)
    assert reply.status_code == 200, (path, reply.text)
    assert state_of(owner_sql) == before
    assert not events_of(owner_sql, headers["X-Request-ID"])


@pytest.fixture(scope="module")
def reading(platform: Platform) -> dict[str, str]:
    """What the parameters of paths stand for, of one whole story."""
    story = Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects, project="readable")
    promotion = decided(story)
    story.mia.promotions.execute(story.project, promotion.id)
    run = story.mia.runs.list(story.project).items[0]
    bind_officers(story)
    hold = place(story, hold_on("run", run.id))
    return {
        "project": story.project,
        "version": str(promotion.model_version),
        "dataset_version": str(story.register_dataset()),
        "pipeline_run": str(story.pipeline_run()),
        "run": str(run.id),
        "artifact": str(story.artifact(run, "model")),
        "digest": run.policy_digest,
        "model": "tumours",
        "alias": "champion",
        "promotion": str(promotion.id),
        "policy": retention_call(story, is_platform=False, verb="withdraw").below.split("/")[2],
        "platform_policy": retention_call(story, is_platform=True, verb="withdraw").below.split("/")[2],
        "governed_object": str(story.artifact(run, "model")),
        "hold": hold.name,
    }


@pytest.fixture(scope="module")
def certified(platform: Platform, s3: S3Server, postgres: PostgresServer, database: tuple[str, str]) -> dict[str, str]:
    """What the parameters of paths stand for where a plan was carried out."""
    story = Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects)
    eraser = S3Eraser(str(platform.settings.s3_bucket), s3.session(), endpoint_url=s3.url, region=REGION)
    gone = dispose_something(story, platform, postgres, database[0], eraser)
    plans = gone.vera.retention_plans
    newest = plans.list(gone.project).items[0]
    item = plans.items(gone.project, newest.name).items[0]
    return {"project": gone.project, "plan": newest.name, "governed_object": str(item.object)}


@pytest.mark.parametrize(
    ("principal", "method", "path", "status"),
    [
        ("", "GET", "/projects", 401),
        ("hft_" + "0" * 32 + "_" + "A" * 43, "GET", "/projects/readable", 401),
        ("user:vera", "POST", "/projects/readable/archive", 403),
        ("user:stranger", "GET", "/projects/readable", 404),
        ("user:stranger", "GET", "/projects/no-such-project", 404),
        ("user:stranger", "GET", "/audit-events", 403),
        ("user:vera", "GET", "/projects/readable/tokens", 403),
    ],
)
def test_a_denied_call_is_on_record_or_gets_503(
    principal: str,
    method: str,
    path: str,
    status: int,
    http: httpx.Client,
    reading: dict[str, str],
    owner_sql: Connection,
) -> None:
    headers = {"Idempotency-Key": "k", "X-Request-ID": secrets.token_hex(8)}
    headers |= {"Authorization": f"Bearer {principal}"} if principal else {}
    body = {"reason": ""} if method == "POST" else None
    with no_events(owner_sql):
        assert http.request(method, path, headers=headers, json=body).status_code == 503
    assert http.request(method, path, headers=headers, json=body).status_code == status
    [event] = events_of(owner_sql, headers["X-Request-ID"])
    assert (event["action"], event["outcome"], event["project"]) == ("call.denied", "refused", None)
    assert event["initiator"] == (principal if principal.startswith("user:") else "anonymous")
    assert event["target"]["id"] == f"{method} /holdfast/api/v1{path}"
    assert (event["content"]["claimed"] is not None) == principal.startswith("hft_")
    assert "A" * 43 not in str(event)


def test_a_read_of_what_is_not_there_is_no_denial(
    http: httpx.Client, reading: dict[str, str], owner_sql: Connection
) -> None:
    headers = {"Authorization": "Bearer user:vera", "X-Request-ID": secrets.token_hex(8)}
    assert http.get(f"/projects/readable/runs/{ID}", headers=headers).status_code == 404
    assert not events_of(owner_sql, headers["X-Request-ID"])
