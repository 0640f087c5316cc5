"""`holdfast run`: Runs."""

from typing import Annotated
from uuid import UUID

import typer

from holdfast.cli.session import Cursor, Limit, group, session_of
from holdfast.cli.show import columns, short
from holdfast.core.run import RunState
from holdfast.ports import DEFAULT_LIMIT

commands = group("Runs: what ran, on what, what came of it.")

_LIST = columns(
    "id",
    "task_id",
    "try_number",
    "state",
    "error_class",
    commit=lambda run: short(run.code.commit if run.code else None),
    seal=lambda run: short(run.seal),
    origin=lambda run: run.origin_reason,
    created_at=lambda run: run.created_at,
)


@commands.command("list")
def list_runs(
    context: typer.Context,
    state: Annotated[RunState | None, typer.Option(help="Only Runs in this state.")] = None,
    pipeline_run: Annotated[UUID | None, typer.Option(help="Only Runs of this PipelineRun.")] = None,
    task: Annotated[str | None, typer.Option(help="Only Runs of this task.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> None:
    """List Runs, newest first."""
    session = session_of(context)
    with session.governance() as governance:
        found = governance.runs.list(
            session.named_project, pipeline_run=pipeline_run, task_id=task, state=state, limit=limit, cursor=cursor
        )
        session.present.page(found, _LIST)


@commands.command()
def show(context: typer.Context, run: Annotated[UUID, typer.Argument(help="The Run's id.")]) -> None:
    """Show a Run with all its bindings, its seal and its end."""
    session = session_of(context)
    with session.governance() as governance:
        session.present.record(governance.runs.get(session.named_project, run))
