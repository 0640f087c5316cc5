"""The proofs are recomputable by somebody who has the API's replies and the documented forms, and nothing else."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import rfc8785
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from holdfast.settings import Platform
from holdfast.wire.model import MetricGateSpec
from tests.support.server import serve
from tests.support.story import Story

AS_MIA = {"Authorization": "Bearer user:mia"}
BOUND = 2**53 - 1
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-BOUND, BOUND) | st.floats(-BOUND, BOUND, allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(texts, values, max_size=5)
quietly = settings(
    max_examples=30, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
AWKWARD = {
    "one": 1.0,
    "minus zero": -0.0,
    "hundred": 1e2,
    "tiny": 5e-324,
    "small": 1e-7,
    "most": BOUND,
    "third": 1 / 3,
    "sum": 0.1 + 0.2,
    "\u20ac": "\ud7ff\ue000\U0010ffff",
    "": {"\u2028": [[], {}, ""]},
}


def digest(document: dict[str, Any]) -> str:
    """Return the digest of a document as an outsider computes it."""
    return "sha256:" + hashlib.sha256(rfc8785.dumps(document)).hexdigest()


@pytest.fixture(scope="module")
def http(platform: Platform) -> Iterator[httpx.Client]:
    with serve(platform) as url, httpx.Client(base_url=url, headers=AS_MIA, timeout=30) as client:
        yield client


def post(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    # By hand, so that what is sent is what the test says: floats as floats, -0.0 as -0.0.
    reply = http.post(
        path,
        content=json.dumps(body),
        headers={"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(8)},
    )
    assert reply.is_success, reply.text
    return reply.json()


def seal_of(run: dict[str, Any]) -> str:
    """Return the seal of a Run, from the API's reply."""
    return digest(
        {
            "format": "holdfast.run-seal/1",
            "project": run["project"],
            "code": run["code"],
            "environment": run["environment_digest"],
            "command": run["command"],
            "inputs": {bound["name"]: bound["digest"] for bound in run["inputs"]},
            "parameters": run["parameters"],
            "outputs": run["outputs"],
            "resources": run["resources"],
            "policy": run["policy_digest"],
        }
    )


@quietly
@example(parameters=AWKWARD, resources={"cpu": 0.5})
@given(parameters=documents, resources=documents)
def test_the_seal_of_a_run_follows_from_what_the_api_shows(
    parameters: dict[str, Any], resources: dict[str, Any], story: Story, http: httpx.Client
) -> None:
    body = story.run_request().model_dump(mode="json")
    body |= {"parameters": parameters, "resources": resources, "task_id": secrets.token_hex(4)}
    created = post(http, f"/projects/{story.project}/runs", body)
    shown = http.get(f"/projects/{story.project}/runs/{created['id']}").json()
    assert shown == created
    assert seal_of(shown) == shown["seal"]
    assert seal_of({**shown, "parameters": {**shown["parameters"], "another": 1}}) != shown["seal"]
    again = post(http, f"/projects/{story.project}/runs", body)
    assert again["id"] == created["id"]


@quietly
@example(name=BOUND, metrics={"accuracy": 1 / 3, "loss": 5e-324, "n": -0.0})
@given(name=st.integers(0, 99), metrics=st.dictionaries(texts.filter(bool), numbers, max_size=5))
def test_the_evidence_of_a_promotion_follows_from_what_the_api_shows(
    name: int, metrics: dict[str, float], story: Story, http: httpx.Client
) -> None:
    run = story.start_run(parameters={"n": secrets.token_hex(4)})
    story.finish_run(run, metrics={**metrics, "accuracy": 0.95})
    requested = story.request_promotion(story.register_model(run), alias=f"a{name}")
    shown = http.get(f"/projects/{story.project}/promotions/{requested.id}").json()
    assert digest(shown["evidence"]) == shown["evidence_digest"]
    seals = shown["evidence"]["run_seals"]
    assert {run: seal_of(http.get(f"/projects/{story.project}/runs/{run}").json()) for run in seals} == seals
    # What is stored is what would be collected again: otherwise every promotion would be void by its numbers.
    from tests.integration.test_database_guards import approve

    approve(story, requested)
    assert story.mia.promotions.execute(story.project, requested.id).promotion == requested.id


@quietly
@given(distributions=st.dictionaries(texts, texts, max_size=5), reference=texts.filter(bool))
def test_the_digest_of_an_environment_lock_follows_from_what_the_api_shows(
    distributions: dict[str, str], reference: str, story: Story, http: httpx.Client
) -> None:
    body = {"name": "env", "kind": "interpreter", "reference": reference, "distributions": distributions}
    shown = post(http, f"/projects/{story.project}/environments", body)
    parts = {part: shown[part] for part in ("name", "kind", "reference", "distributions", "sbom_digest")}
    assert digest({"format": "holdfast.environment-lock/1", **parts}) == shown["digest"]


@quietly
@given(metric=texts.filter(bool), bound=numbers)
def test_the_digest_of_a_policy_follows_from_what_the_api_shows(
    metric: str, bound: float, story: Story, http: httpx.Client
) -> None:
    gates = [MetricGateSpec(metric=metric, comparison=">=", bound=bound).model_dump(mode="json")]
    gates.append({"gate": "approval", "count": 1, "roles": ["security_officer"]})
    shown = post(http, f"/projects/{story.project}/policies", {"name": "random", "gates": gates})
    listed = http.get(f"/projects/{story.project}/policies").json()["items"]
    for policy in (shown, next(entry for entry in listed if entry["id"] == shown["id"])):
        parts = {part: policy[part] for part in ("name", "gates", "expires_after_s")}
        assert digest({"format": "holdfast.promotion-policy/1", **parts}) == policy["digest"]


def test_the_digest_of_a_dataset_version_follows_from_its_list_of_files(story: Story, http: httpx.Client) -> None:
    files = [
        {"path": path, "digest": "sha256:" + hashlib.sha256(path.encode()).hexdigest(), "size_bytes": len(path)}
        for path in ("b", "a/\u00fc", "a/b  1", "a\u2028", "Z", "\U0001f600", "\uffff")
    ]
    body = {"source": "file:///d", "source_type": "file", "files": files}
    shown = post(http, f"/projects/{story.project}/datasets/d/versions", body)
    listed = http.get(f"/projects/{story.project}/dataset-versions/{shown['id']}/files").json()["items"]
    assert len(listed) == len(files)
    lines = sorted((f["path"].encode(), f["digest"][7:], f["size_bytes"]) for f in listed)
    body = b"".join(b"%s  %d  %s\n" % (hexadecimal.encode(), size, path) for path, hexadecimal, size in lines)
    assert "sha256:" + hashlib.sha256(body).hexdigest() == shown["digest"]


def test_the_policy_digest_of_a_run_follows_from_its_policy_snapshot(story: Story, http: httpx.Client) -> None:
    run = http.get(f"/projects/{story.project}/runs/{story.start_run().id}").json()
    shown = http.get(f"/projects/{story.project}/policy-snapshots/{run['policy_digest']}").json()
    assert digest(shown["content"]) == shown["digest"] == run["policy_digest"]
    assert {decision["rule"] for decision in shown["content"]["decisions"]} >= {"run.code-commit", "run.isolation"}
    missing = http.get(f"/projects/{story.project}/policy-snapshots/sha256:{'0' * 64}")
    assert (missing.status_code, "no PolicySnapshot" in missing.json()["detail"]) == (404, True)
    assert http.get(f"/projects/{story.project}/policy-snapshots/sha256:0").status_code == 422
