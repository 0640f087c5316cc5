"""Retention policies, proposed by one person and decided on by another, and why an object is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, or_

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction, EventClass, Outcome
from holdfast.core.digest import parse, text_of
from holdfast.core.errors import InvalidRequest, PolicyViolation, StateConflict
from holdfast.core.retention.clock import check_clocks
from holdfast.core.retention.decision import Decision, Rule
from holdfast.core.retention.lineage import Explanation, Lineage, explain
from holdfast.core.retention.policy import (
    ClockStart,
    Disposition,
    ObjectType,
    Policy,
    PolicyState,
    Ref,
    Scope,
    check_decider,
    check_overlap,
    check_policy,
)
from holdfast.ledger.segments import retention_of
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.transaction import Change, Transactions, new_id
from holdfast.store import mapping
from holdfast.store.insert import insert_row
from holdfast.store.queries.page import page_of
from holdfast.store.queries.retention import (
    POLICIES,
    applying_to,
    event_object,
    find_object,
    holds_on,
    is_in_force,
    lineage_of,
    newest_version,
    now_and_newest,
    policy_by_id,
    policy_of,
)
from holdfast.store.tables import RetentionPolicyDecisionRow, RetentionPolicyRow
from holdfast.wire.canonical import document_digest
from holdfast.wire.retention import (
    RetentionCounterfactual,
    RetentionDecisionRequest,
    RetentionExplanation,
    RetentionPolicy,
    RetentionPolicyReason,
    RetentionPolicyRequest,
    RetentionRule,
)
from holdfast.wire.types import Page, Wire

_TARGET = "retention_policy"
_SCOPED = ("object_type", "kind", "label", "starts", "period_days", "disposition")
_DECIDED = {
    "approve": AuditAction.RETENTION_POLICY_APPROVED,
    "reject": AuditAction.RETENTION_POLICY_REJECTED,
    "withdraw": AuditAction.RETENTION_POLICY_WITHDRAWN,
}


@dataclass(frozen=True)
class RetentionService:
    """Implements `ports.Retention`; `name` is a Project's, or None for the policies of all Projects."""

    transactions: Transactions

    def propose(self, name: str | None, request: RetentionPolicyRequest, *, key: str | None = None) -> RetentionPolicy:
        """Propose a version of a policy; nothing applies before somebody else has approved it. What is in force already is returned as it is.

        Raises:
            InvalidRequest: its scope, clock, period or disposition is impossible.
            StateConflict: another policy has the same scope, or a version of this one waits for its decision.
        """

        def apply(change: Change) -> RetentionPolicy:
            newest = newest_version(change.connection, change.project_id, request.name)
            content = request.model_dump(mode="json", include=set(_SCOPED))
            if (
                newest is not None
                and is_in_force(newest)
                and {column: getattr(newest, column) for column in _SCOPED} == content
            ):
                change.nothing_changed()
                return mapping.retention_policy_of(newest)
            policy = Policy(
                request.name,
                _next_version(newest),
                Scope(request.object_type, name, request.kind, request.label),
                request.starts,
                request.period_days,
                request.disposition,
            )
            check_policy(policy)
            found = applying_to(change.connection, change.project_id)
            check_overlap(policy, [*found.in_force, *(one.policy for one in found.proposals if not one.is_end)])
            return _propose(change, name, newest, {"name": request.name, **content}, request.reason, is_end=False)

        return self._change("propose", Permission.RETENTION_PROPOSE, name, request, key, apply)

    def propose_end(
        self, name: str | None, policy: UUID, request: RetentionPolicyReason, *, key: str | None = None
    ) -> RetentionPolicy:
        """Propose that a policy end: once that is approved, none of its versions applies.

        Raises:
            StateConflict: the version is not in force, or a later one waits for its decision.
        """

        def apply(change: Change) -> RetentionPolicy:
            row = policy_by_id(change.connection, change.project_id, name, policy)
            if not is_in_force(row):
                raise StateConflict(
                    f"retention policy {policy_of(row)} is not in force, and cannot be ended",
                    remedy="`holdfast retention policy list` shows what is",
                )
            newest = newest_version(change.connection, change.project_id, row.name)
            content = {column: getattr(row, column) for column in ("name", *_SCOPED)}
            return _propose(change, name, newest, content, request.reason, is_end=True)

        return self._change(f"propose_end/{policy}", Permission.RETENTION_PROPOSE, name, request, key, apply)

    def decide(
        self, name: str | None, policy: UUID, request: RetentionDecisionRequest, *, key: str | None = None
    ) -> RetentionPolicy:
        """Approve or reject a version, over exactly the digest named; an approved one is in force at once and supersedes the one before.

        Raises:
            StateConflict: it is decided on already, or its digest is another.
            PolicyViolation: the caller proposed it; this refusal is recorded.
        """

        def apply(change: Change) -> RetentionPolicy:
            row = _pending(change, name, policy)
            try:
                check_decider(policy_of(row), row.proposed_by, change.caller.principal)
                _check_digest(row, request.digest)
            except (PolicyViolation, StateConflict) as refusal:
                _record(change, row, request.decision, str(refusal), Outcome.REFUSED)
                change.refuse(refusal)
            return _decide(change, row, request.decision, request.reason)

        return self._change(f"decide/{policy}", Permission.RETENTION_DECIDE, name, request, key, apply)

    def withdraw(
        self, name: str | None, policy: UUID, request: RetentionPolicyReason, *, key: str | None = None
    ) -> RetentionPolicy:
        """Take a proposal back; what is in force stays so.

        Raises:
            StateConflict: it is decided on already.
        """

        def apply(change: Change) -> RetentionPolicy:
            return _decide(change, _pending(change, name, policy), "withdraw", request.reason)

        return self._change(f"withdraw/{policy}", Permission.RETENTION_PROPOSE, name, request, key, apply)

    def _change(
        self,
        operation: str,
        permission: Permission,
        name: str | None,
        request: Wire,
        key: str | None,
        apply: Callable[[Change], RetentionPolicy],
    ) -> RetentionPolicy:
        # One after the other: a version supersedes the one before.
        return self.transactions.change(
            f"retention.{operation}", permission, name, request, key, RetentionPolicy, apply, turn=_TARGET
        )

    def get(self, name: str | None, policy: UUID) -> RetentionPolicy:
        """Return a version of a policy; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            return mapping.retention_policy_of(policy_by_id(connection, found.project_id, name, policy))

    def list(self, name: str | None, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[RetentionPolicy]:
        """Return every version of every policy that may apply in a Project, those of all Projects too, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            column = RetentionPolicyRow.project_id
            here = column.is_(None) if name is None else or_(column.is_(None), column == found.project_id)
            return page_of(
                connection,
                POLICIES.where(here),
                RetentionPolicyRow.id,
                mapping.retention_policy_of,
                limit=limit,
                cursor=cursor,
            )

    def explain(self, name: str, governed: UUID) -> RetentionExplanation:
        """Return why an Artifact, a DatasetVersion, a Run's log or an audit event is kept or may go, rule by rule, and what would change it.

        Raises:
            NotFound: nothing of the Project has this id.
            StateConflict: it is purged, or the clocks disagree.
        """
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            database, newest = now_and_newest(connection)
            now = check_clocks({"the database": database, "the service": datetime.now(UTC)}, newest)
            target = find_object(connection, found.project_id, name, governed)
            if target.type == ObjectType.AUDIT_EVENT:
                lineage, policies = _event(connection, target, name)
                return _explained(lineage, target, explain(lineage, target, policies, (), now), now)
            if found.project_id is None:
                raise RuntimeError("an object is not of a Project")
            lineage = lineage_of(connection, found.project_id, name, [target])
            applying, holds = applying_to(connection, found.project_id), holds_on(connection, lineage)
            found_out = explain(lineage, target, applying.in_force, holds, now, applying.proposals)
            return _explained(lineage, target, found_out, now)


def _event(connection: Connection, target: Ref, project: str) -> tuple[Lineage, list[Policy]]:
    """Return an audit event, and the rule of its class as the policy that it is."""
    one, version = event_object(connection, UUID(target.id), project)
    rules = [rule for rule in retention_of(connection) if rule.event_class is EventClass(one.kind)]
    quota = (
        f"it may go earlier, once younger sealed segments of its class hold {rules[0].quota} events"
        if rules and rules[0].quota
        else ""
    )
    policies = [
        Policy(
            f"audit_retention/{one.kind}",
            version,
            Scope(ObjectType.AUDIT_EVENT, kind=one.kind),
            ClockStart.SEGMENT_SEALED,
            rule.period_days,
            Disposition.DELETE,
            note=quota,
        )
        for rule in rules
    ]
    return Lineage({target: one}), policies


def _next_version(newest: Any | None) -> int:
    return newest.version + 1 if newest is not None else 1


def _propose(
    change: Change, name: str | None, newest: Any | None, content: dict[str, Any], reason: str, *, is_end: bool
) -> RetentionPolicy:
    if newest is not None and newest.state == PolicyState.PROPOSED:
        raise StateConflict(
            f"retention policy {policy_of(newest)} waits for its decision",
            remedy=f"Have it decided on, or withdraw it first: `holdfast retention policy withdraw` {newest.id}",
        )
    if not reason.strip():
        raise InvalidRequest("no reason is given for the retention policy", remedy="Say why, by --reason")
    document = {**content, "version": _next_version(newest), "is_end": is_end}
    digest = document_digest({"format": "holdfast.retention-policy/1", "project": name, **document, "reason": reason})
    row = insert_row(
        change.connection,
        RetentionPolicyRow,
        {
            "id": new_id(),
            "project_id": change.project_id,
            **document,
            "reason": reason,
            "digest": digest,
            "proposed_by": change.caller.principal,
        },
    )
    change.record(
        AuditAction.RETENTION_POLICY_PROPOSED, _TARGET, row.id, {**document, "digest": text_of(digest)}, reason=reason
    )
    return mapping.retention_policy_of(policy_by_id(change.connection, change.project_id, name, row.id))


def _pending(change: Change, name: str | None, policy: UUID) -> Any:
    row = policy_by_id(change.connection, change.project_id, name, policy)
    if row.state != PolicyState.PROPOSED:
        raise StateConflict(
            f"retention policy {policy_of(row)} is {row.state} already; a version is decided on once",
            remedy="Propose the next version, or `holdfast retention policy end` where it is in force",
        )
    return row


def _check_digest(row: Any, digest: str) -> None:
    if parse(digest) != row.digest:
        raise StateConflict(
            f"the decision is about another content than retention policy {policy_of(row)} has",
            remedy="Read it again and decide on the digest that it shows",
            details={"recorded_digest": text_of(row.digest), "request_digest": digest},
        )


def _decide(change: Change, row: Any, decision: str, reason: str) -> RetentionPolicy:
    insert_row(
        change.connection,
        RetentionPolicyDecisionRow,
        {
            "policy_id": row.id,
            "proposed_by": row.proposed_by,
            "principal": change.caller.principal,
            "roles": sorted(change.access.roles),
            "decision": decision,
            "digest": row.digest,
            "reason": reason,
        },
    )
    _record(change, row, decision, reason, Outcome.SUCCEEDED)
    return mapping.retention_policy_of(
        policy_by_id(change.connection, change.project_id, change.access.project, row.id)
    )


def _record(change: Change, row: Any, decision: str, reason: str, outcome: Outcome) -> None:
    content = {"name": row.name, "version": row.version, "is_end": row.is_end, "digest": text_of(row.digest)}
    change.record(_DECIDED[decision], _TARGET, row.id, content, reason=reason, outcome=outcome)


def _explained(lineage: Lineage, target: Ref, explanation: Explanation, now: datetime) -> RetentionExplanation:
    one, decision = lineage.objects[target], explanation.decision
    return RetentionExplanation(
        object_type=one.type,
        object=UUID(one.id),
        project=one.project or "",
        kind=one.kind,
        label=one.label,
        at=now,
        outcome=decision.outcome,
        until=decision.until,
        disposition=decision.disposition,
        decided_by=_rule(decision.decided_by),
        rules=[_rule(rule) for rule in decision.rules],
        otherwise=[
            RetentionCounterfactual(
                change=other.change,
                outcome=other.decision.outcome,
                until=other.decision.until,
                disposition=other.decision.disposition,
                decided_by=_name(other.decision),
            )
            for other in explanation.counterfactuals
        ],
    )


def _name(decision: Decision) -> str:
    return f"{decision.decided_by.kind} {decision.decided_by.name}"


def _rule(rule: Rule) -> RetentionRule:
    policy = rule.policy
    return RetentionRule(
        rule=rule.kind,
        name=rule.name,
        version=policy.version if policy else None,
        digest=text_of(policy.digest) if policy and policy.digest else None,
        effect=rule.effect,
        until=rule.until,
        why=rule.why,
        changed_by=list(rule.changed_by),
    )
