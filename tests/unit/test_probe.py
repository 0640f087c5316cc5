"""How what was seen of a store is judged, against a slow reading of the same rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.probe import (
    RULES,
    Evidence,
    Expected,
    Finding,
    HoldLevel,
    Lock,
    Mode,
    RuleOutcome,
    Seen,
    Try,
    hold_level,
    is_honest,
    judge,
    own_bucket,
    untried,
)

NOW = datetime(2026, 11, 26, 20, tzinfo=UTC)
TIMES = [NOW - timedelta(minutes=1), NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)]
RULE = RULES["legal hold"]
NO_LOCK = Lock()

locks = st.one_of(
    st.builds(Lock, st.booleans()),
    st.builds(Lock, st.booleans(), st.sampled_from(Mode), st.sampled_from(TIMES)),
)
seen = st.builds(Seen, st.booleans(), locks)
tries = st.lists(st.builds(Try, st.just("a deletion"), st.sampled_from(["", "AccessDenied"])), min_size=1, max_size=3)
evidence = st.builds(
    Evidence,
    canary=st.just("the version"),
    expected=st.sampled_from(Expected),
    lock=locks,
    before=st.one_of(st.none(), seen),
    tries=tries.map(tuple),
    after=seen,
    at=st.just(NOW),
    why_untried=st.sampled_from(["", "the credential may not"]),
)


def keeps(after: Seen, lock: Lock) -> bool:
    """Whether nothing of a lock has gone, each part looked at by itself."""
    if not after.is_there:
        return False
    is_held = after.lock.is_held or not lock.is_held
    if lock.mode is None:
        return is_held
    if after.lock.mode is None:
        return False
    is_strong = after.lock.mode is Mode.COMPLIANCE or lock.mode is Mode.GOVERNANCE
    return is_held and is_strong and after.lock.until >= lock.until


def slowly(one: Evidence) -> RuleOutcome:
    """Return the outcome by cases, written without the code's own order."""
    if one.expected is Expected.IS_STORED:
        is_let = any(not each.refused for each in one.tries)
        return [RuleOutcome.UNTRIED, RuleOutcome.BROKEN, RuleOutcome.KEPT][2 if one.after.is_there else is_let]
    return _slowly(one)


def _slowly(one: Evidence) -> RuleOutcome:
    was_let = any(not each.refused for each in one.tries)
    if one.before is None or not one.before.is_there:
        return RuleOutcome.UNTRIED
    if one.expected is Expected.GOES:
        if not one.after.is_there:
            return RuleOutcome.KEPT
        return RuleOutcome.BROKEN if was_let else RuleOutcome.UNTRIED
    ran_out = one.lock.until is not None and one.lock.until <= NOW
    if one.expected is Expected.IS_LOCKED:
        if keeps(one.after, one.lock):
            return RuleOutcome.KEPT
        return RuleOutcome.UNTRIED if not was_let or ran_out else RuleOutcome.BROKEN
    if not keeps(one.before, one.lock):
        return RuleOutcome.UNTRIED
    if keeps(one.after, one.lock):
        return RuleOutcome.UNTRIED if one.why_untried else RuleOutcome.KEPT
    if one.expected is Expected.STAYS_UNLESS_BYPASSED and was_let:
        return RuleOutcome.KEPT
    return RuleOutcome.UNTRIED if ran_out else RuleOutcome.BROKEN


@given(st.lists(evidence, min_size=1, max_size=4))
def test_the_worst_of_what_was_seen_is_the_outcome(given_: list[Evidence]) -> None:
    outcomes = [slowly(one) for one in given_]
    worst = next(
        outcome for outcome in (RuleOutcome.BROKEN, RuleOutcome.UNTRIED, RuleOutcome.KEPT) if outcome in outcomes
    )
    found = judge(RULE, given_)
    assert (found.rule, found.outcome, bool(found.says)) == (RULE.name, worst, True)


@given(locks, locks, locks)
def test_covering_is_an_order(a: Lock, b: Lock, c: Lock) -> None:
    assert a.covers(a)
    assert a.covers(NO_LOCK)
    if a.covers(b) and b.covers(c):
        assert a.covers(c)


def test_a_rule_without_evidence_is_not_judged() -> None:
    with pytest.raises(ValueError, match="no evidence"):
        judge(RULE, [])


@given(st.dictionaries(st.sampled_from(sorted(RULES)), st.sampled_from(RuleOutcome)))
def test_a_store_is_honest_when_nothing_is_broken_and_everything_needed_was_tried(
    others: dict[str, RuleOutcome],
) -> None:
    outcomes = dict.fromkeys(RULES, RuleOutcome.KEPT) | others
    expected = all(
        outcome is RuleOutcome.KEPT or (outcome is RuleOutcome.UNTRIED and not RULES[rule].is_needed)
        for rule, outcome in outcomes.items()
    )
    assert is_honest([Finding(rule, outcome, "") for rule, outcome in outcomes.items()]) == expected


def test_a_rule_that_is_missing_altogether_is_not_taken_for_kept() -> None:
    assert not is_honest([])
    assert not is_honest([Finding(rule, RuleOutcome.KEPT, "") for rule in RULES if rule != "shorten"])
    assert untried(RULE, "why") == Finding("legal hold", RuleOutcome.UNTRIED, "why")


@pytest.mark.parametrize(
    ("has_lock", "honest", "age_h", "ours", "level", "why"),
    [
        (False, None, 0, False, HoldLevel.DATABASE_ONLY, "has no Object Lock"),
        (False, True, 0, True, HoldLevel.DATABASE_ONLY, "has no Object Lock"),
        (True, None, 0, False, HoldLevel.DATABASE_ONLY, "never been probed"),
        (True, False, 0, True, HoldLevel.DATABASE_ONLY, "does not keep its locks"),
        (True, True, 0, True, HoldLevel.OBJECT_LOCK, "keeps its locks"),
        (True, True, 0, False, HoldLevel.DATABASE_ONLY, "another version of Holdfast"),
        (True, True, 48, True, HoldLevel.OBJECT_LOCK, "keeps its locks"),
        (True, True, 48.01, True, HoldLevel.DATABASE_ONLY, "older than 48 hours"),
    ],
)
def test_the_hold_level_is_object_lock_only_by_a_good_and_young_probe_of_this_version(
    has_lock: bool, honest: bool | None, age_h: float, ours: bool, level: HoldLevel, why: str
) -> None:
    found, says = hold_level(
        has_lock=has_lock,
        is_honest=honest,
        age=timedelta(hours=age_h),
        limit=timedelta(hours=48),
        by_this_version=ours,
    )
    assert (found, why in says) == (level, True), says


def test_the_probes_own_bucket_is_named_like_the_real_one_where_there_is_room() -> None:
    assert own_bucket("artifacts") == "artifacts-probe"
    assert own_bucket("a" * 57) == "a" * 57 + "-probe"
    assert own_bucket("a" * 58) is None
