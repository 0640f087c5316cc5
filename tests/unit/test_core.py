"""The rules of the core, in microseconds."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import access, audit, digest, ids, names, promotion, run
from holdfast.core.errors import InvalidRequest, NotFound, PolicyViolation, StateConflict
from holdfast.core.policy import DataPlaneKind, EnvironmentKind, ProjectClass, RunFacts, check_run, decide_run

R = run.RunState


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid7_that_sorts_by_time(unix_ms: int, random: bytes) -> None:
    identity = ids.uuid7(unix_ms, random)
    assert (identity.version, identity.variant) == (7, uuid.RFC_4122)
    assert identity.int >> 80 == unix_ms
    if unix_ms:
        assert ids.uuid7(unix_ms - 1, b"\xff" * 10) < identity


@given(st.lists(st.tuples(st.integers(-3, 3), st.binary(min_size=10, max_size=10)), min_size=1, max_size=50))
def test_ids_of_one_maker_sort_as_they_were_made_also_while_its_clock_is_set_back(
    steps: list[tuple[int, bytes]],
) -> None:
    unix_ms, last = 1_800_000_000_000, ids.uuid7(1_800_000_000_000, b"\xff" * 10)
    for step, random in steps:
        unix_ms += step
        identity = ids.uuid7_after(last, unix_ms, random)
        assert identity > last
        assert (identity.version, identity.variant) == (7, uuid.RFC_4122)
        last = identity


def test_a_clock_that_was_far_ahead_is_believed_again() -> None:
    ahead = ids.uuid7(1_800_000_020_000, bytes(10))
    assert ids.uuid7_after(ahead, 1_800_000_000_000, bytes(10)).int >> 80 == 1_800_000_000_000


@given(st.lists(st.sampled_from(list(R)), max_size=30))
def test_no_walk_leaves_a_terminal_state_and_unknown_is_left_through_reconciling(walk: list[R]) -> None:
    state = R.CREATED
    for wanted in walk:
        try:
            run.check_run_transition("r", state, wanted)
        except StateConflict:
            continue
        assert not run.is_terminal(state)
        assert state is not R.UNKNOWN or wanted is R.RECONCILING
        state = wanted


@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.binary(min_size=32, max_size=32), st.integers(0)), unique_by=lambda f: f[0]
    )
)
def test_the_digest_of_files_does_not_depend_on_their_order(files) -> None:
    files = [f for f in files if not any(0xD800 <= ord(c) <= 0xDFFF for c in f[0])]
    assert digest.of_files(files) == digest.of_files(reversed(files))


@pytest.mark.parametrize(
    ("owner", "is_taken"),
    [
        (None, False),
        ("reconciler", False),
        ("try", False),
        ("try two", False),
        ("try 2", False),
        ("try 3", True),
        ("try 10", True),
    ],
)
def test_a_run_is_taken_only_from_the_tries_before_the_one_that_owns_it(owner: str | None, is_taken: bool) -> None:
    assert run.is_taken_from(owner, 2) is is_taken
    assert run.is_taken_from(run.owner_of_try(3), 2)


def test_every_part_of_a_try_changes_its_key() -> None:
    base = ("dag", "run", "task", -1, 1)
    others = [
        ("dag2", *base[1:]),
        ("dag", "run2", *base[2:]),
        ("dag", "run", "t", -1, 1),
        ("dag", "run", "task", 0, 1),
        (*base[:4], 2),
    ]
    assert len({run.idempotency_key(*one) for one in [base, *others]}) == 6


@pytest.mark.parametrize("commit", ["main", "v1.2.3", "HEAD", "c0ffee", "C" * 40, "g" * 40, ""])
def test_a_branch_a_tag_or_a_short_sha_is_not_a_commit(commit: str) -> None:
    with pytest.raises(InvalidRequest, match="git rev-parse HEAD"):
        names.check_commit(commit)


@pytest.mark.parametrize(
    "image", ["sklearn", "sklearn:1.5", "sklearn:latest", "sklearn@sha256:abc", "a b@sha256:" + "0" * 64]
)
def test_an_image_tag_is_not_an_image(image: str) -> None:
    with pytest.raises(InvalidRequest, match="not named by digest"):
        names.check_image(image)


@pytest.mark.parametrize("namespace", ["a.b", "a_b", "A", "-a", "a-", "", "a" * 64])
def test_what_no_cluster_takes_as_a_namespace_is_none(namespace: str) -> None:
    with pytest.raises(InvalidRequest, match="not the name of a namespace"):
        names.check_namespace(namespace)
    assert names.check_namespace("oncology-2") == "oncology-2"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", ".", "a\nb", "a\ud800"])
def test_a_path_that_leaves_or_confuses_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest):
        names.check_path(path)


@pytest.mark.parametrize(
    ("outputs", "what"),
    [
        ({"a": "x", "b": "x"}, "'b' has the same path as output 'a'"),
        ({"a": "x", "b": "x/"}, "'b' has the same path as output 'a'"),
        ({"a": "p/", "b": "p/roc.svg"}, "'b' is below output 'a'"),
        ({"b": "p/q/roc.svg", "c": "o", "a": "p/"}, "'b' is below output 'a'"),
    ],
)
def test_a_file_is_part_of_one_output(outputs: dict[str, str], what: str) -> None:
    with pytest.raises(InvalidRequest, match=what):
        names.check_outputs(outputs)


def test_outputs_beside_each_other_are_good() -> None:
    good = {"a": "p/", "b": "p-2/", "c": "p.json", "d": "q/a", "e": "q/b"}
    assert names.check_outputs(good) == good


def facts(**changes) -> RunFacts:
    values = {
        "project_class": ProjectClass.PRODUCTION,
        "data_plane": DataPlaneKind.KUBERNETES,
        "has_commit": True,
        "environment_kind": EnvironmentKind.IMAGE,
        "has_inputs": True,
        "is_scheduled": True,
    }
    return RunFacts(**{**values, **changes})


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"has_commit": False}, "run.code-commit"),
        ({"data_plane": DataPlaneKind.LOCAL}, "run.isolation"),
        ({"environment_kind": EnvironmentKind.INTERPRETER}, "run.environment-digest"),
        ({"has_inputs": False}, "run.inputs-bound"),
        ({"is_scheduled": False}, "run.pipeline-run"),
    ],
)
def test_a_production_project_refuses_a_missing_binding_by_its_rule(change, rule: str) -> None:
    check_run("p", decide_run(facts()))
    with pytest.raises(PolicyViolation) as refused:
        check_run("p", decide_run(facts(**change)))
    assert refused.value.details["rule"] == rule
    check_run("p", decide_run(facts(project_class=ProjectClass.DEVELOPMENT, **change)))


def test_approvals_count_once_a_principal_for_this_evidence_and_role() -> None:
    gate = promotion.ApprovalGate(2, frozenset({access.Role.SECURITY_OFFICER}))
    officer, viewer = frozenset({access.Role.SECURITY_OFFICER}), frozenset({access.Role.VIEWER})
    evidence, other = b"e" * 32, b"o" * 32

    def passed(*approvals: promotion.Approval) -> bool:
        return promotion.evaluate_gate(gate, {}, approvals, evidence).passed

    a, b = promotion.Approval("user:a", officer, evidence), promotion.Approval("user:b", officer, evidence)
    assert passed(a, b)
    assert not passed(a, a)
    assert not passed(a, promotion.Approval("user:b", viewer, evidence))
    assert not passed(a, promotion.Approval("user:b", officer, other))


@pytest.mark.parametrize("permission", list(access.Permission))
def test_without_a_role_everything_is_denied(permission: access.Permission) -> None:
    nobody = access.Caller("user:nobody")
    with pytest.raises(NotFound):
        access.Access(nobody, "oncology").require(permission)
    with pytest.raises(PolicyViolation):
        access.Access(nobody, None).require(permission)


def test_a_token_reaches_its_own_project_only_and_never_decides() -> None:
    token = access.Caller("token:1", project="oncology", scope=frozenset(access.Permission))
    inside, outside = access.Access(token, "oncology"), access.Access(token, "credit")
    inside.require(access.Permission.RUN_WRITE)
    with pytest.raises(PolicyViolation):
        inside.require(access.Permission.PROMOTION_DECIDE)
    with pytest.raises(NotFound):
        outside.require(access.Permission.PROJECT_READ)
    with pytest.raises(PolicyViolation, match=r"promotion\.decide"):
        access.check_scope([access.Permission.PROMOTION_DECIDE])


def test_a_commitment_binds_salt_and_content() -> None:
    salt = bytes(32)
    assert audit.commitment(salt, b"{}") == hashlib.sha256(salt + b"{}").digest()
    with pytest.raises(ValueError, match="32 bytes"):
        audit.commitment(b"short", b"{}")
