"""Runs whose task instance a person has marked: canceled, whoever else may be about to end them, and none of another try."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.run import RunState, is_terminal, try_of
from holdfast.service.refusals import translate
from holdfast.service.run_states import move
from holdfast.service.transaction import Change, Transactions
from holdfast.store import mapping
from holdfast.store.queries.runs import run_by_id
from holdfast.store.tables import PipelineRunRow, ProjectRow, RunRow
from holdfast.wire.run import Run


@dataclass(frozen=True, slots=True)
class TaskTry:
    """One try of a task instance, as Airflow names it."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int


def cancel_runs_of(transactions: Transactions, marked: TaskTry, cause: str) -> None:
    """Return when no Run of a try is open; a DagRun may have Runs in more than one Project, and each is a transaction.

    A Run that was lost sight of is canceled as well: nobody waits for it any more, whatever becomes of its command. What the command goes
    on doing, and what it has begun to upload, is left to who ends it: its task's process, its trigger, or the reconciler.

    Args:
        transactions: on whose behalf.
        marked: the try.
        cause: who marked it, and as what.
    """
    for project, run in _open_runs(transactions, marked):
        _cancel(transactions, project, run, marked, cause)


def _open_runs(transactions: Transactions, marked: TaskTry) -> list[tuple[str, UUID]]:
    # By way of the Projects, because the index that finds a DagRun begins with its Project. The record of an archived one never changes again.
    statement = (
        select(ProjectRow.name, RunRow.id, RunRow.owner, RunRow.try_number)
        .join(PipelineRunRow, PipelineRunRow.project_id == ProjectRow.id)
        .join(RunRow, RunRow.pipeline_run_id == PipelineRunRow.id)
        .where(ProjectRow.archived_at.is_(None))
        .where(PipelineRunRow.dag_id == marked.dag_id, PipelineRunRow.run_id == marked.run_id)
        .where(RunRow.task_id == marked.task_id, RunRow.map_index == marked.map_index, RunRow.ended_at.is_(None))
    )
    with translate(), transactions.engine.connect() as connection:
        found = connection.execute(statement).all()
    return [(row.name, row.id) for row in found if try_of(row.owner, row.try_number) == marked.try_number]


def _cancel(transactions: Transactions, project: str, run: UUID, marked: TaskTry, cause: str) -> None:
    def apply(change: Change) -> Run:
        row = run_by_id(change.connection, change.project, project, run, lock=True)
        # Only now it stays as it is: meanwhile its execution may have ended it, or a later try have taken it up.
        if is_terminal(RunState(row.state)) or try_of(row.owner, row.try_number) != marked.try_number:
            change.nothing_changed()
            return mapping.run_of(row, project)
        if row.state == RunState.UNKNOWN:
            owner = {"owner": change.caller.principal}
            values = {"cause": cause, **owner}
            move(change, project, row, RunState.RECONCILING, values, AuditAction.RUN_CHANGED, owner, cause)
            row = run_by_id(change.connection, change.project, project, run, lock=True)
        content: dict[str, Any] = {"exit_code": None, "error_class": None, "metrics": {}, "observed": None}
        return move(change, project, row, RunState.CANCELED, {"cause": cause}, AuditAction.RUN_FINISHED, content, cause)

    transactions.change(f"runs.cancel_marked/{run}", Permission.RUN_WRITE, project, None, None, Run, apply)
