"""Whether an object is kept or due, by which rule, and until when; pure.

A legal hold wins, then the longest retention that applies, then deletion. What something kept refers to is kept. Where several policies let an
object go, the most explicit one says how. Where no policy applies, nothing goes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from holdfast.core.access import Role
from holdfast.core.retention.clock import written
from holdfast.core.retention.policy import FOREVER, ClockStart, Disposition, GovernedObject, Hold, Policy, Ref

_NOT_STARTED = {
    ClockStart.CREATED: "it is not known when it was created",
    ClockStart.RUN_ENDED: "its Run has not ended",
    ClockStart.LAST_USED: "a Run that reads it has not ended",
    ClockStart.RETIRED: "no alias has left its ModelVersion for good",
    ClockStart.SEGMENT_SEALED: "its segment is not sealed",
}
_SINCE = {
    ClockStart.CREATED: "its creation",
    ClockStart.RUN_ENDED: "the end of its Run",
    ClockStart.LAST_USED: "its last use",
    ClockStart.RETIRED: "the day on which the last alias left its ModelVersion",
    ClockStart.SEGMENT_SEALED: "the newest event of its segment",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """That something kept refers to an object.

    Attributes:
        referrer: what refers.
        until: until when that is kept at least; FOREVER where nobody knows.
        why: why it is kept, and what it is.
    """

    referrer: Ref
    until: datetime
    why: str


class RuleKind(StrEnum):
    """What a rule comes from, in the order of precedence."""

    HOLD = "legal_hold"
    REFERENCE = "reference"
    POLICY = "policy"
    DEFAULT = "default"


class Effect(StrEnum):
    """What a rule does to an object."""

    KEEPS = "keeps"
    LETS_GO = "lets_go"
    DOES_NOT_APPLY = "does_not_apply"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as it applies to an object, or does not.

    Attributes:
        kind: what it comes from.
        name: of the hold, the referrer, or the policy.
        effect: what it does.
        why: in words.
        changed_by: the roles that may change it.
        until: until when it keeps the object; None where it does not, or nobody knows.
        policy: the policy's version.
    """

    kind: RuleKind
    name: str
    effect: Effect
    why: str
    changed_by: tuple[Role, ...]
    until: datetime | None = None
    policy: Policy | None = None


class RetentionOutcome(StrEnum):
    """What is decided."""

    KEPT = "kept"
    DUE = "due"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided about an object, and by which rule.

    Attributes:
        outcome: whether it is kept or due.
        until: until when it is kept at least; None where nobody knows, or it is due.
        decided_by: the rule that decided; its policy is the version that did.
        disposition: what becomes of it, where it is due.
        rules: every rule that was looked at.
    """

    outcome: RetentionOutcome
    until: datetime | None
    decided_by: Rule
    disposition: Disposition | None
    rules: tuple[Rule, ...]

    @property
    def policy(self) -> Policy | None:
        """The policy's version that decided; None where a hold, a reference or the lack of a policy did."""
        return self.decided_by.policy


def kept_until(policies: Sequence[Policy], one: GovernedObject, *, is_held: bool) -> datetime:
    """Return until when holds and the policies that apply to an object keep it; FOREVER where it is held, or none applies."""
    if is_held or not policies:
        return FOREVER
    return max(policy.keeps_until(one) for policy in policies)


def most_explicit(policies: Iterable[Policy]) -> Policy:
    """Return the policy that says what becomes of an object which all of them let go: of equals the one that destroys the least."""
    order = list(Disposition)
    return min(
        policies,
        key=lambda policy: (
            tuple(not named for named in policy.scope.explicitness),
            order.index(policy.disposition),
            policy.name,
            -policy.version,
        ),
    )


def decide(
    one: GovernedObject,
    policies: Iterable[Policy],
    holds: Iterable[Hold],
    references: Iterable[Reference],
    now: datetime,
) -> Decision:
    """Return what is decided about an object.

    Args:
        one: the object.
        policies: the versions in force; those that do not apply are told, too.
        holds: those that are not released.
        references: what refers to it directly and is kept itself (`lineage.references_to`).
        now: the time for which is decided.
    """
    policies = tuple(policies)
    applicable = [policy for policy in policies if policy.scope.covers(one)]
    rules = (
        *(_of_hold(hold, one) for hold in holds),
        *(_of_reference(reference, now) for reference in references),
        *(_of_policy(policy, one, now) for policy in policies),
        *([] if applicable else [_DEFAULT]),
    )
    keeping = [rule for rule in rules if rule.effect is Effect.KEEPS]
    if not keeping:
        chosen = most_explicit(applicable)
        decider = next(rule for rule in rules if rule.policy is chosen)
        return Decision(RetentionOutcome.DUE, None, decider, chosen.disposition, rules)
    # What keeps the longest, of equals the first in the order of precedence: a hold, which has no end, before anything.
    decider = max(keeping, key=lambda rule: rule.until or FOREVER)
    return Decision(RetentionOutcome.KEPT, decider.until, decider, None, rules)


_CHANGE_POLICY = (Role.PROJECT_MAINTAINER, Role.SECURITY_OFFICER)
_DEFAULT = Rule(
    RuleKind.DEFAULT,
    "no policy, no deletion",
    Effect.KEEPS,
    "no retention policy in force applies to it",
    _CHANGE_POLICY,
)


def _of_hold(hold: Hold, one: GovernedObject) -> Rule:
    is_held = hold.covers(one.ref, one)
    return Rule(
        RuleKind.HOLD,
        hold.name,
        Effect.KEEPS if is_held else Effect.DOES_NOT_APPLY,
        f"{'it is' if is_held else 'it is not'} under legal hold {hold.name}",
        (Role.SECURITY_OFFICER,),
    )


def _of_reference(reference: Reference, now: datetime) -> Rule:
    return Rule(
        RuleKind.REFERENCE,
        str(reference.referrer),
        Effect.KEEPS if reference.until > now else Effect.LETS_GO,
        reference.why,
        _CHANGE_POLICY,
        until=_known(reference.until) if reference.until > now else None,
    )


def _of_policy(policy: Policy, one: GovernedObject, now: datetime) -> Rule:
    def rule(effect: Effect, why: str, until: datetime | None = None) -> Rule:
        more = f"; {policy.note}" if policy.note and effect is not Effect.DOES_NOT_APPLY else ""
        return Rule(RuleKind.POLICY, str(policy), effect, why + more, _CHANGE_POLICY, until, policy)

    if mismatch := policy.scope.mismatch(one):
        return rule(Effect.DOES_NOT_APPLY, mismatch)
    until, started = policy.keeps_until(one), one.start_of(policy.starts)
    if started is None:
        return rule(Effect.KEEPS, f"its clock has not started: {_NOT_STARTED[policy.starts]}")
    period = f"{policy.period_days} days" if policy.period_days is not None else "for ever"
    says = f"it keeps {period} from {_SINCE[policy.starts]}, {written(started)}"
    if started > now:
        says += ", which is later than now: one of the clocks is wrong"
    if until > now:
        return rule(Effect.KEEPS, says, _known(until))
    return rule(Effect.LETS_GO, f"{says}; that ended {written(until)}")


def _known(until: datetime) -> datetime | None:
    return None if until == FOREVER else until
