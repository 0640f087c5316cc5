"""Runs whose execution is gone and has not reported an end: `unknown`, with a cause, until evidence says how they ended."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update

from holdfast.core.audit import AuditAction
from holdfast.core.run import RunState
from holdfast.service.transaction import Change
from holdfast.store.tables import RunRow

_OWNER = "reconciler"
_OPEN = (RunState.CREATED, RunState.QUEUED, RunState.RUNNING)


def lose_run(change: Change, run: UUID, state: str, cause: str) -> None:
    """Take a Run to `unknown` when it is still open."""
    if state not in _OPEN:
        return
    # It may be starting or ending right now: what is recorded is what it has become by then.
    lock = select(RunRow.state).where(RunRow.id == run).with_for_update(key_share=True)
    if (state := change.connection.execute(lock).scalar_one()) not in _OPEN:
        return
    change.connection.execute(
        update(RunRow)
        .where(RunRow.id == run)
        .values(state=RunState.UNKNOWN, cause=cause, owner=_OWNER, since=func.now())
    )
    change.record(
        AuditAction.RUN_CHANGED, "run", run, {"before": state, "after": "unknown", "owner": _OWNER}, reason=cause
    )


def lose_open_runs(change: Change, pipeline_run: UUID, until: datetime | None, cause: str) -> None:
    """Take every Run of a PipelineRun that is still open, and was created until a time, to `unknown`."""
    statement = (
        select(RunRow.id, RunRow.state)
        .where(RunRow.pipeline_run_id == pipeline_run, RunRow.state.in_(_OPEN))
        .order_by(RunRow.id)
    )
    if until is not None:
        statement = statement.where(RunRow.created_at <= until)
    for row in change.connection.execute(statement).all():
        lose_run(change, row.id, row.state, cause)
