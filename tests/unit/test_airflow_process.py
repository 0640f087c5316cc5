"""Which processes are `airflow …`, by their command lines, which calls of Airflow are changes, and what an event may say of secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.audit import AuditAction, EventClass, class_of
from holdfast.core.keyed import PREFIX, KeyedDigests, derived_key
from holdfast_plugins.airflow_changes.process import airflow_arguments

DIGESTS = KeyedDigests(b"a key for digests, long enough to be one")


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (["python", "/venv/bin/airflow", "pools", "set"], ["pools", "set"]),
        (["python", "-m", "airflow", "pools", "set"], ["pools", "set"]),
        (["python", "-X", "dev", "-s", "-m", "airflow", "db", "migrate"], ["db", "migrate"]),
        (["python", "-W", "error", "/x/airflow/__main__.py", "info"], ["info"]),
        (["python", "-m", "pytest", "tests/airflow"], []),
        (["python", "-c", "import airflow", "airflow", "pools"], []),
        (["python", "/x/script.py", "airflow", "pools"], []),
        (["python"], []),
    ],
)
def test_airflow_is_told_from_other_programs(line: list[str], arguments: list[str]) -> None:
    assert airflow_arguments(line) == arguments


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/api/v2/pools", "CHANGE"),
        ("post", "/api/v2/pools", "CHANGE"),
        ("PROPFIND", "/", "CHANGE"),
        ("PUT", "//api/v2/pools", "CHANGE"),
        ("GET", "/api/v2/dags", "OTHER"),
        ("GET", "/api/v2/connections", "READ"),
        ("GET", "/api/v2/connections/x", "READ"),
        ("GET", "/auth/fab/v1/users", "READ"),
        ("POST", "/auth/token", "LOGIN"),
        ("POST", "/auth/token/cli", "LOGIN"),
        ("POST", "/auth/tokens", "CHANGE"),
        ("GET", "/auth/oauth-authorized/x", "LOGIN"),
        ("PUT", "/execution/task-instances/x/heartbeat", "MACHINE"),
        ("GET", "/execution/connections/x", "READ"),
        ("POST", "/executions", "CHANGE"),
        ("POST", "/holdfast/api/v1/projects", "OURS"),
        ("POST", "/holdfast/apis", "CHANGE"),
        ("POST", "/holdfast", "CHANGE"),
    ],
)
def test_what_is_not_known_to_be_harmless_is_a_change(method: str, path: str, kind: str) -> None:
    from holdfast_plugins.airflow_changes.calls import kind_of

    assert kind_of(method, path).name == kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def leaves(document: object, name: str = "") -> list[tuple[str, object]]:
    if isinstance(document, dict):
        return [leaf for key, value in document.items() for leaf in leaves(value, key)]
    if isinstance(document, list):
        return [leaf for item in document for leaf in leaves(item, name)]
    return [(name, document)]


@given(JSON)
def test_only_what_is_named_stands_in_clear_and_all_of_it_may_stand_in_an_event(document: object) -> None:
    from holdfast.wire.canonical import event_bytes

    found = DIGESTS.summary(document, {"dag_id"})
    event_bytes({"body": found})
    for name, value in leaves(found):
        assert value is None or isinstance(value, bool) or name == "dag_id" or str(value).startswith(PREFIX)
    assert DIGESTS.summary(document, {"dag_id"}) == found


def test_equal_values_have_equal_digests_under_one_key_and_no_others() -> None:
    assert DIGESTS.of("x") == DIGESTS.of(b"x") != DIGESTS.of("y")
    assert KeyedDigests(derived_key(b"another")).of("x") != DIGESTS.of("x")
    with pytest.raises(ValueError, match="32 bytes"):
        KeyedDigests(b"short")


def test_what_anybody_can_cause_is_apart_from_changes() -> None:
    for action in (AuditAction.CALL_DENIED, AuditAction.ANONYMOUS_CALL_RECEIVED, AuditAction.DAG_REFUSED):
        assert class_of(action) is EventClass.DENIAL
    assert class_of(AuditAction.LOGIN_ATTEMPTED) is EventClass.LOGIN
    assert class_of(AuditAction.RUN_CREATED) is EventClass.CHANGE
