"""What refers to what, and so keeps it: the retention decision over a whole lineage, and what would change it; pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from holdfast.core.retention.clock import written
from holdfast.core.retention.decision import Decision, Reference, decide, kept_until, most_explicit
from holdfast.core.retention.policy import FOREVER, GovernedObject, Hold, Policy, Ref


@dataclass(frozen=True)
class Lineage:
    """Objects, and what refers to them.

    Attributes:
        objects: what policies apply to.
        anchors: what is kept in itself (an alias, an open promotion, a Run that has not ended), and why.
        refers_to: what each thing refers to. It need not be free of cycles.
        names: what people call a thing, where that is not its id.
    """

    objects: Mapping[Ref, GovernedObject]
    anchors: Mapping[Ref, str] = field(default_factory=dict)
    refers_to: Mapping[Ref, Sequence[Ref]] = field(default_factory=dict)
    names: Mapping[Ref, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if both := self.anchors.keys() & self.objects.keys():
            raise ValueError(f"{next(iter(both))} is an object and cannot be kept in itself")

    @cached_property
    def referrers(self) -> Mapping[Ref, Sequence[Ref]]:
        """What refers to each thing directly."""
        found: dict[Ref, list[Ref]] = {}
        for referrer, referred in self.refers_to.items():
            for one in referred:
                found.setdefault(one, []).append(referrer)
        return found

    def name_of(self, ref: Ref) -> str:
        """Return what people call a thing, with its type."""
        return f"{ref.type} {self.names.get(ref, ref.id)}"


@dataclass(frozen=True, slots=True)
class Kept:
    """That something in a lineage is kept.

    Attributes:
        until: until when at least; FOREVER where nobody knows.
        because: what refers to it and is kept, None where it is kept in itself.
    """

    until: datetime
    because: Ref | None = None


class Rulebook:
    """The policies and holds of one moment, looked up once for each combination that a scope can name.

    Args:
        policies: the versions in force.
        holds: those that are not released.
    """

    def __init__(self, policies: Iterable[Policy], holds: Iterable[Hold]) -> None:
        self.policies, self.holds = tuple(policies), tuple(holds)
        self._held = frozenset().union(*(hold.objects for hold in self.holds))
        self._found: dict[tuple[object, ...], tuple[tuple[Policy, ...], bool]] = {}

    def applicable(self, one: GovernedObject) -> tuple[Policy, ...]:
        """Return the policies that apply to an object."""
        return self._of(one)[0]

    def kept_until(self, ref: Ref, one: GovernedObject | None) -> datetime | None:
        """Return until when holds and policies keep something; None where neither says anything of it."""
        if one is None:
            return FOREVER if ref in self._held else None
        policies, is_held = self._of(one)
        return kept_until(policies, one, is_held=is_held or ref in self._held)

    def why(self, ref: Ref, one: GovernedObject | None) -> str:
        """Return by what something is kept that is kept in itself."""
        for hold in self.holds:
            if hold.covers(ref, one):
                return f"which is under legal hold {hold.name}"
        if one is None or not (policies := self.applicable(one)):
            return "to which no retention policy in force applies"
        longest = max(policies, key=lambda policy: policy.keeps_until(one))
        until = longest.keeps_until(one)
        return f"which policy {longest} keeps{f' until {written(until)}' if until != FOREVER else ''}"

    def _of(self, one: GovernedObject) -> tuple[tuple[Policy, ...], bool]:
        key = (one.type, one.project, one.kind, one.label)
        if (found := self._found.get(key)) is None:
            policies = tuple(policy for policy in self.policies if policy.scope.covers(one))
            is_held = any(scope.covers(one) for hold in self.holds for scope in hold.scopes)
            found = self._found[key] = (policies, is_held)
        return found


def kept(lineage: Lineage, rules: Rulebook, now: datetime, without: Ref | None = None) -> dict[Ref, Kept]:
    """Return everything that is kept: in itself, or because something kept refers to it.

    It is the least such set: what refers to itself in a circle is not kept by that. What keeps the longest is followed first, so that each
    thing and each reference is looked at once; beside that, the things that are kept in themselves are sorted.

    Args:
        lineage: whole.
        rules: of the moment.
        now: the time for which is decided.
        without: something that is taken to keep nothing, itself included.
    """
    roots: list[tuple[datetime, Ref]] = [(FOREVER, ref) for ref in lineage.anchors]
    for ref, one in lineage.objects.items():
        until = rules.kept_until(ref, one)
        if until is not None and until > now:
            roots.append((until, ref))
    roots += [(FOREVER, ref) for hold in rules.holds for ref in hold.objects if ref not in lineage.objects]
    roots.sort(key=lambda root: root[0], reverse=True)
    found: dict[Ref, Kept] = {}
    for until, root in roots:
        if root in found or root == without:
            continue
        found[root] = Kept(until)
        pending = [root]
        while pending:
            referrer = pending.pop()
            for referred in lineage.refers_to.get(referrer, ()):
                if referred not in found:
                    found[referred] = Kept(until, referrer)
                    if referred != without:
                        pending.append(referred)
    return found


@dataclass(frozen=True, slots=True)
class Due:
    """An object whose time has come, and the policy's version that says so and how."""

    object: GovernedObject
    policy: Policy


def due(lineage: Lineage, policies: Iterable[Policy], holds: Iterable[Hold], now: datetime) -> Iterator[Due]:
    """Yield every object of a lineage that `decide` finds due; the lineage is whole, with all that refers to its objects."""
    rules = Rulebook(policies, holds)
    remaining = kept(lineage, rules, now)
    for ref, one in lineage.objects.items():
        if ref not in remaining:
            yield Due(one, most_explicit(rules.applicable(one)))


def references_to(lineage: Lineage, ref: Ref, rules: Rulebook, now: datetime) -> list[Reference]:
    """Return what refers to something directly and is kept, but not because of that very thing.

    Args:
        lineage: with all that refers to it, also indirectly.
        ref: names it.
        rules: of the moment.
        now: the time for which is decided.
    """
    remaining = kept(lineage, rules, now, without=ref)
    return [
        Reference(one, remaining[one].until, _why(lineage, one, remaining, rules))
        for one in lineage.referrers.get(ref, ())
        if one in remaining and one != ref
    ]


def _chain(ref: Ref, remaining: Mapping[Ref, Kept]) -> list[Ref]:
    chain = [ref]
    while (because := remaining[chain[-1]].because) is not None:
        chain.append(because)
    return chain


def _why(lineage: Lineage, ref: Ref, remaining: Mapping[Ref, Kept], rules: Rulebook) -> str:
    *between, root = _chain(ref, remaining)
    said = "".join(f"{lineage.name_of(one)}, which is referred to by " for one in between)
    if root in lineage.anchors:
        return f"{said}{lineage.name_of(root)}: {lineage.anchors[root]}"
    return f"{said}{lineage.name_of(root)}, {rules.why(root, lineage.objects.get(root))}"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A policy's version that is not decided on yet: it would supersede the one in force, or end it."""

    policy: Policy
    is_end: bool = False

    def applied(self, policies: Iterable[Policy]) -> tuple[Policy, ...]:
        """Return the versions in force if it were approved."""
        others = tuple(policy for policy in policies if policy.key != self.policy.key)
        return others if self.is_end else (*others, self.policy)


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What would be decided if something were different."""

    change: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is decided about an object, and what would be otherwise."""

    decision: Decision
    counterfactuals: tuple[Counterfactual, ...]


def explain(
    lineage: Lineage,
    target: Ref,
    policies: Sequence[Policy],
    holds: Sequence[Hold],
    now: datetime,
    proposals: Iterable[Proposal] = (),
) -> Explanation:
    """Return what is decided about an object of a lineage, and what would be if a hold were released or a policy another.

    Args:
        lineage: the object with all that refers to it, also indirectly.
        target: names the object.
        policies: the versions in force.
        holds: those that are not released.
        now: the time for which is decided.
        proposals: the versions that somebody may approve.
    """

    def decided(policies: Sequence[Policy], holds: Sequence[Hold], seen: Lineage = lineage) -> Decision:
        references = references_to(seen, target, Rulebook(policies, holds), now)
        return decide(seen.objects[target], policies, holds, references, now)

    decision = decided(policies, holds)
    one = lineage.objects[target]
    otherwise = [
        Counterfactual(
            f"legal hold {hold.name} is released", decided(policies, [other for other in holds if other is not hold])
        )
        for hold in holds
    ]
    if len(holds) > 1:
        otherwise.append(Counterfactual("every legal hold is released", decided(policies, [])))
    otherwise += [
        Counterfactual(
            f"policy {policy} is ended", decided([other for other in policies if other is not policy], holds)
        )
        for policy in policies
        if any(policy.scope.covers(other) for other in lineage.objects.values())
    ]
    for proposal in proposals:
        what = "approved, and ends the policy" if proposal.is_end else "approved"
        otherwise.append(
            Counterfactual(f"policy {proposal.policy} is {what}", decided(proposal.applied(policies), holds))
        )
    if lineage.referrers.get(target):
        alone = Lineage({target: one})
        otherwise.append(Counterfactual("nothing that is kept refers to it", decided(policies, holds, alone)))
    return Explanation(decision, tuple(otherwise))
