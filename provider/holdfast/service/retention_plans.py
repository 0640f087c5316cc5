"""Retention plans: what exactly may go, made by one person and decided on by another; what carries one out is `ops.disposal`."""

import base64
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction, Outcome
from holdfast.core.digest import text_of
from holdfast.core.errors import IntegrityViolation, InvalidRequest, NotFound, PolicyViolation, StateConflict
from holdfast.core.merkle import Frontier, leaf_hash
from holdfast.core.retention.clock import check_clocks
from holdfast.core.retention.decision import most_explicit
from holdfast.core.retention.lineage import Rulebook, kept
from holdfast.core.retention.plan import (
    CARRIED_OUT,
    Item,
    ItemState,
    PlanState,
    check_decider,
    check_items,
    check_root,
    name_of,
    path_to,
    state_of,
)
from holdfast.core.retention.policy import ObjectType
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.transaction import Change, Transactions, new_id
from holdfast.store.insert import copy_rows, insert_row
from holdfast.store.queries.page import page_of
from holdfast.store.queries.retention import applying_to, holds_on, lineage_of, now_and_newest
from holdfast.store.queries.retention_plans import (
    ITEMS,
    PLANS,
    candidates,
    certificate_of,
    item_of,
    items_of,
    plan_item_of,
    plan_of,
    plan_row,
    summary_of,
)
from holdfast.store.tables import RetentionPlanDecisionRow, RetentionPlanItemRow, RetentionPlanRow
from holdfast.wire.canonical import document_bytes
from holdfast.wire.retention_plan import (
    RetentionCertificate,
    RetentionLine,
    RetentionPlan,
    RetentionPlanDecisionRequest,
    RetentionPlanItem,
    RetentionPlanRequest,
    RetentionPlanSummary,
    RetentionPlanWithdrawal,
)
from holdfast.wire.types import Page

_TARGET = "retention_plan"
_DECIDED = {
    "approve": AuditAction.RETENTION_PLAN_APPROVED,
    "reject": AuditAction.RETENTION_PLAN_REJECTED,
    "withdraw": AuditAction.RETENTION_PLAN_WITHDRAWN,
}
_REFERRED_TO = "something that is kept refers to it"


@dataclass(frozen=True)
class RetentionPlanService:
    """Implements `ports.RetentionPlans`.

    Attributes:
        transactions: on behalf of who asks.
        place: the object store, as records name it.
    """

    transactions: Transactions
    place: str

    def make(self, name: str, request: RetentionPlanRequest, *, key: str | None = None) -> RetentionPlan:
        """Make a plan of everything in a Project that may go now. Nothing goes by it before another person has approved it.

        Raises:
            StateConflict: nothing may go, or the clocks disagree.
            InvalidRequest: no reason is given.
        """

        def apply(change: Change) -> RetentionPlan:
            if not request.reason.strip():
                raise InvalidRequest("no reason is given for the retention plan", remedy="Say why, by --reason")
            database, newest = now_and_newest(change.connection)
            now = check_clocks({"the database": database, "the service": datetime.now(UTC)}, newest)
            return _make(change, name, now, request.reason, self.place)

        return self.transactions.change(
            "retention_plan.make", Permission.RETENTION_PLAN, name, request, key, RetentionPlan, apply, turn=_TARGET
        )

    def decide(
        self, name: str, plan: str, request: RetentionPlanDecisionRequest, *, key: str | None = None
    ) -> RetentionPlan:
        """Approve or reject a plan, over exactly the root named; an approved one may be carried out for seven days.

        Raises:
            StateConflict: it is decided on already, or its root is another.
            IntegrityViolation: its items are not those that its root is over.
            PolicyViolation: the caller made it, or is no person; this refusal is recorded.
        """

        def apply(change: Change) -> RetentionPlan:
            row = _undecided(change, plan)
            try:
                check_decider(name_of(row.number), row.planned_by, change.caller.principal)
                check_root(row.root, request.root)
                if request.decision == "approve":
                    check_items(entries_of(change.connection, row.id), row.root, name_of(row.number))
            except (PolicyViolation, StateConflict, IntegrityViolation) as refusal:
                _record(change, row, request.decision, str(refusal), Outcome.REFUSED)
                change.refuse(refusal)
            return _decide(change, row, request.decision, request.reason)

        return self.transactions.change(
            f"retention_plan.decide/{plan}",
            Permission.RETENTION_PLAN_DECIDE,
            name,
            request,
            key,
            RetentionPlan,
            apply,
            turn=_TARGET,
        )

    def withdraw(
        self, name: str, plan: str, request: RetentionPlanWithdrawal, *, key: str | None = None
    ) -> RetentionPlan:
        """Take a plan back that nobody has decided on; raises StateConflict where somebody has."""

        def apply(change: Change) -> RetentionPlan:
            return _decide(change, _undecided(change, plan), "withdraw", request.reason)

        return self.transactions.change(
            f"retention_plan.withdraw/{plan}",
            Permission.RETENTION_PLAN,
            name,
            request,
            key,
            RetentionPlan,
            apply,
            turn=_TARGET,
        )

    def get(self, name: str, plan: str) -> RetentionPlan:
        """Return a plan, by `RP-12` or its id; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            return plan_of(connection, plan_row(connection, found.project_id, plan))

    def list(self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[RetentionPlanSummary]:
        """Return the plans of a Project, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            here = PLANS.where(RetentionPlanRow.project_id == found.project_id)
            return page_of(connection, here, RetentionPlanRow.id, summary_of, limit=limit, cursor=cursor)

    def items(
        self, name: str, plan: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RetentionPlanItem]:
        """Return what a plan lets go, in its order."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            row = plan_row(connection, found.project_id, plan)
            return page_of(
                connection,
                ITEMS.where(RetentionPlanItemRow.plan_id == row.id),
                RetentionPlanItemRow.index,
                plan_item_of,
                limit=limit,
                cursor=cursor,
                newest_first=False,
            )

    def certificate(self, name: str, plan: str) -> RetentionCertificate:
        """Return the certificate of a plan that was carried out; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            return certificate_of(connection, plan_row(connection, found.project_id, plan))

    def line(self, name: str, plan: str, governed: UUID) -> RetentionLine:
        """Return what became of one object of a plan, with the proof that its certificate says so; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            row = plan_row(connection, found.project_id, plan)
            certificate = certificate_of(connection, row)
            line, index, leaves = None, 0, []
            for item in items_of(connection, row.id):
                document = line_of(row.id, item)
                leaves.append(leaf_hash(document_bytes(document)))
                if item.object_id == governed:
                    line, index = document, item.index
        if line is None:
            raise NotFound(
                f"retention plan {name_of(row.number)} has no object {governed}",
                remedy="`holdfast retention plan items` shows what is in it",
            )
        path = [base64.b64encode(one).decode() for one in path_to(index, leaves)]
        return RetentionLine(line=line, index=index, size=len(leaves), path=path, certificate=certificate)


def entries_of(connection: Connection, plan: UUID) -> Iterator[bytes]:
    """Yield what a plan's root is over: each item as it stands, in canonical form."""
    return (document_bytes(item_of(row).document(plan, row.index)) for row in items_of(connection, plan))


def line_of(plan: UUID, row: Any) -> dict[str, Any]:
    """Return what a certificate says of the item in a row."""
    return item_of(row).line(plan, row.index, ItemState(row.state), row.says)


def _make(change: Change, name: str, now: datetime, reason: str, place: str) -> RetentionPlan:
    plan, left_out, frontier, size = new_id(), Counter[str](), Frontier(), 0
    # Some at a time, and first: the root is known once the last of them is.
    for items in _items(change, name, now, left_out):
        begin = frontier.size
        frontier.extend(leaf_hash(document_bytes(item.document(plan, begin + at))) for at, item in enumerate(items))
        size += sum(item.size_bytes for item in items)
        rows = (_row_of(change.project, plan, begin + at, item) for at, item in enumerate(items))
        copy_rows(change.connection, RetentionPlanItemRow, _COLUMNS, rows)
    if not frontier.size:
        why = "; ".join(f"{count}: {said}" for said, count in sorted((+left_out).items()))
        raise StateConflict(
            f"nothing in Project {name!r} may go now{f' ({why})' if why else ''}",
            remedy="`holdfast retention explain` says of an object until when it is kept, and why",
            details={"due": 0, "left_out": dict(+left_out)},
        )
    content = {"item_count": frontier.size, "size_bytes": size, "left_out": dict(+left_out), "place": place}
    root = frontier.root()
    row = insert_row(
        change.connection,
        RetentionPlanRow,
        {
            "id": plan,
            "project_id": change.project,
            **content,
            "root": root,
            "reason": reason,
            "planned_by": change.caller.principal,
        },
    )
    content |= {"number": row.number, "root": text_of(root)}
    change.record(AuditAction.RETENTION_PLAN_MADE, _TARGET, plan, content, reason=reason)
    return plan_of(change.connection, plan_row(change.connection, change.project_id, str(plan)))


_COLUMNS = (
    *("plan_id", "index", "project_id", "object_type", "object_id", "object_key", "version_id", "digest", "size_bytes"),
    *("policy_id", "policy_digest", "disposition"),
)


def _row_of(project: UUID, plan: UUID, index: int, item: Item) -> tuple[object, ...]:
    return (
        *(plan, index, project, item.object_type.value, item.object_id, item.object_key, item.version_id, item.digest),
        *(item.size_bytes, item.policy_id, item.policy_digest, item.disposition.value),
    )


def _items(change: Change, name: str, now: datetime, left_out: Counter[str]) -> Iterator[list[Item]]:
    """Yield what the retention decision lets go, some at a time; counts by why what else is due by its policies."""
    applying = applying_to(change.connection, change.project_id)
    for rows in candidates(change.connection, change.project, applying.in_force, now):
        lineage = lineage_of(change.connection, change.project, name, list(rows))
        rules = Rulebook(applying.in_force, holds_on(change.connection, lineage))
        remaining = kept(lineage, rules, now)
        batch = []
        for ref, row in rows.items():
            if (keeping := remaining.get(ref)) is not None:
                left_out[_REFERRED_TO] += keeping.because is not None
                continue
            policy = most_explicit(rules.applicable(lineage.objects[ref]))
            if policy.disposition not in CARRIED_OUT:
                left_out[f"its policy says {policy.disposition.value}, which no plan can do yet"] += 1
                continue
            batch.append(
                Item(
                    ObjectType(ref.type),
                    row.id,
                    row.object_key,
                    row.version_id,
                    row.digest,
                    row.size_bytes,
                    applying.ids[policy],
                    policy.digest,
                    policy.disposition,
                )
            )
        yield batch


def _undecided(change: Change, plan: str) -> Any:
    row = plan_row(change.connection, change.project_id, plan)
    state = state_of(row.decision, row.decided_at, row.at, is_certified=row.certificate is not None)
    if state is not PlanState.MADE:
        raise StateConflict(
            f"retention plan {name_of(row.number)} is {state} already; a plan is decided on once",
            remedy="Make a new one: `holdfast retention plan make`",
        )
    return row


def _decide(change: Change, row: Any, decision: str, reason: str) -> RetentionPlan:
    insert_row(
        change.connection,
        RetentionPlanDecisionRow,
        {
            "plan_id": row.id,
            "planned_by": row.planned_by,
            "root": row.root,
            "principal": change.caller.principal,
            "roles": sorted(change.access.roles),
            "decision": decision,
            "reason": reason,
        },
    )
    _record(change, row, decision, reason, Outcome.SUCCEEDED)
    return plan_of(change.connection, plan_row(change.connection, change.project_id, str(row.id)))


def _record(change: Change, row: Any, decision: str, reason: str, outcome: Outcome) -> None:
    content = {"number": row.number, "items": row.item_count, "root": text_of(row.root)}
    change.record(_DECIDED[decision], _TARGET, row.id, content, reason=reason, outcome=outcome)
