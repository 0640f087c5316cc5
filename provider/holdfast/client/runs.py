"""EnvironmentLocks, PipelineRuns and Runs over HTTP."""

from dataclasses import dataclass
from uuid import UUID

from holdfast.client.transport import Transport
from holdfast.ports import DEFAULT_LIMIT
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
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class RunClient:
    """Implements `ports.Runs`."""

    transport: Transport

    def lock_environment(self, name: str, request: EnvironmentRequest, *, key: str | None = None) -> EnvironmentLock:
        """Lock an environment."""
        return self.transport.post(f"/projects/{name}/environments", EnvironmentLock, request, key)

    def list_environments(
        self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[EnvironmentLock]:
        """Return EnvironmentLocks."""
        return self.transport.get(
            f"/projects/{name}/environments", Page[EnvironmentLock], {"limit": limit, "cursor": cursor}
        )

    def create_pipeline_run(self, name: str, request: PipelineRunRequest, *, key: str | None = None) -> PipelineRun:
        """Record an Airflow DagRun."""
        return self.transport.post(f"/projects/{name}/pipeline-runs", PipelineRun, request, key)

    def change_pipeline_run(
        self, name: str, pipeline_run: UUID, request: PipelineRunTransition, *, key: str | None = None
    ) -> PipelineRun:
        """Take a PipelineRun to another state."""
        return self.transport.post(
            f"/projects/{name}/pipeline-runs/{pipeline_run}/transitions", PipelineRun, request, key
        )

    def get_pipeline_run(self, name: str, pipeline_run: UUID) -> PipelineRun:
        """Return a PipelineRun."""
        return self.transport.get(f"/projects/{name}/pipeline-runs/{pipeline_run}", PipelineRun)

    def list_pipeline_runs(
        self,
        name: str,
        *,
        dag_id: str | None = None,
        run_id: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[PipelineRun]:
        """Return PipelineRuns."""
        return self.transport.get(
            f"/projects/{name}/pipeline-runs",
            Page[PipelineRun],
            {"dag_id": dag_id, "run_id": run_id, "limit": limit, "cursor": cursor},
        )

    def create(self, name: str, request: RunRequest, *, key: str | None = None) -> Run:
        """Create a Run with all its bindings, or have it refused."""
        return self.transport.post(f"/projects/{name}/runs", Run, request, key or request.idempotency_key)

    def start(self, name: str, run: UUID, request: RunStart, *, key: str | None = None) -> Run:
        """Say that user code is about to start."""
        return self.transport.post(f"/projects/{name}/runs/{run}/start", Run, request, key)

    def change(self, name: str, run: UUID, request: RunTransition, *, key: str | None = None) -> Run:
        """Take a Run to queued, unknown or reconciling."""
        return self.transport.post(f"/projects/{name}/runs/{run}/transitions", Run, request, key)

    def finish(self, name: str, run: UUID, request: RunFinish, *, key: str | None = None) -> Run:
        """End a Run and register its Artifacts."""
        return self.transport.post(f"/projects/{name}/runs/{run}/finish", Run, request, key)

    def get(self, name: str, run: UUID) -> Run:
        """Return a Run."""
        return self.transport.get(f"/projects/{name}/runs/{run}", Run)

    def list(
        self,
        name: str,
        *,
        pipeline_run: UUID | None = None,
        task_id: str | None = None,
        map_index: int | None = None,
        state: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Run]:
        """Return Runs."""
        return self.transport.get(
            f"/projects/{name}/runs",
            Page[Run],
            {
                "pipeline_run": pipeline_run,
                "task_id": task_id,
                "map_index": map_index,
                "state": state,
                "limit": limit,
                "cursor": cursor,
            },
        )

    def list_open(
        self, name: str, *, data_plane: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[OpenRun]:
        """Return Runs that have not ended, and only which."""
        query = {"data_plane": data_plane, "limit": limit, "cursor": cursor}
        return self.transport.get(f"/projects/{name}/open-runs", Page[OpenRun], query)

    def standings(self, name: str, request: RunIds) -> RunStandings:
        """Return those of some Runs that there are, and which newer tries have superseded them."""
        return self.transport.post(f"/projects/{name}/runs/standings", RunStandings, request, None)

    def get_policy_snapshot(self, name: str, digest: str) -> PolicySnapshot:
        """Return the PolicySnapshot that a Run's policy_digest names."""
        return self.transport.get(f"/projects/{name}/policy-snapshots/{digest}", PolicySnapshot)

    def stage(self, name: str, run: UUID) -> Staging:
        """Return what an agent needs to put the inputs in place."""
        return self.transport.get(f"/projects/{name}/runs/{run}/staging", Staging)

    def grant_uploads(self, name: str, run: UUID, request: UploadRequest) -> Grants:
        """Return leave to store a Run's outputs."""
        return self.transport.post(f"/projects/{name}/runs/{run}/uploads", Grants, request, None)

    def complete_uploads(self, name: str, run: UUID, request: UploadCompletion) -> StoredFiles:
        """Put uploads together from their parts and return where the files are."""
        return self.transport.post(f"/projects/{name}/runs/{run}/uploads/complete", StoredFiles, request, None)
