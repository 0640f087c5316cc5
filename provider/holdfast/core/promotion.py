"""The promotion decision: gates over fixed evidence, approvals that sign it, and who may give one."""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from holdfast.core.access import Role
from holdfast.core.canonical import Json
from holdfast.core.errors import PolicyViolation, StateConflict


class PromotionState(StrEnum):
    """Where a promotion is. `executed`, `rejected` and `voided` never change; expiry is computed, not stored."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    VOIDED = "voided"
    EXECUTED = "executed"


class ModelVersionState(StrEnum):
    """Where a ModelVersion is."""

    DRAFT = "draft"
    VALIDATED = "validated"
    APPROVED = "approved"
    DEPRECATED = "deprecated"


class Comparison(StrEnum):
    """How a metric is held against its bound."""

    AT_LEAST = ">="
    AT_MOST = "<="
    ABOVE = ">"
    BELOW = "<"


_COMPARE: dict[Comparison, Callable[[float, float], bool]] = {
    Comparison.AT_LEAST: operator.ge,
    Comparison.AT_MOST: operator.le,
    Comparison.ABOVE: operator.gt,
    Comparison.BELOW: operator.lt,
}


@dataclass(frozen=True, slots=True)
class MetricGate:
    """A metric of the evaluation Run must be on the right side of a bound."""

    metric: str
    comparison: Comparison
    bound: float


@dataclass(frozen=True, slots=True)
class ApprovalGate:
    """At least `count` different principals, each with one of the roles, must approve."""

    count: int
    roles: frozenset[Role]


Gate = MetricGate | ApprovalGate


@dataclass(frozen=True, slots=True)
class Approval:
    """A principal's yes to exactly one evidence digest."""

    principal: str
    roles: frozenset[Role]
    evidence_digest: bytes


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate applied to the evidence and the approvals."""

    gate: str
    passed: bool
    reason: str

    def document(self) -> dict[str, Json]:
        """Return the result as it stands in a document."""
        return {"gate": self.gate, "passed": self.passed, "reason": self.reason}


def evaluate_gate(
    gate: Gate, metrics: Mapping[str, float], approvals: Iterable[Approval], evidence_digest: bytes
) -> GateResult:
    """Return whether one gate passes; an approval of other evidence does not count."""
    match gate:
        case MetricGate(metric, comparison, bound):
            name = f"metric {metric} {comparison} {bound:g}"
            if metric not in metrics:
                return GateResult(name, False, f"the evidence has no metric {metric!r}")
            value = metrics[metric]
            return GateResult(name, _COMPARE[comparison](value, bound), f"{metric} is {value:g}")
        case ApprovalGate(count, roles):
            given = {a.principal for a in approvals if a.evidence_digest == evidence_digest and a.roles & roles}
            name = f"{count} approval{'s' if count > 1 else ''} by {' or '.join(sorted(roles))}"
            return GateResult(name, len(given) >= count, f"{len(given)} of {count} given")


def check_approver(promotion: str, approver: str, creators: Iterable[str]) -> None:
    """Return when the approver had no part in what is to be approved. The database holds the same rule.

    Raises:
        PolicyViolation: the approver made the ModelVersion or asked for its promotion.
    """
    if approver in set(creators):
        raise PolicyViolation(
            f"{approver} took part in making or requesting promotion {promotion} and may not approve it",
            remedy="Another principal with an approving role must decide",
            details={
                "rule": "promotion.creator-is-not-approver",
                "version": 1,
                "changed_by": "nobody: held by a database constraint",
            },
        )


def check_state(promotion: str, state: PromotionState, wanted: PromotionState, *, is_expired: bool, verb: str) -> None:
    """Return when a promotion is in the state an action needs and has not expired.

    Raises:
        StateConflict: it is not; says what to do.
    """
    if state is not wanted:
        raise StateConflict(
            f"promotion {promotion} is {state} and cannot be {verb}; it would have to be {wanted}",
            remedy="Read it again, or request a new promotion",
            details={"state": state.value},
        )
    if is_expired:
        raise StateConflict(f"promotion {promotion} has expired and cannot be {verb}", remedy="Request a new promotion")
