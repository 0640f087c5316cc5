"""Retention plans: what may go, and plans as they are read."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, DateTime, Integer, Uuid, bindparam, func, or_, select, text

from holdfast.core.digest import text_of
from holdfast.core.errors import NotFound
from holdfast.core.retention.plan import APPROVAL_LIFETIME, Item, ItemState, name_of, parse_plan, state_of
from holdfast.core.retention.policy import ClockStart, Disposition, ObjectType, Policy, Ref
from holdfast.store.prepared import Prepared
from holdfast.store.tables import (
    ProjectRow,
    RetentionCertificateRow,
    RetentionPlanDecisionRow,
    RetentionPlanItemRow,
    RetentionPlanRow,
)
from holdfast.wire.retention_plan import (
    RetentionCertificate,
    RetentionPlan,
    RetentionPlanDecision,
    RetentionPlanItem,
    RetentionPlanSummary,
)

BATCH = 1000
"""Objects and items that are looked at together: what is in memory at a time."""
PLANS = (
    select(
        *RetentionPlanRow.__table__.c,
        ProjectRow.name.label("project"),
        RetentionPlanDecisionRow.decision,
        RetentionPlanDecisionRow.principal,
        RetentionPlanDecisionRow.roles,
        RetentionPlanDecisionRow.reason.label("decision_reason"),
        RetentionPlanDecisionRow.created_at.label("decided_at"),
        RetentionCertificateRow.digest.label("certificate"),
        func.now().label("at"),
    )
    .join(ProjectRow, ProjectRow.id == RetentionPlanRow.project_id)
    .outerjoin(RetentionPlanDecisionRow, RetentionPlanDecisionRow.plan_id == RetentionPlanRow.id)
    .outerjoin(RetentionCertificateRow, RetentionCertificateRow.plan_id == RetentionPlanRow.id)
)
ITEMS = select(*RetentionPlanItemRow.__table__.c)
_BY_ID = Prepared(PLANS.where(RetentionPlanRow.id == bindparam("plan")))
_BY_NUMBER = Prepared(PLANS.where(RetentionPlanRow.number == bindparam("plan")))
_COUNTS = Prepared(
    select(RetentionPlanItemRow.state, func.count().label("count"))
    .where(RetentionPlanItemRow.plan_id == bindparam("plan"))
    .group_by(RetentionPlanItemRow.state)
)
_ITEMS = Prepared(
    ITEMS.where(RetentionPlanItemRow.plan_id == bindparam("plan"), RetentionPlanItemRow.index >= bindparam("begin"))
    .order_by(RetentionPlanItemRow.index)
    .limit(BATCH)
)
_OPEN_ITEMS = Prepared(
    ITEMS.where(
        RetentionPlanItemRow.plan_id == bindparam("plan"),
        RetentionPlanItemRow.index >= bindparam("begin"),
        or_(RetentionPlanItemRow.state == "planned", RetentionPlanItemRow.state == "purging"),
    )
    .order_by(RetentionPlanItemRow.index)
    .limit(bindparam("batch", type_=Integer))
)
_CERTIFICATE = Prepared(
    select(*RetentionCertificateRow.__table__.c).where(RetentionCertificateRow.plan_id == bindparam("plan"))
)


def _candidates(table: str, columns: str, which: str = "") -> Prepared:
    """Return the statement for objects that are old enough for some policy and that no hold covers."""
    return Prepared(
        text(
            f"""
            SELECT o.id, o.created_at, o.digest, o.size_bytes, {columns}
            FROM {table} o
            WHERE o.project_id = :in_project AND o.state <> 'purged' AND o.created_at <= :until AND (o.created_at, o.id) > (:after, :id)
            {which} AND NOT EXISTS (
                SELECT FROM legal_hold_object l JOIN legal_hold h ON h.id = l.hold_id
                WHERE l.object_id = o.id AND h.released_at IS NULL
            ) ORDER BY o.created_at, o.id LIMIT {BATCH}
            """  # noqa: S608 - our own names
        ).bindparams(
            bindparam("in_project", type_=Uuid),
            bindparam("id", type_=Uuid),
            *(bindparam(name, type_=DateTime(timezone=True)) for name in ("until", "after")),
        )
    )


_BYTES = "o.object_key, o.version_id"
_CANDIDATES = {
    ObjectType.ARTIFACT: _candidates("artifact", _BYTES),
    ObjectType.DATASET_VERSION: _candidates("dataset_version", "NULL AS object_key, NULL AS version_id"),
}
_ATTACHED = _candidates("artifact", _BYTES, "AND o.provenance = 'attached'")
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


def candidates(
    connection: Connection, project_id: UUID, policies: Iterable[Policy], now: datetime
) -> Iterator[dict[Ref, Any]]:
    """Yield, some at a time, the rows of objects that policies may let go and that no hold covers.

    What is not old enough for any of them is not looked at. No clock starts before its object was created; but that of a Run's end, for what was attached to
    the Run afterwards.
    """
    for kind, statement in _CANDIDATES.items():
        ours = [policy for policy in policies if policy.scope.object_type is kind]
        periods = [policy.period_days for policy in ours if policy.period_days is not None]
        if not periods:
            continue
        until = now - timedelta(days=min(periods))
        searches = [(statement, _EARLIEST, until)]
        if any(policy.starts is ClockStart.RUN_ENDED for policy in ours):
            searches.append((_ATTACHED, until, now))
        for search, begin, end in searches:
            values = {"in_project": project_id, "until": end, "after": begin, "id": UUID(int=2**128 - 1)}
            while rows := search.all(connection, values):
                yield {Ref(kind, str(row.id)): row for row in rows}
                values |= {"after": rows[-1].created_at, "id": rows[-1].id}


def plan_row(connection: Connection, project_id: UUID | None, name: str) -> Any:
    """Return a row of PLANS by `RP-12` or its id; of any Project where none is given. Raises NotFound, InvalidRequest."""
    named = parse_plan(name)
    row = (_BY_NUMBER if isinstance(named, int) else _BY_ID).one_or_none(connection, {"plan": named})
    if row is None or project_id not in (None, row.project_id):
        raise NotFound(f"there is no retention plan {name} here", remedy="`holdfast retention plan list` shows them")
    return row


def items_of(connection: Connection, plan: UUID) -> Iterator[Any]:
    """Yield the rows of a plan's items in their order, some of which are in memory at a time."""
    begin = 0
    while rows := _ITEMS.all(connection, {"plan": plan, "begin": begin}):
        yield from rows
        begin = rows[-1].index + 1


def open_items_of(connection: Connection, plan: UUID, begin: int, limit: int) -> list[Any]:
    """Return the rows of some items of a plan that have not ended, from an index on."""
    return _OPEN_ITEMS.all(connection, {"plan": plan, "begin": begin, "batch": limit})


def item_of(row: Any) -> Item:
    """Return the item in a row."""
    return Item(
        ObjectType(row.object_type),
        row.object_id,
        row.object_key,
        row.version_id,
        row.digest,
        row.size_bytes,
        row.policy_id,
        row.policy_digest,
        Disposition(row.disposition),
    )


def counts_of(connection: Connection, plan: UUID) -> dict[ItemState, int]:
    """Return a plan's items by what has become of them."""
    found = {row.state: row.count for row in _COUNTS.all(connection, {"plan": plan})}
    return {state: found.get(state, 0) for state in ItemState}


def summary_of(row: Any) -> RetentionPlanSummary:
    """Return a plan in a list."""
    return RetentionPlanSummary(
        id=row.id,
        name=name_of(row.number),
        project=row.project,
        state=state_of(row.decision, row.decided_at, row.at, is_certified=row.certificate is not None),
        item_count=row.item_count,
        size_bytes=row.size_bytes,
        root=text_of(row.root),
        planned_by=row.planned_by,
        planned_at=row.created_at,
    )


def plan_of(connection: Connection, row: Any) -> RetentionPlan:
    """Return a plan with what has become of it."""
    decision = None
    if row.decision is not None:
        decision = RetentionPlanDecision(
            decision=row.decision,
            principal=row.principal,
            roles=row.roles,
            reason=row.decision_reason,
            decided_at=row.decided_at,
            expires_at=row.decided_at + APPROVAL_LIFETIME if row.decision == "approve" else None,
        )
    return RetentionPlan(
        **summary_of(row).model_dump(),
        place=row.place,
        reason=row.reason,
        left_out=row.left_out,
        outcomes={state: count for state, count in counts_of(connection, row.id).items() if count},
        decision=decision,
        certificate=text_of(row.certificate) if row.certificate is not None else None,
    )


def plan_item_of(row: Any) -> RetentionPlanItem:
    """Return an item as it is shown."""
    return RetentionPlanItem(
        index=row.index,
        object_type=row.object_type,
        object=row.object_id,
        object_key=row.object_key,
        version_id=row.version_id,
        digest=text_of(row.digest),
        size_bytes=row.size_bytes,
        policy=row.policy_id,
        policy_digest=text_of(row.policy_digest),
        disposition=row.disposition,
        state=row.state,
        says=row.says,
        ended_at=row.ended_at,
    )


def certificate_of(connection: Connection, plan: Any) -> RetentionCertificate:
    """Return the certificate of a plan; raises NotFound where it is not carried out."""
    row = _CERTIFICATE.one_or_none(connection, {"plan": plan.id})
    if row is None:
        raise NotFound(
            f"retention plan {name_of(plan.number)} has no certificate yet",
            remedy="It gets one once it is carried out: `holdfast retention apply`",
        )
    return RetentionCertificate(
        plan=plan.id,
        content=orjson.loads(row.content),
        digest=text_of(row.digest),
        event=row.event_id,
        certified_at=row.created_at,
    )
