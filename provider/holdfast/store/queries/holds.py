"""Legal holds, as they are read."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, exists, func, select, text
from sqlalchemy.orm import aliased

from holdfast.core.errors import NotFound
from holdfast.core.hold import HeldType, HoldState, LockState, name_of, parse_hold
from holdfast.store.tables import ArtifactRow, LegalHoldObjectRow, LegalHoldReleaseRow, LegalHoldRow, ProjectRow
from holdfast.wire.hold import CoveredObject, HoldCoverage, HoldLocks, HoldQuery, HoldRelease, HoldSummary, LegalHold

_ASKED = aliased(LegalHoldReleaseRow)
_IS_ASKED = (
    exists()
    .where(_ASKED.hold_id == LegalHoldRow.id, _ASKED.decision.is_(None))
    .correlate(LegalHoldRow)
    .label("is_release_requested")
)
HOLDS = select(*LegalHoldRow.__table__.c, ProjectRow.name.label("query_project"), _IS_ASKED).outerjoin(
    ProjectRow, ProjectRow.id == LegalHoldRow.query_project_id
)
OBJECTS = select(
    *LegalHoldObjectRow.__table__.c,
    ArtifactRow.object_key.label("object_key"),
    ArtifactRow.version_id.label("version_id"),
).outerjoin(ArtifactRow, ArtifactRow.id == LegalHoldObjectRow.object_id)
# The same steps as the database takes when a hold is placed, without a row being written.
_COVERAGE = text(
    """
    WITH RECURSIVE seed (kind, id) AS (
        SELECT * FROM unnest(CAST(:types AS text[]), CAST(:ids AS uuid[]))
        UNION SELECT 'artifact', a.id FROM artifact a WHERE :query_type = 'artifact' AND a.project_id = :query_project_id
            AND a.state <> 'purged' AND (CAST(:kind AS text) IS NULL OR a.kind = :kind)
            AND (CAST(:label AS text) IS NULL OR a.retention_class = :label)
            AND (CAST(:name AS text) IS NULL OR matches(a.name, :name))
            AND (CAST(:after AS timestamptz) IS NULL OR a.created_at >= :after)
            AND (CAST(:before AS timestamptz) IS NULL OR a.created_at < :before)
        UNION SELECT 'dataset_version', v.id FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id
            WHERE :query_type = 'dataset_version' AND v.project_id = :query_project_id
            AND v.state <> 'purged' AND (CAST(:kind AS text) IS NULL OR v.source_type = :kind)
            AND (CAST(:label AS text) IS NULL OR d.name = :label) AND (CAST(:name AS text) IS NULL OR matches(d.name, :name))
            AND (CAST(:after AS timestamptz) IS NULL OR v.created_at >= :after)
            AND (CAST(:before AS timestamptz) IS NULL OR v.created_at < :before)
    ), down (kind, id) AS (
        SELECT kind, id FROM seed
        UNION SELECT n.object_type, n.object_id FROM down CROSS JOIN LATERAL downstream_of(down.kind, down.id) n WHERE :expanded
    ), up (kind, id) AS (
        SELECT kind, id FROM down
        UNION SELECT n.object_type, n.object_id FROM up CROSS JOIN LATERAL upstream_of(up.kind, up.id) n WHERE :expanded
    ) SELECT kind, count(*) AS count FROM up GROUP BY kind
    """
)


def hold_by_name(connection: Connection, name: str, *, lock: bool = False) -> Any:
    """Return the row of a hold by `LH-12` or its id; with a lock nobody else changes it meanwhile.

    Raises:
        NotFound: there is none.
        InvalidRequest: it names none.
    """
    named = parse_hold(name)
    here = LegalHoldRow.number == named if isinstance(named, int) else LegalHoldRow.id == named
    statement = HOLDS.where(here)
    row = connection.execute(statement.with_for_update(of=LegalHoldRow) if lock else statement).one_or_none()
    if row is None:
        raise NotFound(f"there is no legal hold {name}", remedy="List them with `holdfast hold list`")
    return row


def releases_of(connection: Connection, hold: UUID, cooling_off_s: int) -> list[HoldRelease]:
    """Return the releases of a hold that were asked for, the newest first."""
    own = LegalHoldReleaseRow.__table__.c
    over = LegalHoldReleaseRow.requested_at + func.make_interval(0, 0, 0, 0, 0, 0, cooling_off_s)
    statement = select(*own, over.label("approvable_at")).where(LegalHoldReleaseRow.hold_id == hold)
    rows = connection.execute(statement.order_by(LegalHoldReleaseRow.id.desc()))
    return [HoldRelease(**{name: getattr(row, name) for name in HoldRelease.model_fields}) for row in rows]


def hold_of(connection: Connection, row: Row[Any]) -> LegalHold:
    """Return a hold with what it covers, counted, and its releases."""
    counted = select(LegalHoldObjectRow.object_type, LegalHoldObjectRow.lock_state, func.count().label("count")).where(
        LegalHoldObjectRow.hold_id == row.id
    )
    objects: dict[HeldType, int] = {}
    locks = dict.fromkeys(LockState, 0)
    grouped = counted.group_by(LegalHoldObjectRow.object_type, LegalHoldObjectRow.lock_state)
    for kind, lock, count in connection.execute(grouped):
        objects[HeldType(kind)] = objects.get(HeldType(kind), 0) + count
        if lock is not None:
            locks[LockState(lock)] += count
    return LegalHold(
        **summary_of(row).model_dump(),
        reason=row.reason,
        is_expanded=row.is_expanded,
        query=_query_of(row),
        cooling_off_s=row.cooling_off_s,
        objects=dict(sorted(objects.items())),
        locks=HoldLocks(**{state.value: count for state, count in locks.items()}),
        releases=releases_of(connection, row.id, row.cooling_off_s),
    )


def summary_of(row: Row[Any]) -> HoldSummary:
    """Return a hold in a list."""
    waiting = HoldState.RELEASE_REQUESTED if row.is_release_requested else HoldState.PLACED
    return HoldSummary(
        id=row.id,
        name=name_of(row.number),
        state=HoldState.RELEASED if row.released_at is not None else waiting,
        matter=row.matter,
        custodians=row.custodians,
        placed_by=row.placed_by,
        placed_at=row.created_at,
        released_at=row.released_at,
    )


def covered_of(row: Row[Any]) -> CoveredObject:
    """Return an object that a hold covers."""
    return CoveredObject(
        type=row.object_type,
        id=row.object_id,
        reached_by=row.reached_by,
        from_type=row.from_type,
        from_id=row.from_id,
        covered_at=row.created_at,
        object_key=row.object_key,
        version_id=row.version_id,
        lock=row.lock_state,
        read_back_at=row.read_back_at,
    )


def coverage_of(connection: Connection, values: dict[str, Any]) -> HoldCoverage:
    """Return what a hold of this scope would cover."""
    objects = {HeldType(kind): count for kind, count in connection.execute(_COVERAGE, values)}
    return HoldCoverage(objects=dict(sorted(objects.items())), total=sum(objects.values()))


def _query_of(row: Row[Any]) -> HoldQuery | None:
    if row.query_type is None:
        return None
    return HoldQuery(
        type=row.query_type,
        project=row.query_project,
        kind=row.query_kind,
        label=row.query_label,
        name=row.query_name,
        created_after=row.query_after,
        created_before=row.query_before,
    )
