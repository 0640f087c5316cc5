"""Every route by every role, in the Project, in another one and in none: what the rules say is what is answered."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

import httpx
import pytest

from holdfast.core.access import GRANTS, TOKEN_PERMISSIONS, Permission, Role
from holdfast.wire.project import RoleBindingRequest, TokenRequest
from tests.api.test_rest import BY_GRANT, PUBLIC, routes
from tests.support.story import Story

P = Permission
WHO_KNOWS_WHO_IT_IS = {("GET", "/v1/whoami"), ("GET", "/v1/openapi.json"), ("GET", "/v1/projects")}
PLATFORM = {
    ("POST", "/v1/projects"): P.PROJECT_CREATE,
    ("GET", "/v1/bindings"): P.PROJECT_READ,
    ("POST", "/v1/bindings"): P.BINDING_WRITE,
    ("POST", "/v1/bindings/{binding}/revoke"): P.BINDING_WRITE,
    ("GET", "/v1/audit-events"): P.AUDIT_READ,
    ("GET", "/v1/audit-proofs"): P.AUDIT_READ,
    ("GET", "/v1/legal-holds"): P.LEGAL_HOLD_READ,
    ("POST", "/v1/legal-holds"): P.LEGAL_HOLD_PLACE,
    ("POST", "/v1/legal-holds/coverage"): P.LEGAL_HOLD_PLACE,
    ("GET", "/v1/legal-holds/{hold}"): P.LEGAL_HOLD_READ,
    ("GET", "/v1/legal-holds/{hold}/objects"): P.LEGAL_HOLD_READ,
    ("POST", "/v1/legal-holds/{hold}/release-requests"): P.LEGAL_HOLD_RELEASE,
    ("POST", "/v1/legal-holds/{hold}/release-decisions"): P.LEGAL_HOLD_RELEASE,
    ("GET", "/v1/ledger/segments"): P.AUDIT_READ,
    ("GET", "/v1/ledger/status"): P.AUDIT_READ,
    ("GET", "/v1/store"): P.PROJECT_READ,
    ("POST", "/v1/retention-policies"): P.RETENTION_PROPOSE,
    ("GET", "/v1/retention-policies"): P.PROJECT_READ,
    ("GET", "/v1/retention-policies/{policy}"): P.PROJECT_READ,
    ("POST", "/v1/retention-policies/{policy}/decisions"): P.RETENTION_DECIDE,
    ("POST", "/v1/retention-policies/{policy}/withdraw"): P.RETENTION_PROPOSE,
    ("POST", "/v1/retention-policies/{policy}/end"): P.RETENTION_PROPOSE,
}
PROJECT = {
    ("POST", "/archive"): P.PROJECT_ARCHIVE,
    ("POST", "/bindings"): P.BINDING_WRITE,
    ("POST", "/bindings/{binding}/revoke"): P.BINDING_WRITE,
    ("GET", "/tokens"): P.TOKEN_WRITE,
    ("POST", "/tokens"): P.TOKEN_WRITE,
    ("POST", "/tokens/{token}/revoke"): P.TOKEN_WRITE,
    ("POST", "/datasets/{dataset}/versions"): P.DATASET_WRITE,
    ("POST", "/dataset-sources/grants"): P.DATASET_WRITE,
    ("POST", "/environments"): P.ENVIRONMENT_WRITE,
    ("POST", "/pipeline-runs"): P.RUN_WRITE,
    ("POST", "/pipeline-runs/{pipeline_run}/transitions"): P.RUN_WRITE,
    ("POST", "/runs"): P.RUN_WRITE,
    ("POST", "/runs/{run}/start"): P.RUN_WRITE,
    ("POST", "/runs/{run}/transitions"): P.RUN_WRITE,
    ("POST", "/runs/{run}/finish"): P.RUN_WRITE,
    ("POST", "/runs/{run}/uploads"): P.RUN_WRITE,
    ("POST", "/runs/{run}/uploads/complete"): P.RUN_WRITE,
    ("GET", "/runs/{run}/staging"): P.RUN_WRITE,
    ("POST", "/runs/standings"): P.PROJECT_READ,
    ("POST", "/dag-refusals"): P.RUN_WRITE,
    ("POST", "/pods/{uid}/quarantine"): P.RUN_RECONCILE,
    ("POST", "/pods/{uid}/removal"): P.RUN_RECONCILE,
    ("POST", "/artifacts"): P.ARTIFACT_WRITE,
    ("GET", "/artifacts/{artifact}/grant"): P.ARTIFACT_CONTENT,
    ("POST", "/models/{model}/versions"): P.MODEL_WRITE,
    ("POST", "/policies"): P.POLICY_WRITE,
    ("POST", "/promotions"): P.PROMOTION_REQUEST,
    ("POST", "/promotions/{promotion}/decisions"): P.PROMOTION_DECIDE,
    ("POST", "/promotions/{promotion}/execute"): P.PROMOTION_EXECUTE,
    ("POST", "/retention-policies"): P.RETENTION_PROPOSE,
    ("POST", "/retention-policies/{policy}/decisions"): P.RETENTION_DECIDE,
    ("POST", "/retention-policies/{policy}/withdraw"): P.RETENTION_PROPOSE,
    ("POST", "/retention-policies/{policy}/end"): P.RETENTION_PROPOSE,
    ("POST", "/retention-plans"): P.RETENTION_PLAN,
    ("POST", "/retention-plans/{plan}/decisions"): P.RETENTION_PLAN_DECIDE,
    ("POST", "/retention-plans/{plan}/withdraw"): P.RETENTION_PLAN,
    ("GET", "/audit-events"): P.AUDIT_READ,
    ("GET", "/audit-proofs"): P.AUDIT_READ,
}
# What another permission opens as well: who reconciles ends Runs, and neither creates nor starts any.
AS_WELL = {
    ("POST", "/runs/{run}/transitions"): P.RUN_RECONCILE,
    ("POST", "/runs/{run}/finish"): P.RUN_RECONCILE,
    ("POST", "/runs/{run}/uploads"): P.RUN_RECONCILE,
    ("POST", "/runs/{run}/uploads/complete"): P.RUN_RECONCILE,
}
ID = "01a20e18-ee49-7ba9-aa93-6423bc86488b"
DIGEST = "sha256:" + "0" * 64
STORED = {"name": "x", "digest": DIGEST, "size_bytes": 1, "object_key": "x", "version_id": "x"}


def needed(method: str, path: str) -> Permission | None:
    """Return the permission that a route needs; every route has to be named here or to be a plain read of a Project."""
    if (method, path) in PLATFORM:
        return PLATFORM[method, path]
    below = path.removeprefix("/v1/projects/{project}")
    assert below != path, f"{method} {path} is not in the matrix"
    if (method, below) in PROJECT:
        return PROJECT[method, below]
    assert method == "GET", f"{method} {path} is not in the matrix"
    return P.PROJECT_READ


def is_granted(method: str, path: str, granted: Collection[Permission]) -> bool:
    """Whether one of the permissions that open a route is among these."""
    below = path.removeprefix("/v1/projects/{project}")
    return not {needed(method, path), AS_WELL.get((method, below))}.isdisjoint(granted)


LOOKED_AT = [r for r in routes() if r[1] not in PUBLIC | BY_GRANT and r not in WHO_KNOWS_WHO_IT_IS]


def body_of(path: str) -> dict[str, Any]:
    """Return a body that is well-formed, for something that is not there."""
    from tests.support.story import COMMIT

    return {
        "/projects": {"name": f"p{secrets.token_hex(6)}", "owner": "o"},
        "/archive": {"reason": ""},
        "/bindings": {"subject": "user:x", "role": "viewer"},
        "/tokens": {"name": "t", "scope": ["project.read"]},
        "/datasets/{dataset}/versions": {
            "source": "file:///d",
            "source_type": "file",
            "files": [{"path": "a", "digest": DIGEST, "size_bytes": 1}],
        },
        "/environments": {"name": "e", "kind": "interpreter", "reference": "/p"},
        "/pipeline-runs": {"dag_id": "d", "run_id": "r", "commit": COMMIT},
        "/pipeline-runs/{pipeline_run}/transitions": {"state": "failed"},
        "/runs": {"idempotency_key": secrets.token_hex(32), "task_id": "t", "environment": "none", "command": ["x"]},
        "/runs/{run}/start": {"fence": "f"},
        "/runs/{run}/transitions": {"state": "unknown", "cause": "c", "owner": "o"},
        "/runs/{run}/finish": {"state": "canceled"},
        "/dataset-sources/grants": {"source": "s3://landing/oncology/"},
        "/runs/{run}/uploads": {"files": [{"name": "x", "digest": DIGEST, "size_bytes": 1}]},
        "/runs/{run}/uploads/complete": {"files": [{"name": "x", "digest": DIGEST, "size_bytes": 1, "upload_id": "x"}]},
        "/runs/standings": {"runs": [ID]},
        "/pods/{uid}/quarantine": {"namespace": "n", "name": "p", "rule": "pod.of-no-run"},
        "/pods/{uid}/removal": {"namespace": "n", "name": "p", "rule": "pod.of-no-run"},
        "/dag-refusals": {"dag_id": "d", "rule": "run.inputs-bound", "reason": "none", "file": "d.py"},
        "/artifacts": {"run": ID, "file": STORED},
        "/models/{model}/versions": {"artifact": ID},
        "/legal-holds": {"matter": "m", "reason": "r", "objects": [{"type": "run", "id": ID}]},
        "/legal-holds/coverage": {"objects": [{"type": "run", "id": ID}]},
        "/legal-holds/{hold}/release-requests": {"reason": "r"},
        "/legal-holds/{hold}/release-decisions": {"decision": "reject", "release": ID},
        "/policies": {"name": "p", "gates": [{"gate": "approval", "roles": ["viewer"]}]},
        "/promotions": {"model_version": ID, "alias": "a", "policy": "p"},
        "/promotions/{promotion}/decisions": {"decision": "approve", "evidence_digest": DIGEST},
        "/retention-policies": {
            "name": f"r{secrets.token_hex(4)}",
            "object_type": "artifact",
            "label": secrets.token_hex(4),
            "starts": "created",
            "period_days": 1,
            "disposition": "delete",
            "reason": "r",
        },
        "/retention-plans": {"reason": "r"},
        "/retention-plans/{plan}/decisions": {"decision": "reject", "root": DIGEST},
        "/retention-plans/{plan}/withdraw": {"reason": "r"},
        "/retention-policies/{policy}/decisions": {"decision": "reject", "digest": DIGEST},
        "/retention-policies/{policy}/withdraw": {"reason": "r"},
        "/retention-policies/{policy}/end": {"reason": "r"},
    }.get(path.removeprefix("/v1").removeprefix("/projects/{project}"), {})


def call(http: httpx.Client, method: str, path: str, project: str, bearer: str) -> httpx.Response:
    concrete = path.removeprefix("/v1").replace("{project}", project).replace("{digest}", DIGEST)
    for name in ("dataset", "model", "alias"):
        concrete = concrete.replace(f"{{{name}}}", "x")
    while "{" in concrete:
        concrete = concrete[: concrete.index("{")] + ID + concrete[concrete.index("}") + 1 :]
    headers = {"Authorization": f"Bearer {bearer}".encode(), "Idempotency-Key": secrets.token_hex(8)}
    return http.request(method, concrete, headers=headers, json=body_of(path) if method == "POST" else None)


def is_let_in(reply: httpx.Response) -> bool:
    """Whether access was granted; that what was asked for is not there does not matter."""
    assert reply.status_code < 500, reply.text
    assert reply.status_code not in (401, 422), reply.text
    if reply.is_success or reply.status_code in (400, 409):
        return True
    problem = reply.json()
    if reply.status_code == 403:
        return problem["details"]["rule"] != "access.default-deny"
    return "there is no Project" not in problem["detail"]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("by", ["user", "group"])
def test_a_role_in_a_project_may_exactly_what_it_grants(role: Role, by: str, http: httpx.Client, story: Story) -> None:
    mine, foreign = Story.begin(story.act_as, story.objects), Story.begin(story.act_as, story.objects)
    subject, bearer = (f"user:{role}", f"user:{role}") if by == "user" else (f"group:{role}", f"user:somebody|{role}")
    story.act_as("system:install").projects.bind_role(mine.project, RoleBindingRequest(subject=subject, role=role))
    # Archiving comes last: it would refuse what comes after it.
    for method, path in sorted(LOOKED_AT, key=lambda route: route[1].endswith("/archive")):
        may = is_granted(method, path, GRANTS[role]) and "{project}" in path
        assert is_let_in(call(http, method, path, mine.project, bearer)) == may, f"{role} {method} {path}"
        if "{project}" in path:
            assert not is_let_in(call(http, method, path, foreign.project, bearer)), f"{role} elsewhere {method} {path}"


@pytest.mark.parametrize("role", list(Role))
def test_a_role_on_the_platform_may_exactly_what_it_grants_everywhere(
    role: Role, http: httpx.Client, story: Story
) -> None:
    anywhere = Story.begin(story.act_as, story.objects)
    story.act_as("system:install").projects.bind_role(
        None, RoleBindingRequest(subject=f"user:platform-{role}", role=role)
    )
    for method, path in sorted(LOOKED_AT, key=lambda route: route[1].endswith("/archive")):
        may = is_granted(method, path, GRANTS[role])
        reply = call(http, method, path, anywhere.project, f"user:platform-{role}")
        assert is_let_in(reply) == may, f"{role} {method} {path}: {reply.text}"


@pytest.mark.parametrize("permission", sorted(TOKEN_PERMISSIONS))
def test_a_token_may_exactly_what_its_scope_says_in_its_project(
    permission: Permission, http: httpx.Client, story: Story
) -> None:
    token = story.mia.projects.create_token(story.project, TokenRequest(name="t", scope=[permission]))
    other = Story.begin(story.act_as, story.objects)
    for method, path in LOOKED_AT:
        may = is_granted(method, path, {permission}) and "{project}" in path
        assert is_let_in(call(http, method, path, story.project, token.secret)) == may, f"{permission} {method} {path}"
        if "{project}" in path:
            assert not is_let_in(call(http, method, path, other.project, token.secret)), f"elsewhere {method} {path}"


@pytest.mark.parametrize(
    "bearer", ["user:nobody", "user:token:x", "user:system:x", "user:", "user:group:g", "user:MIA", "user:\u043cia"]
)
def test_a_name_that_looks_like_another_principal_is_nobody(bearer: str, http: httpx.Client, story: Story) -> None:
    for method, path in LOOKED_AT:
        assert not is_let_in(call(http, method, path, story.project, bearer)), f"{bearer!r} {method} {path}"


def test_what_is_not_there_and_what_is_not_for_the_caller_look_the_same(http: httpx.Client, story: Story) -> None:
    token = story.mia.projects.create_token(story.project, TokenRequest(name="t", scope=sorted(TOKEN_PERMISSIONS)))
    other = Story.begin(story.act_as, story.objects)
    for bearer in ("user:nobody", token.secret):
        for method, path in LOOKED_AT:
            if "{project}" not in path:
                continue
            replies = [call(http, method, path, project, bearer) for project in (other.project, "p" + "0" * 12)]
            seen = [reply.text.replace(other.project, "…").replace("p" + "0" * 12, "…") for reply in replies]
            assert replies[0].status_code == replies[1].status_code == 404
            assert seen[0] == seen[1]
            assert {*replies[0].headers} == {*replies[1].headers}


def test_an_id_of_another_project_is_not_found(http: httpx.Client, story: Story) -> None:
    other = Story.begin(story.act_as, story.objects)
    version = other.register_model()
    run = str(version.source_run)
    artifact = str(version.artifacts[0].artifact)
    promotion = str(other.request_promotion(version).id)
    dataset = str(other.register_dataset())
    headers = {"Authorization": "Bearer user:mia"}
    for path in (
        f"runs/{run}",
        f"runs/{run}/staging",
        f"artifacts/{artifact}",
        f"artifacts/{artifact}/grant",
        f"promotions/{promotion}",
        f"model-versions/{version.id}",
        f"dataset-versions/{dataset}",
        f"dataset-versions/{dataset}/files",
    ):
        assert http.get(f"/projects/{other.project}/{path}", headers=headers).status_code in (200, 409)
        assert http.get(f"/projects/{story.project}/{path}", headers=headers).status_code == 404
    for path, body in (
        (f"runs/{run}/finish", {"state": "canceled"}),
        (f"runs/{run}/uploads", {"files": [{"name": "model", "digest": DIGEST, "size_bytes": 1}]}),
        (f"promotions/{promotion}/execute", None),
        (f"promotions/{promotion}/decisions", {"decision": "reject", "evidence_digest": DIGEST}),
    ):
        keyed = {**headers, "Idempotency-Key": secrets.token_hex(8)}
        assert http.post(f"/projects/{story.project}/{path}", headers=keyed, json=body).status_code == 404
