"""Runs with what they are bound to, and the lookups that creating one needs."""

from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Label, Select, Uuid, and_, bindparam, func, literal, select, true
from sqlalchemy.orm import aliased

from holdfast.core.errors import NotFound
from holdfast.store.prepared import Prepared
from holdfast.store.tables import (
    ArtifactRow,
    DatasetVersionRow,
    EnvironmentLockRow,
    PipelineRunRow,
    PolicySnapshotRow,
    RunInputRow,
    RunRow,
)
from holdfast.wire.run import RunRequest

_inputs = (
    select(
        func.jsonb_agg(
            func.jsonb_build_object(
                "name",
                RunInputRow.name,
                "dataset_version",
                RunInputRow.dataset_version_id,
                "artifact",
                RunInputRow.artifact_id,
                "digest",
                func.encode(RunInputRow.digest, "hex"),
            )
        )
    )
    .where(RunInputRow.run_id == RunRow.id)
    .correlate(RunRow)
    .scalar_subquery()
)
RUNS: Select[Any] = (
    select(
        *RunRow.__table__.c,
        EnvironmentLockRow.name.label("environment_name"),
        EnvironmentLockRow.number.label("environment_number"),
        EnvironmentLockRow.kind.label("environment_kind"),
        EnvironmentLockRow.reference.label("environment_reference"),
        EnvironmentLockRow.digest.label("environment_digest"),
        PolicySnapshotRow.digest.label("policy_digest"),
        _inputs.label("inputs"),
    )
    .join(EnvironmentLockRow, EnvironmentLockRow.id == RunRow.environment_lock_id)
    .join(PolicySnapshotRow, PolicySnapshotRow.id == RunRow.policy_snapshot_id)
)


# Statements that stand here are built once; building one costs more than running it.
_HERE = (RunRow.project_id == bindparam("in_project"), RunRow.id == bindparam("run"))
_BY_ID = Prepared(RUNS.where(*_HERE))
_BY_ID_LOCKED = Prepared(RUNS.where(*_HERE).with_for_update(of=RunRow))
_OUTPUTS = Prepared(select(RunRow.state, RunRow.outputs).where(*_HERE))

_environment = (
    select(
        EnvironmentLockRow.id,
        EnvironmentLockRow.name,
        EnvironmentLockRow.number,
        EnvironmentLockRow.kind,
        EnvironmentLockRow.reference,
        EnvironmentLockRow.digest,
    )
    .where(
        EnvironmentLockRow.project_id == bindparam("in_project"), EnvironmentLockRow.name == bindparam("environment")
    )
    .order_by(EnvironmentLockRow.number.desc())
    .limit(1)
    .lateral("environment")
)
_same = aliased(RunRow, name="same")
_earlier = aliased(RunRow, name="earlier")
_before = (
    select(_earlier.id, _earlier.state)
    .where(
        _earlier.pipeline_run_id == PipelineRunRow.id,
        _earlier.task_id == bindparam("task_id"),
        _earlier.map_index == bindparam("map_index"),
        _earlier.try_number < bindparam("try_number"),
    )
    .order_by(_earlier.try_number.desc(), _earlier.id.desc())
    .limit(1)
    .lateral("before")
)


def _inputs_among(table: type[DatasetVersionRow | ArtifactRow], wanted: str) -> Label[Any]:
    """Return digest (hexadecimal) and state of those that are in the Project, by id."""
    facts = func.jsonb_build_array(func.encode(table.digest, "hex"), table.state)
    here = table.project_id == bindparam("in_project")
    found = select(func.jsonb_object_agg(table.id, facts)).where(
        here, table.id == func.any(bindparam(wanted, type_=ARRAY(Uuid)))
    )
    return found.scalar_subquery().label(wanted)


_ONE = select(literal(1).label("one")).subquery()
_SURROUNDINGS = Prepared(
    select(
        _same.id.label("same_run"),
        _environment.c.id.label("environment"),
        _environment.c.name.label("environment_name"),
        _environment.c.number.label("environment_number"),
        _environment.c.kind.label("environment_kind"),
        _environment.c.reference.label("environment_reference"),
        _environment.c.digest.label("environment_digest"),
        PipelineRunRow.dag_id,
        _before.c.id.label("earlier_run"),
        _before.c.state.label("earlier_state"),
        _inputs_among(DatasetVersionRow, "dataset_versions"),
        _inputs_among(ArtifactRow, "artifacts"),
    )
    .select_from(_ONE)
    .outerjoin(
        _same, and_(_same.project_id == bindparam("in_project"), _same.idempotency_key == bindparam("idempotency_key"))
    )
    .outerjoin(_environment, true())
    .outerjoin(
        PipelineRunRow,
        and_(PipelineRunRow.project_id == bindparam("in_project"), PipelineRunRow.id == bindparam("pipeline_run")),
    )
    .outerjoin(_before, true())
)

_newer = aliased(RunRow, name="newer")
_superseded_by = (
    select(_newer.id)
    .where(
        _newer.pipeline_run_id == RunRow.pipeline_run_id,
        _newer.task_id == RunRow.task_id,
        _newer.map_index == RunRow.map_index,
        _newer.try_number > RunRow.try_number,
    )
    .order_by(_newer.try_number.desc(), _newer.id.desc())
    .limit(1)
    .correlate(RunRow)
    .scalar_subquery()
    .label("superseded_by")
)
_STANDING = Prepared(
    RUNS.add_columns(_superseded_by).where(
        RunRow.project_id == bindparam("in_project"), RunRow.id == func.any(bindparam("runs", type_=ARRAY(Uuid)))
    )
)


def standing_of(connection: Connection, project_id: UUID | None, runs: list[UUID]) -> Any:
    """Return the rows of RUNS that have these ids, each with `superseded_by`."""
    return _STANDING.all(connection, {"in_project": project_id, "runs": runs})


def run_by_id(connection: Connection, project_id: UUID | None, project: str, run: UUID, *, lock: bool = False) -> Any:
    """Return a row of RUNS, its Run locked against other changes when asked; raises NotFound."""
    statement = _BY_ID_LOCKED if lock else _BY_ID
    row = statement.one_or_none(connection, {"in_project": project_id, "run": run})
    if row is None:
        raise _no_run(run, project)
    return row


def outputs_of(connection: Connection, project_id: UUID | None, project: str, run: UUID) -> Any:
    """Return a Run's state and declared outputs; raises NotFound."""
    row = _OUTPUTS.one_or_none(connection, {"in_project": project_id, "run": run})
    if row is None:
        raise _no_run(run, project)
    return row


def _no_run(run: UUID, project: str) -> NotFound:
    return NotFound(f"there is no Run {run} in Project {project!r}", remedy="List them with `holdfast run list`")


def surroundings_of(connection: Connection, project_id: UUID, request: RunRequest) -> Any:
    """Return what there is already around a Run that is to be created, in one round trip.

    That is the Run of the same try (`same_run`), the newest EnvironmentLock of the name, the PipelineRun's Dag, the Run of the newest
    earlier try of the same task instance, each None where there is none; and those of its inputs that are there (`dataset_versions`,
    `artifacts`), with digest and state by id.
    """
    inputs = request.inputs.values()
    return _SURROUNDINGS.one(
        connection,
        {
            "in_project": project_id,
            "idempotency_key": bytes.fromhex(request.idempotency_key),
            "environment": request.environment,
            "pipeline_run": request.pipeline_run,
            "task_id": request.task_id,
            "map_index": request.map_index,
            "try_number": request.try_number,
            "dataset_versions": [ref.dataset_version for ref in inputs if ref.dataset_version is not None],
            "artifacts": [ref.artifact for ref in inputs if ref.artifact is not None],
        },
    )


def newest_try(connection: Connection, pipeline_run: UUID, task_id: str, map_index: int) -> UUID | None:
    """Return the newest Run of a task instance."""
    return connection.scalar(
        select(RunRow.id)
        .where(RunRow.pipeline_run_id == pipeline_run, RunRow.task_id == task_id, RunRow.map_index == map_index)
        .order_by(RunRow.try_number.desc(), RunRow.id.desc())
        .limit(1)
    )


def pipeline_run_named(connection: Connection, project_id: UUID, dag_id: str, run_id: str) -> UUID | None:
    """Return the id of a PipelineRun by Airflow's identity."""
    return connection.scalar(
        select(PipelineRunRow.id).where(
            PipelineRunRow.project_id == project_id, PipelineRunRow.dag_id == dag_id, PipelineRunRow.run_id == run_id
        )
    )
