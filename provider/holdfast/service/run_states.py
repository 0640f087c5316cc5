"""A Run's row taken from one state to the next, with the event of it; who may do that, and when, the callers know."""

from functools import cache
from typing import Any

from sqlalchemy import bindparam, func, update

from holdfast.core.audit import AuditAction
from holdfast.core.digest import text_of
from holdfast.core.run import RunState, check_run_transition, is_terminal
from holdfast.service.transaction import Change
from holdfast.store import mapping
from holdfast.store.prepared import Prepared
from holdfast.store.tables import RunRow
from holdfast.wire.run import Run

_SET_WITH_A_STATE = ("state", "since", "started_at", "ended_at")


@cache
def _moving(moment: str | None, *columns: str) -> Prepared:
    """Return the UPDATE that takes a Run to a state and sets these columns, built once for each of its callers."""
    values = {
        column: bindparam(f"new_{column}", type_=RunRow.__table__.c[column].type) for column in ("state", *columns)
    }
    moments: dict[str, Any] = {column: func.now() for column in ("since", moment) if column is not None}
    if moment == "started_at":
        # A Run that is taken up again after reconciling keeps the time at which it first started.
        moments[moment] = func.coalesce(RunRow.started_at, func.now())
    moved = update(RunRow).where(RunRow.id == bindparam("run")).values(values | moments)
    return Prepared(moved.returning(*(RunRow.__table__.c[column] for column in (*columns, *_SET_WITH_A_STATE))))


def move(
    change: Change,
    name: str,
    row: Any,
    after: RunState,
    values: dict[str, Any],
    action: AuditAction,
    content: dict[str, Any],
    reason: str = "",
) -> Run:
    """Take a locked Run to a state and record it."""
    check_run_transition(str(row.id), RunState(row.state), after)
    moment = "started_at" if after is RunState.RUNNING else "ended_at" if is_terminal(after) else None
    given = {f"new_{column}": value for column, value in {"state": after, **values}.items()}
    changed = _moving(moment, *values).one(change.connection, {"run": row.id, **given})
    change.record(
        action,
        "run",
        row.id,
        {"before": row.state, "after": after.value, "seal": text_of(row.seal), **content},
        reason=reason,
    )
    return mapping.run_of(mapping.joined(row, **changed._asdict()), name)
