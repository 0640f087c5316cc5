"""Runs with what they are bound to, and the lookups that creating one needs."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, func, select

from holdfast.core.errors import NotFound
from holdfast.store.tables import (
    ArtifactRow,
    DatasetVersionRow,
    EnvironmentLockRow,
    PipelineRunRow,
    PolicySnapshotRow,
    RunInputRow,
    RunRow,
)

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
        EnvironmentLockRow.digest.label("environment_digest"),
        PolicySnapshotRow.digest.label("policy_digest"),
        _inputs.label("inputs"),
    )
    .join(EnvironmentLockRow, EnvironmentLockRow.id == RunRow.environment_lock_id)
    .join(PolicySnapshotRow, PolicySnapshotRow.id == RunRow.policy_snapshot_id)
)


def run_by_id(
    connection: Connection, project_id: UUID | None, project: str, run: UUID, *, lock: bool = False
) -> Row[Any]:
    """Return a row of RUNS, its Run locked against other changes when asked; raises NotFound."""
    statement = RUNS.where(RunRow.project_id == project_id, RunRow.id == run)
    row = connection.execute(statement.with_for_update(of=RunRow) if lock else statement).one_or_none()
    if row is None:
        raise NotFound(f"there is no Run {run} in Project {project!r}", remedy="List them with `holdfast run list`")
    return row


def run_by_key(connection: Connection, project_id: UUID, idempotency_key: bytes) -> Row[Any] | None:
    """Return the Run that has been created for a try, if any."""
    return connection.execute(
        RUNS.where(RunRow.project_id == project_id, RunRow.idempotency_key == idempotency_key)
    ).one_or_none()


def newest_environment(connection: Connection, project_id: UUID, name: str) -> Row[Any] | None:
    """Return the newest EnvironmentLock of a name."""
    return connection.execute(
        select(*EnvironmentLockRow.__table__.c)
        .where(EnvironmentLockRow.project_id == project_id, EnvironmentLockRow.name == name)
        .order_by(EnvironmentLockRow.number.desc())
        .limit(1)
    ).one_or_none()


def digests_of(
    connection: Connection, project_id: UUID, dataset_versions: Iterable[UUID], artifacts: Iterable[UUID]
) -> dict[UUID, tuple[bytes, str]]:
    """Return digest and state of the DatasetVersions and Artifacts that are in the Project."""
    found = {}
    for table, wanted in ((DatasetVersionRow, list(dataset_versions)), (ArtifactRow, list(artifacts))):
        if wanted:
            rows = connection.execute(
                select(table.id, table.digest, table.state).where(table.project_id == project_id, table.id.in_(wanted))
            )
            found.update({row.id: (row.digest, row.state) for row in rows})
    return found


def earlier_try(connection: Connection, pipeline_run: UUID, task_id: str, map_index: int, before: int | None) -> Any:
    """Return the newest Run of a task instance, or the newest one before a try."""
    statement = select(RunRow.id, RunRow.state, RunRow.try_number).where(
        RunRow.pipeline_run_id == pipeline_run, RunRow.task_id == task_id, RunRow.map_index == map_index
    )
    if before is not None:
        statement = statement.where(RunRow.try_number < before)
    return connection.execute(statement.order_by(RunRow.try_number.desc(), RunRow.id.desc()).limit(1)).one_or_none()


def pipeline_run_named(connection: Connection, project_id: UUID, dag_id: str, run_id: str) -> UUID | None:
    """Return the id of a PipelineRun by Airflow's identity."""
    return connection.scalar(
        select(PipelineRunRow.id).where(
            PipelineRunRow.project_id == project_id, PipelineRunRow.dag_id == dag_id, PipelineRunRow.run_id == run_id
        )
    )
