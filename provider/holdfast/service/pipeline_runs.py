"""PipelineRuns."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, func, insert, select, update

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.errors import NotFound
from holdfast.core.run import PipelineRunState, check_pipeline_run_transition, is_terminal
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.lost import lose_open_runs
from holdfast.service.refusals import translate
from holdfast.service.transaction import Change, Transactions, new_id
from holdfast.store import mapping
from holdfast.store.queries.page import page_of
from holdfast.store.tables import PipelineRunRow, ProjectRow
from holdfast.wire.run import PipelineRun, PipelineRunRequest, PipelineRunTransition
from holdfast.wire.types import Page


@dataclass(frozen=True)
class PipelineRunService:
    """The part of `ports.Runs` that is about PipelineRuns."""

    transactions: Transactions

    def create_pipeline_run(self, name: str, request: PipelineRunRequest, *, key: str | None = None) -> PipelineRun:
        """Record an Airflow DagRun; the same dag id and run id are the PipelineRun there is already, whose end a new try does not undo."""

        def apply(change: Change) -> PipelineRun:
            same = select(*PipelineRunRow.__table__.c).where(
                PipelineRunRow.project_id == change.project,
                PipelineRunRow.dag_id == request.dag_id,
                PipelineRunRow.run_id == request.run_id,
            )
            if (row := change.connection.execute(same).one_or_none()) is not None:
                change.nothing_changed()
                return mapping.pipeline_run_of(row, name)
            row = change.connection.execute(
                insert(PipelineRunRow)
                .values(
                    id=new_id(),
                    project_id=change.project,
                    state=PipelineRunState.RUNNING,
                    **request.model_dump(mode="json"),
                )
                .returning(*PipelineRunRow.__table__.c)
            ).one()
            content = request.model_dump(mode="json", exclude={"parameters"})
            change.record(AuditAction.PIPELINE_RUN_CREATED, "pipeline_run", row.id, content)
            return mapping.pipeline_run_of(row, name)

        return self.transactions.change(
            "runs.create_pipeline_run",
            Permission.RUN_WRITE,
            name,
            request,
            key,
            PipelineRun,
            apply,
            turn=f"pipeline_run/{request.dag_id}/{request.run_id}",
        )

    def change_pipeline_run(
        self, name: str, pipeline_run: UUID, request: PipelineRunTransition, *, key: str | None = None
    ) -> PipelineRun:
        """Take a PipelineRun to another state; the state it has already stays.

        With its end, no Run of it stays open: one whose execution has not reported an end becomes `unknown`. News of an end may come
        late, when tasks have been cleared and run again; Runs that were created after `ended_at` are theirs and stay as they are.

        Raises:
            NotFound: there is no such PipelineRun.
            StateConflict: it may not go to that state.
        """

        def apply(change: Change) -> PipelineRun:
            here = (PipelineRunRow.project_id == change.project) & (PipelineRunRow.id == pipeline_run)
            row = change.connection.execute(
                select(*PipelineRunRow.__table__.c).where(here).with_for_update(key_share=True)
            ).one_or_none()
            if row is None:
                raise _missing(name, pipeline_run)
            if row.state == request.state:
                change.nothing_changed()
                return mapping.pipeline_run_of(row, name)
            check_pipeline_run_transition(str(pipeline_run), PipelineRunState(row.state), request.state)
            values: dict[str, Any] = {
                "state": request.state,
                "ended_at": func.now() if is_terminal(request.state) else None,
            }
            after = change.connection.execute(
                update(PipelineRunRow).where(here).values(values).returning(*PipelineRunRow.__table__.c)
            ).one()
            content = {"before": row.state, "after": request.state.value}
            change.record(
                AuditAction.PIPELINE_RUN_CHANGED, "pipeline_run", pipeline_run, content, reason=request.reason
            )
            if is_terminal(request.state):
                cause = f"the PipelineRun became {request.state} before this Run reported its end"
                lose_open_runs(change, pipeline_run, request.ended_at, cause)
            return mapping.pipeline_run_of(after, name)

        return self.transactions.change(
            f"runs.change_pipeline_run/{pipeline_run}", Permission.RUN_WRITE, name, request, key, PipelineRun, apply
        )

    def get_pipeline_run(self, name: str, pipeline_run: UUID) -> PipelineRun:
        """Return a PipelineRun; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            row = connection.execute(
                select(*PipelineRunRow.__table__.c).where(
                    PipelineRunRow.project_id == found.project_id, PipelineRunRow.id == pipeline_run
                )
            ).one_or_none()
            if row is None:
                raise _missing(name, pipeline_run)
            return mapping.pipeline_run_of(row, name)

    def list_pipeline_runs(
        self,
        name: str,
        *,
        dag_id: str | None = None,
        run_id: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[PipelineRun]:
        """Return PipelineRuns, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            statement = select(*PipelineRunRow.__table__.c).where(PipelineRunRow.project_id == found.project_id)
            if dag_id is not None:
                statement = statement.where(PipelineRunRow.dag_id == dag_id)
            if run_id is not None:
                statement = statement.where(PipelineRunRow.run_id == run_id)
            return page_of(
                connection,
                statement,
                PipelineRunRow.id,
                lambda row: mapping.pipeline_run_of(row, name),
                limit=limit,
                cursor=cursor,
            )


def find_open(engine: Engine, dag_id: str, run_id: str) -> list[tuple[str, UUID]]:
    """Return Project and id of every PipelineRun of a DagRun that has not ended; a DagRun may have one in each Project."""
    # By way of the Projects, because the index that finds a DagRun begins with its Project.
    statement = (
        select(ProjectRow.name, PipelineRunRow.id)
        .join(PipelineRunRow, PipelineRunRow.project_id == ProjectRow.id)
        .where(PipelineRunRow.dag_id == dag_id, PipelineRunRow.run_id == run_id, PipelineRunRow.ended_at.is_(None))
    )
    with translate(), engine.connect() as connection:
        return [(row.name, row.id) for row in connection.execute(statement)]


def _missing(project: str, pipeline_run: UUID) -> NotFound:
    return NotFound(
        f"there is no PipelineRun {pipeline_run} in Project {project!r}", remedy="List them with GET /pipeline-runs"
    )
