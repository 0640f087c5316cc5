"""What a plan's and a certificate's roots bind, who may decide on a plan, and where one is; pure."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import IntegrityViolation, InvalidRequest, PolicyViolation, StateConflict
from holdfast.core.merkle import leaf_hash
from holdfast.core.retention.plan import (
    APPROVAL_LIFETIME,
    Item,
    ItemState,
    PlanState,
    check_certified,
    check_decider,
    check_items,
    check_line,
    check_root,
    parse_plan,
    path_to,
    root_of,
    state_of,
)
from holdfast.core.retention.policy import Disposition, ObjectType

PLAN, NOW = UUID(int=1), datetime(2026, 11, 26, tzinfo=UTC)
ITEM = Item(ObjectType.ARTIFACT, UUID(int=2), "p/r/m", "v", b"d" * 32, 7, UUID(int=3), b"p" * 32, Disposition.DELETE)
ENTRIES = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def naive_root(entries: list[bytes]) -> bytes:
    """The tree of RFC 9162 section 2.1.1, as it is defined there."""
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(entries[:split]) + naive_root(entries[split:])).digest()


@given(ENTRIES)
def test_the_root_is_that_of_the_definition_and_every_line_has_a_path_to_it(entries: list[bytes]) -> None:
    root, leaves = root_of(iter(entries)), [leaf_hash(entry) for entry in entries]
    assert root == naive_root(entries)
    for index, entry in enumerate(entries):
        check_line(entry, index, len(entries), path_to(index, leaves), root)


@given(ENTRIES, st.data())
def test_another_line_place_or_path_leads_to_another_root(entries: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(entry) for entry in entries]
    index = data.draw(st.integers(0, len(entries) - 1))
    path, root = path_to(index, leaves), root_of(iter(entries))
    with pytest.raises(IntegrityViolation, match="another root"):
        check_line(entries[index] + b"x", index, len(entries), path, root)
    with pytest.raises(IntegrityViolation):
        check_line(entries[index], index, len(entries), [*path, b"\x00" * 32], root)
    if path:
        with pytest.raises(IntegrityViolation):
            check_line(entries[index], index, len(entries), [b"\x00" * 32, *path[1:]], root)


def test_an_item_that_was_changed_is_not_what_was_approved() -> None:
    root = root_of(iter([b"one", b"two"]))
    check_items(iter([b"one", b"two"]), root, "RP-1")
    for changed in ([b"one"], [b"two", b"one"], [b"one", b"two", b"three"], [b"one", b"tow"], []):
        with pytest.raises(IntegrityViolation, match="not those that were approved"):
            check_items(iter(changed), root, "RP-1")


def test_what_a_plan_says_of_an_item_and_what_a_certificate_says_are_never_the_same_bytes() -> None:
    planned, line = ITEM.document(PLAN, 0), ITEM.line(PLAN, 0, ItemState.PURGED, "")
    assert planned["format"] != line["format"]
    assert {**line, "format": planned["format"]} == {**planned, "outcome": "purged", "says": ""}


@pytest.mark.parametrize(
    "changed", [{"index": 1}, {"size": 6}, {"plan": UUID(int=9)}, {"line": {"plan": str(UUID(int=9)), "index": 0}}]
)
def test_a_line_of_another_plan_or_place_than_is_claimed_is_not_believed(changed: dict[str, object]) -> None:
    claim = {"line": ITEM.line(PLAN, 0, ItemState.KEPT, "held"), "index": 0, "size": 5, "plan": PLAN}
    certificate = {"plan": {"id": str(PLAN), "items": 5}}
    check_certified(**claim, certificate=certificate)
    with pytest.raises(IntegrityViolation, match="of another plan"):
        check_certified(**{**claim, **changed}, certificate=certificate)
    for nothing in ({}, {"plan": "RP-1"}, {"plan": {}}):
        with pytest.raises(IntegrityViolation, match="of another plan"):
            check_certified(**claim, certificate=nothing)


def test_only_another_person_decides_and_only_on_the_root_that_is_there() -> None:
    check_decider("RP-1", "user:a", "user:b")
    for principal, why in (("user:a", "made RP-1"), ("token:x", "is no person"), ("system:install", "is no person")):
        with pytest.raises(PolicyViolation, match=why):
            check_decider("RP-1", "user:a", principal)
    check_root(b"\x00" * 32, "sha256:" + "00" * 32)
    with pytest.raises(StateConflict, match="another plan"):
        check_root(b"\x00" * 32, "sha256:" + "11" * 32)


def test_an_approval_is_good_for_seven_days_and_a_certificate_for_ever() -> None:
    end = NOW + APPROVAL_LIFETIME
    for decision, now, is_certified, state in (
        (None, NOW, False, PlanState.MADE),
        ("reject", NOW, False, PlanState.REJECTED),
        ("withdraw", NOW, False, PlanState.WITHDRAWN),
        ("approve", end, False, PlanState.APPROVED),
        ("approve", end + timedelta(microseconds=1), False, PlanState.EXPIRED),
        ("approve", end + timedelta(days=1000), True, PlanState.CERTIFIED),
    ):
        assert state_of(decision, NOW if decision else None, now, is_certified=is_certified) is state


@pytest.mark.parametrize(
    "text", ["", "12", "RP-", "RP-0", "RP-012", "rp-1", "RP-1 ", "RP-1\n", "RP-" + "9" * 19, "LH-1"]
)
def test_what_names_no_plan_is_refused(text: str) -> None:
    assert parse_plan("RP-12") == 12
    assert parse_plan(str(PLAN)) == PLAN
    with pytest.raises(InvalidRequest, match="names no retention plan"):
        parse_plan(text)
