"""The retention decision against a brute-force oracle of the rules of precedence, on random policies, lineages and holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import InvalidRequest, PolicyViolation, StateConflict
from holdfast.core.retention.clock import check_clocks
from holdfast.core.retention.decision import Decision, Effect, RetentionOutcome, RuleKind, decide
from holdfast.core.retention.lineage import Lineage, Proposal, Rulebook, due, explain, kept, references_to
from holdfast.core.retention.policy import (
    CLOCKS,
    DISPOSITIONS,
    ClockStart,
    Disposition,
    GovernedObject,
    Hold,
    ObjectType,
    Policy,
    Ref,
    Scope,
    check_decider,
    check_overlap,
    check_policy,
)

NOW = datetime(2026, 11, 26, tzinfo=UTC)
TYPES = (ObjectType.ARTIFACT, ObjectType.ARTIFACT, ObjectType.DATASET_VERSION)
BETWEEN = ("run", "model_version")
ROOTS = ("alias", "promotion")
DAYS = st.integers(0, 8)
MOMENTS = DAYS.map(lambda days: NOW - timedelta(days=days))


def maybe(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | values


@st.composite
def objects(draw: st.DrawFn, number: int) -> GovernedObject:
    return GovernedObject(
        draw(st.sampled_from(TYPES)),
        f"o{number}",
        draw(st.sampled_from(("a", "b"))),
        draw(st.sampled_from(("k", "l"))),
        draw(st.sampled_from(("m", "n"))),
        created_at=draw(MOMENTS),
        run_ended_at=draw(MOMENTS),
        last_used_at=draw(maybe(MOMENTS)),
        retired_at=draw(maybe(MOMENTS)),
    )


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    # Mostly wide, so that several cover an object and some are as explicit as each other.
    return Scope(
        draw(st.sampled_from(TYPES)),
        draw(st.sampled_from((None, None, None, "a", "b"))),
        draw(st.sampled_from((None, None, None, "k", "l"))),
        draw(st.sampled_from((None, None, None, "m", "n"))),
    )


@st.composite
def policies(draw: st.DrawFn, number: int) -> Policy:
    scope = draw(scopes())
    return Policy(
        f"p{number}",
        draw(st.integers(1, 3)),
        scope,
        draw(st.sampled_from(CLOCKS[scope.object_type])),
        draw(maybe(st.integers(1, 8)) if draw(st.integers(0, 9)) == 0 else st.integers(1, 8)),
        draw(st.sampled_from(DISPOSITIONS[scope.object_type])),
    )


@dataclass
class World:
    """A lineage under policies and holds."""

    lineage: Lineage
    policies: list[Policy]
    holds: list[Hold]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return any graph at all, circles, references to itself and references to nothing included."""
    found = [draw(objects(number)) for number in range(draw(st.integers(1, 6)))]
    between = [Ref(draw(st.sampled_from(BETWEEN)), f"b{number}") for number in range(draw(st.integers(0, 4)))]
    roots = [Ref(draw(st.sampled_from(ROOTS)), f"r{number}") for number in range(draw(st.integers(0, 2)))]
    nodes = [*(one.ref for one in found), *between, Ref("artifact", "elsewhere")]
    edges: dict[Ref, list[Ref]] = {}
    for referrer, referred in draw(
        st.lists(st.tuples(st.sampled_from([*nodes, *roots]), st.sampled_from(nodes)), min_size=2, max_size=16)
    ):
        edges.setdefault(referrer, []).append(referred)
    holds = [
        Hold(
            f"LH-{number}",
            frozenset(draw(st.lists(st.sampled_from(nodes), max_size=2))),
            tuple(draw(st.lists(scopes(), max_size=1))),
        )
        for number in range(draw(st.integers(0, 2)))
    ]
    lineage = Lineage({one.ref: one for one in found}, dict.fromkeys(roots, "it points there"), edges)
    return World(lineage, [draw(policies(number)) for number in range(draw(st.integers(0, 6)))], holds)


# --- The oracle: the rules as they are written down, by trying everything, with nothing of the code that is tested.
END_OF_TIME = 10**9


def days_of(policy: Policy, one: GovernedObject) -> int:
    """Return for how many days from now a policy keeps an object, 0 or less where it does not."""
    clock = {"created": one.created_at, "run_ended": one.run_ended_at, "last_used": one.last_used_at}
    started = {**clock, "retired": one.retired_at}[policy.starts.value]
    if started is None or policy.period_days is None:
        return END_OF_TIME
    return policy.period_days - (NOW - started).days


def applies(scope: Scope, one: GovernedObject) -> bool:
    asked = [
        (scope.object_type, one.type),
        (scope.project, one.project),
        (scope.kind, one.kind),
        (scope.label, one.label),
    ]
    return all(wanted is None or wanted == found for wanted, found in asked)


def oracle(world: World) -> dict[Ref, int]:
    """Return for how many days each thing is kept, by going round until nothing changes any more."""
    lineage = world.lineage
    everything = {
        *lineage.objects,
        *lineage.anchors,
        *lineage.refers_to,
        *(referred for several in lineage.refers_to.values() for referred in several),
        *(ref for hold in world.holds for ref in hold.objects),
    }
    days: dict[Ref, int] = {}
    for ref in everything:
        one = lineage.objects.get(ref)
        mine = [days_of(policy, one) for policy in world.policies if applies(policy.scope, one)] if one else [0]
        held = any(
            ref in hold.objects or (one is not None and any(applies(scope, one) for scope in hold.scopes))
            for hold in world.holds
        )
        is_kept_for_ever = held or ref in lineage.anchors or not mine
        days[ref] = END_OF_TIME if is_kept_for_ever else max(mine)
    changed = True
    while changed:
        changed = False
        for referrer, several in lineage.refers_to.items():
            for referred in several:
                if days[referrer] > max(days[referred], 0):
                    days[referred], changed = days[referrer], True
    return days


def disposition_by_hand(world: World, one: GovernedObject) -> set[Disposition]:
    """Return what may become of an object: as its most explicit policies say, the one that destroys the least."""
    mine = [policy for policy in world.policies if applies(policy.scope, one)]
    worth = {
        policy.name: 4 * (policy.scope.label is not None)
        + 2 * (policy.scope.kind is not None)
        + (policy.scope.project is not None)
        for policy in mine
    }
    says = {policy.disposition for policy in mine if worth[policy.name] == max(worth.values())}
    for gentlest in ("archive", "crypto_erase", "delete"):
        if gentlest in says:
            return {Disposition(gentlest)}
    return set()


def decided(world: World, ref: Ref) -> Decision:
    references = references_to(world.lineage, ref, Rulebook(world.policies, world.holds), NOW)
    return decide(world.lineage.objects[ref], world.policies, world.holds, references, NOW)


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_each_object_is_kept_exactly_as_long_as_the_rules_say(world: World) -> None:
    expected = oracle(world)
    for ref, one in world.lineage.objects.items():
        decision = decided(world, ref)
        assert (decision.outcome is RetentionOutcome.KEPT) == (expected[ref] > 0), ref
        if decision.outcome is RetentionOutcome.DUE:
            assert {decision.disposition} == disposition_by_hand(world, one)
            assert decision.policy in world.policies
        elif expected[ref] == END_OF_TIME:
            assert decision.until is None
        else:
            assert decision.until == NOW + timedelta(days=expected[ref])


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_the_plan_over_a_whole_lineage_decides_as_for_each_object(world: World) -> None:
    planned = {one.object.ref: one.policy for one in due(world.lineage, world.policies, world.holds, NOW)}
    singly = {ref: decided(world, ref) for ref in world.lineage.objects}
    assert planned == {ref: one.policy for ref, one in singly.items() if one.outcome is RetentionOutcome.DUE}


@settings(max_examples=30, deadline=None)
@given(worlds(), st.randoms())
def test_the_order_in_which_things_are_given_does_not_matter(world: World, random: object) -> None:
    def shuffled(values):
        values = list(values)
        random.shuffle(values)
        return values

    lineage = world.lineage
    edges = {ref: shuffled(lineage.refers_to[ref]) for ref in shuffled(lineage.refers_to)}
    again = Lineage({ref: lineage.objects[ref] for ref in shuffled(lineage.objects)}, lineage.anchors, edges)
    mixed = World(again, shuffled(world.policies), shuffled(world.holds))
    for ref in lineage.objects:
        one, other = decided(world, ref), decided(mixed, ref)
        assert (one.outcome, one.until, one.disposition) == (other.outcome, other.until, other.disposition)
        if one.outcome is RetentionOutcome.DUE:
            assert one.policy == other.policy


@settings(max_examples=30, deadline=None)
@given(worlds())
def test_a_hold_wins_over_everything_and_reaches_what_the_held_thing_refers_to(world: World) -> None:
    ref = next(iter(world.lineage.objects))
    held = replace(world, holds=[*world.holds, Hold("LH-9", frozenset({ref}))])
    decision = decided(held, ref)
    assert (decision.outcome, decision.until, decision.decided_by.kind) == (RetentionOutcome.KEPT, None, RuleKind.HOLD)
    for referred in world.lineage.refers_to.get(ref, ()):
        if referred in world.lineage.objects:
            assert decided(held, referred).outcome is RetentionOutcome.KEPT


@settings(max_examples=30, deadline=None)
@given(worlds(), policies(9))
def test_one_policy_more_never_lets_go_what_a_policy_keeps(world: World, more: Policy) -> None:
    stricter = replace(world, policies=[*world.policies, more])
    for ref in world.lineage.objects:
        before = decided(world, ref)
        if before.outcome is RetentionOutcome.KEPT and before.decided_by.kind is RuleKind.POLICY:
            assert decided(stricter, ref).outcome is RetentionOutcome.KEPT


@settings(max_examples=30, deadline=None)
@given(worlds(), policies(0))
def test_what_would_be_otherwise_is_what_is_decided_then(world: World, proposed: Policy) -> None:
    proposals = [Proposal(proposed), Proposal(proposed, is_end=True)]
    for target in world.lineage.objects:
        found = explain(world.lineage, target, world.policies, world.holds, NOW, proposals)
        assert found.decision == decided(world, target)
        said = {one.change: one.decision for one in found.counterfactuals}
        for hold in world.holds:
            without = replace(world, holds=[one for one in world.holds if one is not hold])
            assert said[f"legal hold {hold.name} is released"] == decided(without, target)
        for policy in world.policies:
            change = f"policy {policy} is ended"
            without = replace(world, policies=[one for one in world.policies if one is not policy])
            if change in said:
                assert said[change] == decided(without, target)
            else:
                assert decided(without, target).outcome == found.decision.outcome
        others = [one for one in world.policies if one.key != proposed.key]
        assert said[f"policy {proposed} is approved"] == decided(replace(world, policies=[*others, proposed]), target)
        ended = said[f"policy {proposed} is approved, and ends the policy"]
        assert ended == decided(replace(world, policies=others), target)
        alone = World(Lineage({target: world.lineage.objects[target]}), world.policies, world.holds)
        assert said.get("nothing that is kept refers to it", found.decision) == decided(alone, target)


@settings(max_examples=30, deadline=None)
@given(worlds())
def test_every_rule_is_told_with_who_may_change_it(world: World) -> None:
    for ref in world.lineage.objects:
        decision = decided(world, ref)
        assert [rule for rule in decision.rules if rule.kind is RuleKind.HOLD] != [] or not world.holds
        assert [rule.policy for rule in decision.rules if rule.kind is RuleKind.POLICY] == world.policies
        assert all(rule.changed_by and rule.why for rule in decision.rules)
        assert decision.decided_by in decision.rules
        keeping = [rule for rule in decision.rules if rule.effect is Effect.KEEPS]
        assert bool(keeping) == (decision.outcome is RetentionOutcome.KEPT)
        # The refusal names everything that refers to it and is kept without it.
        others = replace(world.lineage, refers_to={k: v for k, v in world.lineage.refers_to.items() if k != ref})
        days = oracle(World(others, world.policies, world.holds))
        referring = {k for k, several in others.refers_to.items() if ref in several and days[k] > 0}
        assert {rule.name for rule in decision.rules if rule.kind is RuleKind.REFERENCE} == set(map(str, referring))


def chain(length: int) -> Lineage:
    """Return Runs one after the other, each of which reads two Artifacts and makes two, whose policies are over; an alias holds the last."""
    found: dict[Ref, GovernedObject] = {}
    edges: dict[Ref, list[Ref]] = {}
    before: list[Ref] = []
    old = NOW - timedelta(days=100)
    for number in range(length):
        run = Ref("run", str(number))
        edges[run] = before
        before = [Ref("artifact", f"{number}/{name}") for name in ("model", "metrics")]
        for ref in before:
            found[ref] = GovernedObject(ObjectType.ARTIFACT, ref.id, "a", created_at=old)
            edges[ref] = [run]
    alias = Ref("alias", "m@champion")
    edges[alias] = [before[0]]
    return Lineage(found, {alias: "it points there"}, edges)


OLD = Policy("old", 1, Scope(ObjectType.ARTIFACT), ClockStart.CREATED, 10, Disposition.DELETE)


def test_a_promoted_model_keeps_all_that_it_was_made_of_and_nothing_beside_it() -> None:
    lineage = chain(5000)
    gone = {one.object.id for one in due(lineage, [OLD], [], NOW)}
    assert gone == {"4999/metrics"}
    free = Lineage(lineage.objects, {}, lineage.refers_to)
    assert sum(1 for _ in due(free, [OLD], [], NOW)) == 10_000


def test_the_cost_of_a_plan_is_that_of_its_objects_and_references() -> None:
    def looked_at(length: int) -> int:
        lineage, count = chain(length), 0

        class Counted(dict):
            def get(self, *given):
                nonlocal count
                count += 1
                return super().get(*given)

        counted = Lineage(lineage.objects, lineage.anchors, Counted(lineage.refers_to))
        kept(counted, Rulebook([OLD], []), NOW)
        return count

    assert looked_at(4000) <= 4 * looked_at(1000) + 8


def test_what_refers_only_to_itself_is_not_kept_by_that() -> None:
    model = GovernedObject(ObjectType.ARTIFACT, "m", "a", created_at=NOW - timedelta(days=99))
    version = Ref("model_version", "v")
    circle = Lineage({model.ref: model}, {}, {model.ref: [version], version: [model.ref]})
    assert [one.object for one in due(circle, [OLD], [], NOW)] == [model]
    promoted = Lineage(
        {model.ref: model}, {Ref("alias", "x"): "it points there"}, {**circle.refers_to, Ref("alias", "x"): [version]}
    )
    decision = decided(World(promoted, [OLD], []), model.ref)
    assert (decision.outcome, decision.until) == (RetentionOutcome.KEPT, None)
    [reference] = [rule for rule in decision.rules if rule.kind is RuleKind.REFERENCE]
    assert reference.why == "model_version v, which is referred to by alias x: it points there"


def test_without_a_policy_nothing_goes_and_it_keeps_what_it_refers_to() -> None:
    data = GovernedObject(ObjectType.DATASET_VERSION, "d", "a", created_at=NOW - timedelta(days=99))
    model = GovernedObject(ObjectType.ARTIFACT, "m", "a", created_at=NOW)
    policy = replace(OLD, scope=Scope(ObjectType.DATASET_VERSION))
    lineage = Lineage({data.ref: data, model.ref: model}, {}, {model.ref: [data.ref]})
    decision = decided(World(lineage, [policy], []), model.ref)
    assert (decision.outcome, decision.decided_by.kind) == (RetentionOutcome.KEPT, RuleKind.DEFAULT)
    assert decided(World(lineage, [policy], []), data.ref).decided_by.kind is RuleKind.REFERENCE


def test_of_policies_as_explicit_as_each_other_the_one_that_destroys_the_least_disposes() -> None:
    one = GovernedObject(ObjectType.ARTIFACT, "m", "a", created_at=NOW - timedelta(days=50))
    several = [replace(OLD, name=how, disposition=how) for how in (Disposition.DELETE, *Disposition)]
    assert decide(one, several, [], [], NOW).disposition is Disposition.ARCHIVE
    assert decide(one, several[:1] + several[2:], [], [], NOW).disposition is Disposition.CRYPTO_ERASE


def test_what_several_things_refer_to_is_kept_as_long_as_the_longest_of_them() -> None:
    ages = {"short": 8, "long": 1, "data": 50}
    found = {
        name: GovernedObject(ObjectType.ARTIFACT, name, "a", created_at=NOW - timedelta(days=age))
        for name, age in ages.items()
    }
    run = Ref("run", "r")
    for order in (("short", "long", "data"), ("data", "long", "short")):
        objects_then = {found[name].ref: found[name] for name in order}
        edges = {found["short"].ref: [run], found["long"].ref: [run], run: [found["data"].ref]}
        decision = decided(World(Lineage(objects_then, {}, edges), [OLD], []), found["data"].ref)
        assert decision.until == NOW + timedelta(days=9)


def test_a_hold_on_one_thing_keeps_what_that_refers_to_and_no_more() -> None:
    lineage = chain(3)
    held_artifact, held_run = Ref("artifact", "1/model"), Ref("run", "1")
    free = Lineage(lineage.objects, {}, lineage.refers_to)
    for held, expected in (
        (held_artifact, {"0/model", "0/metrics", "1/model"}),
        (held_run, {"0/model", "0/metrics"}),
    ):
        hold = Hold("LH-1", frozenset({held}))
        gone = {one.object.id for one in due(free, [OLD], [hold], NOW)}
        assert {ref.id for ref in free.objects} - gone == expected
        decision = decided(World(free, [OLD], [hold]), Ref("artifact", "0/model"))
        assert "which is under legal hold LH-1" in decision.decided_by.why


def test_a_reference_says_what_keeps_the_referrer() -> None:
    data = GovernedObject(ObjectType.DATASET_VERSION, "d", "a", created_at=NOW - timedelta(days=99))
    model = GovernedObject(ObjectType.ARTIFACT, "m", "a", created_at=NOW)
    run = Ref("run", "r")
    lineage = Lineage({data.ref: data, model.ref: model}, {}, {model.ref: [run], run: [data.ref]}, {run: "train (r)"})
    old = replace(OLD, scope=Scope(ObjectType.DATASET_VERSION))
    hold = Hold("LH-1", frozenset({model.ref}))
    for policies_then, holds, said in (
        ([old], [], "to which no retention policy in force applies"),
        ([old, OLD], [], "which policy old v1 keeps until 2026-12-06T00:00:00Z"),
        ([old, replace(OLD, starts=ClockStart.RETIRED)], [], "which policy old v1 keeps"),
        ([old, OLD], [hold], "which is under legal hold LH-1"),
    ):
        [reference] = references_to(lineage, data.ref, Rulebook(policies_then, holds), NOW)
        assert reference.why == f"run train (r), which is referred to by artifact m, {said}"


def test_the_longest_keeps_and_the_most_explicit_disposes() -> None:
    one = GovernedObject(ObjectType.ARTIFACT, "m", "a", "model", "standard", created_at=NOW - timedelta(days=50))
    implicit = replace(OLD, name="everything", period_days=60)
    explicit = replace(
        OLD,
        name="models",
        scope=Scope(ObjectType.ARTIFACT, "a", "model"),
        period_days=20,
        disposition=Disposition.ARCHIVE,
    )
    kept_by = decide(one, [explicit, implicit], [], [], NOW)
    assert (kept_by.policy, kept_by.until) == (implicit, NOW + timedelta(days=10))
    later = decide(one, [explicit, implicit], [], [], NOW + timedelta(days=10))
    assert (later.outcome, later.policy, later.disposition) == (RetentionOutcome.DUE, explicit, Disposition.ARCHIVE)


def test_an_object_is_due_at_the_very_end_of_its_period_and_not_before() -> None:
    one = GovernedObject(ObjectType.ARTIFACT, "m", "a", created_at=NOW - timedelta(days=10))
    assert decide(one, [OLD], [], [], NOW).outcome is RetentionOutcome.DUE
    assert decide(one, [OLD], [], [], NOW - timedelta(microseconds=1)).until == NOW


def test_a_start_that_is_later_than_now_keeps_and_says_that_a_clock_is_wrong() -> None:
    one = GovernedObject(ObjectType.ARTIFACT, "m", "a", created_at=NOW + timedelta(days=1))
    decision = decide(one, [OLD], [], [], NOW)
    assert decision.outcome is RetentionOutcome.KEPT
    assert "one of the clocks is wrong" in decision.decided_by.why


def test_a_period_beyond_the_calendar_keeps_for_ever() -> None:
    one = GovernedObject(ObjectType.ARTIFACT, "m", "a", created_at=datetime(9999, 12, 1, tzinfo=UTC))
    decision = decide(one, [replace(OLD, period_days=36_500)], [], [], datetime(9999, 12, 2, tzinfo=UTC))
    assert (decision.outcome, decision.until) == (RetentionOutcome.KEPT, None)


def test_an_object_is_not_kept_in_itself() -> None:
    one = GovernedObject(ObjectType.ARTIFACT, "m", "a")
    with pytest.raises(ValueError, match="cannot be kept in itself"):
        Lineage({one.ref: one}, {one.ref: "because"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scope": Scope()}, "names no type"),
        ({"scope": Scope(ObjectType.AUDIT_EVENT)}, "the rule of their class"),
        ({"starts": ClockStart.SEGMENT_SEALED}, "no clock starts with segment_sealed"),
        ({"scope": Scope(ObjectType.RUN_LOG), "starts": ClockStart.CREATED}, "no clock starts with created"),
        ({"scope": Scope(ObjectType.DATASET_VERSION), "starts": ClockStart.RETIRED}, "no clock starts with retired"),
        ({"scope": Scope(ObjectType.DATASET_VERSION), "disposition": Disposition.CRYPTO_ERASE}, "disposed of by"),
        ({"period_days": 0}, "in the past"),
        ({"period_days": -365}, "in the past"),
        ({"period_days": 36_501}, "in the past or never"),
        ({"period_days": None}, "in the past or never"),
        ({"scope": Scope(ObjectType.DATASET_VERSION, kind="table")}, "would apply to nothing"),
        (
            {"scope": Scope(ObjectType.RUN_LOG, kind="running"), "starts": ClockStart.RUN_ENDED},
            "would apply to nothing",
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused_with_what_can(changes: dict[str, object], said: str) -> None:
    check_policy(OLD)
    with pytest.raises(InvalidRequest, match=said) as refused:
        check_policy(replace(OLD, **changes))
    assert refused.value.remedy


def test_two_policies_of_one_scope_are_refused_and_narrower_ones_are_not() -> None:
    other = replace(OLD, name="other")
    with pytest.raises(StateConflict, match="has the scope of policy old v1"):
        check_overlap(other, [OLD])
    check_overlap(replace(OLD, version=2), [OLD])
    check_overlap(replace(other, scope=Scope(ObjectType.ARTIFACT, kind="model")), [OLD])


def test_two_scopes_that_cover_the_same_object_and_are_as_explicit_are_one() -> None:
    @settings(max_examples=60, deadline=None)
    @given(scopes(), scopes(), objects(0))
    def holds(one: Scope, other: Scope, found: GovernedObject) -> None:
        if one.covers(found) and other.covers(found) and one.explicitness == other.explicitness:
            assert one == other

    holds()


def test_who_proposed_a_policy_does_not_decide_on_it() -> None:
    check_decider(OLD, "user:mia", "user:olaf")
    with pytest.raises(PolicyViolation, match="may not decide"):
        check_decider(OLD, "user:mia", "user:mia")


def test_clocks_that_agree_give_the_earlier_time() -> None:
    early = NOW - timedelta(minutes=4)
    assert check_clocks({"the database": NOW, "the service": early}, NOW) == early


@pytest.mark.parametrize(
    ("clocks", "newest", "said"),
    [
        ({"the database": NOW + timedelta(days=3650), "the service": NOW}, None, "the clock of the service shows"),
        ({"the database": NOW - timedelta(hours=1), "the service": NOW}, None, "the clock of the database shows"),
        ({"the database": NOW, "the service": NOW}, NOW + timedelta(days=1), "it has gone back"),
    ],
)
def test_nothing_is_decided_by_a_clock_that_jumps(
    clocks: dict[str, datetime], newest: datetime | None, said: str
) -> None:
    with pytest.raises(StateConflict, match=said):
        check_clocks(clocks, newest)
