"""EnvironmentLocks, PipelineRuns and Runs."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from holdfast.core.policy import DataPlaneKind
from holdfast.core.run import RunState
from holdfast.wire.pod import OpenRun, RunIds, RunStandings
from holdfast.wire.run import (
    EnvironmentLock,
    EnvironmentRequest,
    Grants,
    PipelineRun,
    PipelineRunRequest,
    PipelineRunTransition,
    PolicySnapshot,
    Run,
    RunFinish,
    RunRequest,
    RunStart,
    RunTransition,
    Staging,
    StoredFiles,
    UploadCompletion,
    UploadRequest,
)
from holdfast.wire.types import Digest, Page
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Key, Limit, router

routes = router("runs")


@routes.post("/projects/{project}/environments", status_code=201)
def lock_environment(project: str, request: EnvironmentRequest, governed: Governed, key: Key) -> EnvironmentLock:
    """Lock an environment."""
    return governed.runs.lock_environment(project, request, key=key)


@routes.get("/projects/{project}/environments")
def list_environments(
    project: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[EnvironmentLock]:
    """List EnvironmentLocks."""
    return governed.runs.list_environments(project, limit=limit, cursor=cursor)


@routes.post("/projects/{project}/pipeline-runs", status_code=201)
def create_pipeline_run(project: str, request: PipelineRunRequest, governed: Governed, key: Key) -> PipelineRun:
    """Record an Airflow DagRun."""
    return governed.runs.create_pipeline_run(project, request, key=key)


@routes.get("/projects/{project}/pipeline-runs")
def list_pipeline_runs(
    project: str,
    governed: Governed,
    dag_id: str | None = None,
    run_id: str | None = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[PipelineRun]:
    """List PipelineRuns."""
    return governed.runs.list_pipeline_runs(project, dag_id=dag_id, run_id=run_id, limit=limit, cursor=cursor)


@routes.get("/projects/{project}/pipeline-runs/{pipeline_run}")
def get_pipeline_run(project: str, pipeline_run: UUID, governed: Governed) -> PipelineRun:
    """Show a PipelineRun."""
    return governed.runs.get_pipeline_run(project, pipeline_run)


@routes.post("/projects/{project}/pipeline-runs/{pipeline_run}/transitions")
def change_pipeline_run(
    project: str, pipeline_run: UUID, request: PipelineRunTransition, governed: Governed, key: Key
) -> PipelineRun:
    """Take a PipelineRun to another state."""
    return governed.runs.change_pipeline_run(project, pipeline_run, request, key=key)


@routes.post("/projects/{project}/runs", status_code=201)
def create_run(project: str, request: RunRequest, governed: Governed, key: Key) -> Run:
    """Create a Run with all its bindings, or have it refused."""
    return governed.runs.create(project, request, key=key)


@routes.get("/projects/{project}/runs")
def list_runs(
    project: str,
    governed: Governed,
    pipeline_run: UUID | None = None,
    task_id: Annotated[str | None, Query(max_length=250)] = None,
    map_index: Annotated[int | None, Query(ge=-1, le=2**31 - 1)] = None,
    state: RunState | None = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[Run]:
    """List Runs."""
    return governed.runs.list(
        project,
        pipeline_run=pipeline_run,
        task_id=task_id,
        map_index=map_index,
        state=state,
        limit=limit,
        cursor=cursor,
    )


@routes.get("/projects/{project}/runs/{run}")
def get_run(project: str, run: UUID, governed: Governed) -> Run:
    """Show a Run."""
    return governed.runs.get(project, run)


@routes.get("/projects/{project}/open-runs")
def list_open_runs(
    project: str,
    governed: Governed,
    data_plane: DataPlaneKind | None = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[OpenRun]:
    """List which Runs have not ended, and nothing more of them."""
    return governed.runs.list_open(project, data_plane=data_plane, limit=limit, cursor=cursor)


@routes.post("/projects/{project}/runs/standings")
def list_run_standings(project: str, request: RunIds, governed: Governed) -> RunStandings:
    """Show those of some Runs that there are, and which newer tries have superseded them; changes nothing."""
    return governed.runs.standings(project, request)


@routes.get("/projects/{project}/policy-snapshots/{digest}")
def get_policy_snapshot(project: str, digest: Digest, governed: Governed) -> PolicySnapshot:
    """Show the PolicySnapshot that a Run's policy_digest names."""
    return governed.runs.get_policy_snapshot(project, digest)


@routes.post("/projects/{project}/runs/{run}/start")
def start_run(project: str, run: UUID, request: RunStart, governed: Governed, key: Key) -> Run:
    """Say that user code is about to start, under a fence."""
    return governed.runs.start(project, run, request, key=key)


@routes.post("/projects/{project}/runs/{run}/transitions")
def change_run(project: str, run: UUID, request: RunTransition, governed: Governed, key: Key) -> Run:
    """Take a Run to queued, unknown or reconciling."""
    return governed.runs.change(project, run, request, key=key)


@routes.post("/projects/{project}/runs/{run}/finish")
def finish_run(project: str, run: UUID, request: RunFinish, governed: Governed, key: Key) -> Run:
    """End a Run and register its Artifacts."""
    return governed.runs.finish(project, run, request, key=key)


@routes.get("/projects/{project}/runs/{run}/staging")
def stage_run(project: str, run: UUID, governed: Governed) -> Staging:
    """Show what the Run's agent needs to put its inputs in place; holds grants."""
    return governed.runs.stage(project, run)


@routes.post("/projects/{project}/runs/{run}/uploads")
def grant_uploads(project: str, run: UUID, request: UploadRequest, governed: Governed) -> Grants:
    """Give leave to store a Run's outputs; nothing is recorded, so it needs no idempotency key."""
    return governed.runs.grant_uploads(project, run, request)


@routes.post("/projects/{project}/runs/{run}/uploads/complete")
def complete_uploads(project: str, run: UUID, request: UploadCompletion, governed: Governed) -> StoredFiles:
    """Put uploads together from their parts; again it is the same answer, so it needs no idempotency key."""
    return governed.runs.complete_uploads(project, run, request)
