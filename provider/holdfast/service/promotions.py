"""Promotions: evidence is fixed when one is requested, decisions sign it, execution moves the alias."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from holdfast.core.access import Permission, Role
from holdfast.core.audit import AuditAction, Outcome
from holdfast.core.digest import parse, text_of
from holdfast.core.errors import HoldfastError, InvalidRequest, PolicyViolation, StateConflict
from holdfast.core.promotion import (
    Approval,
    GateResult,
    MetricGate,
    ModelVersionState,
    PromotionState,
    check_approver,
    check_state,
    evaluate_gate,
)
from holdfast.ports import DEFAULT_LIMIT, ObjectStore
from holdfast.service.evidence import collect_evidence, find_changed_bytes
from holdfast.service.policies import PolicyService, gates_of
from holdfast.service.transaction import Change, new_id
from holdfast.store import mapping
from holdfast.store.promotion import (
    assign_alias,
    execute_promotion,
    insert_decision,
    insert_promotion,
    move_promotion,
)
from holdfast.store.queries.models import (
    ALIASES,
    PROMOTIONS,
    foundations_of,
    foundations_of_approved,
    newest_policy,
    promotion_by_id,
)
from holdfast.store.queries.page import page_of
from holdfast.store.tables import AliasAssignmentRow, PromotionRow
from holdfast.wire.canonical import document_digest
from holdfast.wire.model import (
    AliasAssignment,
    DecisionRequest,
    GateStatus,
    Promotion,
    PromotionDecision,
    PromotionRequest,
)
from holdfast.wire.types import Page


@dataclass(frozen=True)
class PromotionService(PolicyService):
    """Implements `ports.Promotions`."""

    objects: ObjectStore

    def request(self, name: str, request: PromotionRequest, *, key: str | None = None) -> Promotion:
        """Request that an alias move to a ModelVersion; the evidence is fixed now.

        Raises:
            InvalidRequest: there is no such policy.
            NotFound: there is no such ModelVersion.
            PolicyViolation: a gate that is not an approval does not pass; names it.
        """

        def apply(change: Change) -> Promotion:
            found = foundations_of(change.connection, change.project, name, request.model_version)
            version = found[0]
            policy = newest_policy(change.connection, change.project, request.policy)
            if policy is None:
                raise InvalidRequest(
                    f"Project {name!r} has no promotion policy {request.policy!r}", remedy="`holdfast policy define`"
                )
            evidence = collect_evidence(name, found, request.alias, (policy.name, policy.version, policy.digest))
            digest = document_digest(evidence)
            results = [
                evaluate_gate(gate, version.metrics, (), digest)
                for gate in gates_of(policy.gates)
                if isinstance(gate, MetricGate)
            ]
            _check_gates(request, policy, results)
            identity = new_id()
            row = insert_promotion(
                change.connection,
                {
                    "id": identity,
                    "project_id": change.project,
                    "model_id": version.model_id,
                    "model_version_id": version.model_version_id,
                    "alias": request.alias,
                    "policy_id": policy.id,
                    "evidence": evidence,
                    "evidence_digest": digest,
                    "requested_by": change.caller.principal,
                    "state": PromotionState.PENDING,
                },
                timedelta(seconds=policy.expires_after_s),
                on_behalf_of=request.on_behalf_of,
            )
            content = {
                "model": version.model,
                "number": version.number,
                "alias": request.alias,
                "policy": request.policy,
                "policy_version": policy.version,
                "evidence_digest": text_of(digest),
                "on_behalf_of": request.on_behalf_of,
            }
            change.record(AuditAction.PROMOTION_REQUESTED, "promotion", identity, content)
            if row.moved:
                _record_version(change, version.model_version_id, ModelVersionState.VALIDATED)
            made = mapping.joined(
                row,
                model=version.model,
                number=version.number,
                metrics=version.metrics,
                policy=policy.name,
                policy_version=policy.version,
                gates=policy.gates,
                decisions=None,
            )
            return _promotion(made, name)

        return self.transactions.change(
            "promotions.request", Permission.PROMOTION_REQUEST, name, request, key, Promotion, apply
        )

    def decide(self, name: str, promotion: UUID, request: DecisionRequest, *, key: str | None = None) -> Promotion:
        """Approve or reject a promotion, over exactly the evidence named.

        Raises:
            StateConflict: the promotion is not pending, has expired, its evidence is another, or the caller has decided already.
            PolicyViolation: the caller took part in making or requesting it; this refusal is recorded.
        """

        def apply(change: Change) -> Promotion:
            row = promotion_by_id(change.connection, change.project, name, promotion, lock=True)
            check_state(
                str(promotion),
                PromotionState(row.state),
                PromotionState.PENDING,
                is_expired=row.is_expired,
                verb="decided",
            )
            principal, approves = change.caller.principal, request.decision == "approve"
            action = AuditAction.PROMOTION_APPROVED if approves else AuditAction.PROMOTION_REJECTED
            content = {"decision": request.decision, "evidence_digest": request.evidence_digest, "alias": row.alias}
            if (refusal := _decision_refusal(row, promotion, principal, request)) is not None:
                change.record(action, "promotion", promotion, content, reason=str(refusal), outcome=Outcome.REFUSED)
                change.refuse(refusal)
            given = {
                "principal": principal,
                "roles": sorted(change.access.roles),
                "decision": request.decision,
                "evidence_digest": row.evidence_digest,
                "reason": request.reason,
            }
            decided_at = insert_decision(
                change.connection,
                {**given, "promotion_id": promotion, "project_id": change.project, "creators": row.creators},
            )
            change.record(action, "promotion", promotion, content, reason=request.reason)
            given |= {"evidence_digest": text_of(row.evidence_digest), "decided_at": decided_at}
            after = _promotion(mapping.joined(row, decisions=[*(row.decisions or ()), given]), name)
            if not approves:
                state = PromotionState.REJECTED
            elif all(gate.passed for gate in after.gates):
                state = PromotionState.APPROVED
            else:
                return after
            move_promotion(change.connection, promotion, state)
            return after.model_copy(update={"state": state})

        return self.transactions.change(
            f"promotions.decide/{promotion}", Permission.PROMOTION_DECIDE, name, request, key, Promotion, apply
        )

    def execute(self, name: str, promotion: UUID, *, key: str | None = None) -> AliasAssignment:
        """Move the alias as approved; a promotion that is executed already gives the same assignment.

        Every byte under the evidence is read again first, outside the transaction, so that it takes as long as reading the model does.

        Raises:
            StateConflict: it is not approved, has expired, or the evidence has changed; then it is voided, and that is recorded.
            IntegrityViolation: the bytes of an Artifact under it are not those that were approved; then it is voided, too.
        """
        changed_bytes = self._find_changed_bytes(name, promotion)

        def apply(change: Change) -> AliasAssignment:
            row = promotion_by_id(change.connection, change.project, name, promotion, lock=True)
            if row.state == PromotionState.EXECUTED:
                change.nothing_changed()
                done = ALIASES.where(AliasAssignmentRow.promotion_id == promotion)
                return mapping.alias_of(change.connection.execute(done).one())
            check_state(
                str(promotion),
                PromotionState(row.state),
                PromotionState.APPROVED,
                is_expired=row.is_expired,
                verb="executed",
            )
            found = foundations_of(change.connection, change.project, name, row.model_version_id)
            if (refusal := _changed_evidence(name, row, found) or changed_bytes) is not None:
                move_promotion(change.connection, promotion, PromotionState.VOIDED)
                content = {"evidence_digest": text_of(row.evidence_digest), "alias": row.alias}
                change.record(AuditAction.PROMOTION_VOIDED, "promotion", promotion, content, reason=str(refusal))
                change.refuse(refusal)
            return self._move_alias(change, row)

        return self.transactions.change(
            f"promotions.execute/{promotion}", Permission.PROMOTION_EXECUTE, name, None, key, AliasAssignment, apply
        )

    def _find_changed_bytes(self, name: str, promotion: UUID) -> HoldfastError | None:
        with self.transactions.read(Permission.PROMOTION_EXECUTE, name) as (connection, place):
            found = foundations_of_approved(connection, place.project_id, promotion)
        return find_changed_bytes(self.objects, found)

    @staticmethod
    def _move_alias(change: Change, row: Row[Any]) -> AliasAssignment:
        is_approved = execute_promotion(change.connection, row.id, row.model_version_id)
        assignment = assign_alias(
            change.connection,
            {
                "id": new_id(),
                "project_id": change.project,
                "model_id": row.model_id,
                "alias": row.alias,
                "model_version_id": row.model_version_id,
                "promotion_id": row.id,
            },
        )
        target = {"model": row.model, "alias": row.alias, "number": row.number}
        change.record(
            AuditAction.PROMOTION_EXECUTED,
            "promotion",
            row.id,
            {**target, "evidence_digest": text_of(row.evidence_digest)},
        )
        moved = {
            **target,
            "promotion": str(row.id),
            "after": str(row.model_version_id),
            "before": str(assignment.before) if assignment.before else None,
        }
        change.record(AuditAction.ALIAS_MOVED, "model", row.model_id, moved)
        if is_approved:
            _record_version(change, row.model_version_id, ModelVersionState.APPROVED)
        approved_by = [given.principal for given in _decisions(row) if given.decision == "approve"]
        return mapping.alias_of(mapping.joined(assignment, model=row.model, number=row.number, approved_by=approved_by))

    def get(self, name: str, promotion: UUID) -> Promotion:
        """Return a promotion with its gates as they stand; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            return _promotion(promotion_by_id(connection, found.project_id, name, promotion), name)

    def list(
        self, name: str, *, state: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Promotion]:
        """Return promotions, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            statement = PROMOTIONS.where(PromotionRow.project_id == found.project_id)
            if state is not None:
                statement = statement.where(PromotionRow.state == state)
            return page_of(
                connection, statement, PromotionRow.id, lambda row: _promotion(row, name), limit=limit, cursor=cursor
            )


def _changed_evidence(name: str, row: Row[Any], found: Sequence[Row[Any]]) -> HoldfastError | None:
    evidence = collect_evidence(name, found, row.alias, (row.policy, row.policy_version, row.policy_digest))
    if document_digest(evidence) == row.evidence_digest:
        return None
    return StateConflict(
        f"the evidence of promotion {row.id} is no longer what was approved, so the approval is void",
        remedy="Request a new promotion",
    )


def _check_gates(request: PromotionRequest, policy: Any, results: list[GateResult]) -> None:
    if failed := [result for result in results if not result.passed]:
        raise PolicyViolation(
            f"policy {request.policy!r} v{policy.version} refuses the promotion: {failed[0].gate} does not hold, {failed[0].reason}",
            remedy="Register a ModelVersion whose evidence passes; who may define policies can define another version",
            details={
                "rule": failed[0].gate,
                "version": policy.version,
                "changed_by": "project_maintainer, security_officer",
                "gates": [result.document() for result in results],
            },
        )


def _decision_refusal(row: Any, promotion: UUID, principal: str, request: DecisionRequest) -> HoldfastError | None:
    try:
        check_approver(str(promotion), principal, row.creators)
    except PolicyViolation as refusal:
        return refusal
    if parse(request.evidence_digest) != row.evidence_digest:
        return StateConflict(
            f"the decision is about other evidence than promotion {promotion} holds",
            remedy="Read the promotion again and decide on the evidence_digest that it shows",
            details={"recorded_digest": text_of(row.evidence_digest), "request_digest": request.evidence_digest},
        )
    if any(decision["principal"] == principal for decision in row.decisions or ()):
        return StateConflict(
            f"{principal} has decided on promotion {promotion} already", remedy="A decision is given once"
        )
    return None


def _record_version(change: Change, version: UUID, state: ModelVersionState) -> None:
    change.record(AuditAction.MODEL_VERSION_CHANGED, "model_version", version, {"after": state.value})


def _decisions(row: Any) -> list[PromotionDecision]:
    given = (PromotionDecision(**entry) for entry in row.decisions or ())
    return sorted(given, key=lambda decision: decision.decided_at)


def _promotion(row: Any, project: str) -> Promotion:
    decisions = _decisions(row)
    approvals = [
        Approval(decision.principal, frozenset(Role(role) for role in decision.roles), parse(decision.evidence_digest))
        for decision in decisions
        if decision.decision == "approve"
    ]
    results = [evaluate_gate(gate, row.metrics, approvals, row.evidence_digest) for gate in gates_of(row.gates)]
    return Promotion(
        id=row.id,
        project=project,
        model=row.model,
        model_version=row.model_version_id,
        number=row.number,
        alias=row.alias,
        policy=row.policy,
        policy_version=row.policy_version,
        evidence=row.evidence,
        evidence_digest=text_of(row.evidence_digest),
        creators=row.creators,
        requested_by=row.requested_by,
        requested_at=row.created_at,
        expires_at=row.expires_at,
        state=row.state,
        decisions=decisions,
        gates=[GateStatus(gate=result.gate, passed=result.passed, reason=result.reason) for result in results],
    )
