"""Runs: created with all their bindings or refused, started under a fence, ended together with their Artifacts."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.digest import parse, text_of
from holdfast.core.errors import IntegrityViolation, NotFound, StateConflict
from holdfast.core.run import RunState, is_terminal
from holdfast.ports import DEFAULT_LIMIT
from holdfast.service.bindings import Bindings, bind_run
from holdfast.service.environments import EnvironmentService
from holdfast.service.outputs import artifact_rows, check_outputs, find_unstored, give_up_uploads
from holdfast.service.pipeline_runs import PipelineRunService
from holdfast.service.run_states import move
from holdfast.service.staging import StagingService
from holdfast.service.transaction import Change, new_id
from holdfast.store import mapping
from holdfast.store.insert import insert_rows, insert_whole
from holdfast.store.queries.page import page_of
from holdfast.store.queries.runs import RUNS, run_by_id, standing_of, surroundings_of
from holdfast.store.tables import ArtifactRow, PolicySnapshotRow, RunInputRow, RunRow
from holdfast.wire.canonical import document_digest
from holdfast.wire.pod import OpenRun, RunIds, RunStanding, RunStandings
from holdfast.wire.run import Observed, PolicySnapshot, Run, RunFinish, RunRequest, RunStart, RunTransition
from holdfast.wire.types import Page

_OPEN = [state.value for state in RunState if not is_terminal(state)]
# Who reconciles ends Runs, and neither creates nor starts any.
_BY_EVIDENCE = (Permission.RUN_RECONCILE,)


@dataclass(frozen=True)
class RunService(EnvironmentService, PipelineRunService, StagingService):
    """Implements `ports.Runs`."""

    def create(self, name: str, request: RunRequest, *, key: str | None = None) -> Run:
        """Create a Run with all its bindings; the same try with the same request is the Run there is already.

        An earlier try that is still open becomes `unknown`: its task process is gone, and evidence has to say how it ended.

        Args:
            name: the Project.
            request: the bindings; its own idempotency_key is what a Run is identified by.
            key: the request's own, or another, which is then bound to this request as everywhere else.

        Raises:
            StateConflict: the try has a Run with other bindings (the details hold both digests).
            PolicyViolation: a rule refuses the Run.
            InvalidRequest: a binding names nothing in this Project, or another digest.
        """
        key = None if key == request.idempotency_key else key
        digest = document_digest(request.model_dump(mode="json"))

        def apply(change: Change) -> Run:
            found = surroundings_of(change.connection, change.project, request)
            if found.same_run is not None:
                change.nothing_changed()
                row = run_by_id(change.connection, change.project, name, found.same_run)
                return _same_request(row, digest, mapping.run_of(row, name))
            return self._insert(change, name, request, digest, bind_run(change, name, request, found))

        try:
            return self.transactions.change("runs.create", Permission.RUN_WRITE, name, request, key, Run, apply)
        except StateConflict as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            # Two creations of one try at the same time: the other one has committed, and now it is found.
            return self.transactions.change("runs.create", Permission.RUN_WRITE, name, request, key, Run, apply)

    @staticmethod
    def _insert(change: Change, name: str, request: RunRequest, digest: bytes, bindings: Bindings) -> Run:
        identity = new_id()
        code = request.code
        row = insert_whole(
            change.connection,
            RunRow,
            {
                "id": identity,
                "project_id": change.project,
                "pipeline_run_id": request.pipeline_run,
                "task_id": request.task_id,
                "map_index": request.map_index,
                "try_number": request.try_number,
                "idempotency_key": bytes.fromhex(request.idempotency_key),
                "request_digest": digest,
                "code_repository": code.repository if code else None,
                "code_commit": code.commit if code else None,
                "code_path": code.path if code else None,
                "environment_lock_id": bindings.environment_lock,
                "command": request.command,
                "parameters": request.parameters,
                "outputs": request.outputs,
                "resources": request.resources,
                "policy_snapshot_id": bindings.policy_snapshot,
                "data_plane": bindings.data_plane,
                "isolation": bindings.isolation,
                "origin_run_id": bindings.origin_run,
                "origin_reason": bindings.origin_reason,
                "created_by": change.caller.principal,
                "seal": bindings.seal,
                "state": RunState.CREATED,
            },
            RunInputRow,
            [{**bound, "run_id": identity, "project_id": change.project} for bound in bindings.inputs],
        )
        change.record(
            AuditAction.RUN_CREATED,
            "run",
            identity,
            {
                "seal": text_of(bindings.seal),
                "request_digest": text_of(digest),
                "pipeline_run": str(request.pipeline_run) if request.pipeline_run else None,
                "task_id": request.task_id,
                "map_index": request.map_index,
                "try_number": request.try_number,
                "commit": code.commit if code else None,
                "environment_digest": text_of(bindings.environment_digest),
                "policy_digest": text_of(bindings.policy_digest),
                "origin_run": str(bindings.origin_run) if bindings.origin_run else None,
                "origin_reason": bindings.origin_reason,
            },
        )
        return mapping.run_of(
            mapping.joined(
                row,
                environment_name=bindings.environment_name,
                environment_number=bindings.environment_number,
                environment_kind=bindings.environment_kind,
                environment_reference=bindings.environment_reference,
                environment_digest=bindings.environment_digest,
                policy_digest=bindings.policy_digest,
                inputs=[
                    {
                        "name": bound["name"],
                        "dataset_version": bound["dataset_version_id"],
                        "artifact": bound["artifact_id"],
                        "digest": bound["digest"].hex(),
                    }
                    for bound in bindings.inputs
                ],
            ),
            name,
        )

    def start(self, name: str, run: UUID, request: RunStart, *, key: str | None = None) -> Run:
        """Take a Run to `running` under a fence; under the same fence again it stays. Raises StateConflict under another one."""

        def apply(change: Change) -> Run:
            row = run_by_id(change.connection, change.project, name, run, lock=True)
            if row.state == RunState.RUNNING and row.fence == request.fence:
                change.nothing_changed()
                return mapping.run_of(row, name)
            if row.fence is not None and row.fence != request.fence:
                raise StateConflict(
                    f"Run {run} is held by another execution",
                    remedy="Let it end, or start a new try",
                    details={"state": row.state},
                )
            content = {"fence": request.fence}
            # Whoever goes on with a Run under its fence uses its secrets no second time.
            secrets = (row.resources.get("secrets") or {}) if row.fence is None else {}
            for variable, reference in sorted(secrets.items()):
                used = {"variable": str(variable), "secret": str(reference), "fence": request.fence}
                change.record(AuditAction.SECRET_USED, "run", run, used)
            return move(change, name, row, RunState.RUNNING, content, AuditAction.RUN_STARTED, content)

        return self.transactions.change(f"runs.start/{run}", Permission.RUN_WRITE, name, request, key, Run, apply)

    def change(self, name: str, run: UUID, request: RunTransition, *, key: str | None = None) -> Run:
        """Take a Run to queued, unknown or reconciling, with a cause and an owner; raises StateConflict where that is not allowed."""

        def apply(change: Change) -> Run:
            row = run_by_id(change.connection, change.project, name, run, lock=True)
            values = {"cause": request.cause, "owner": request.owner}
            return move(
                change,
                name,
                row,
                request.state,
                values,
                AuditAction.RUN_CHANGED,
                {"owner": request.owner},
                request.cause,
            )

        return self.transactions.change(
            f"runs.change/{run}", Permission.RUN_WRITE, name, request, key, Run, apply, or_by=_BY_EVIDENCE
        )

    def finish(self, name: str, run: UUID, request: RunFinish, *, key: str | None = None) -> Run:
        """End a Run and register its Artifacts, in one transaction.

        Raises:
            StateConflict: the Run has ended, or another execution holds it.
            InvalidRequest: an output is missing or was not declared.
            IntegrityViolation: what is stored is not what is to be registered.
        """
        with self.transactions.read(Permission.RUN_WRITE, name, *_BY_EVIDENCE) as (_, found):
            project_id = found.project_id
        unstored = find_unstored(self.objects, project_id, run, request.artifacts)

        def apply(change: Change) -> Run:
            row = run_by_id(change.connection, change.project, name, run, lock=True)
            check_outputs(run, row.outputs, request)
            if unstored is not None:
                raise unstored
            # Without a fence a Run is given up, or ended by evidence; that it succeeded, only its execution can say.
            is_outside = request.fence is None and (
                request.state is not RunState.SUCCEEDED or row.state == RunState.RECONCILING
            )
            if row.fence not in (None, request.fence) and not is_outside:
                raise StateConflict(f"Run {run} is held by another execution", remedy="Only that one may end it")
            values = {
                "exit_code": request.exit_code,
                "error_class": request.error_class,
                "cause": request.cause,
                "metrics": request.metrics,
                "observed": request.observed.model_dump(mode="json") if request.observed else None,
            }
            _check_image(row, request)
            content = {
                "exit_code": request.exit_code,
                "error_class": request.error_class.value if request.error_class else None,
                # An event's keys are ASCII: other names stand as JSON writes them in ASCII.
                "metrics": {json.dumps(metric)[1:-1]: repr(value) for metric, value in request.metrics.items()},
                "observed": _as_content(request.observed),
            }
            after = move(
                change, name, row, request.state, values, AuditAction.RUN_FINISHED, content, request.cause or ""
            )
            insert_rows(change.connection, ArtifactRow, artifact_rows(change, run, request.artifacts))
            return after

        after = self.transactions.change(
            f"runs.finish/{run}", Permission.RUN_WRITE, name, request, key, Run, apply, or_by=_BY_EVIDENCE
        )
        give_up_uploads(self.objects, project_id, run, request)
        return after

    def get(self, name: str, run: UUID) -> Run:
        """Return a Run; raises NotFound."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            return mapping.run_of(run_by_id(connection, found.project_id, name, run), name)

    def list_open(
        self, name: str, *, data_plane: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[OpenRun]:
        """Return Runs that have not ended, newest first, and only which: thousands of them are looked for at once."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            here = (RunRow.project_id == found.project_id) & RunRow.state.in_(_OPEN)
            columns: list[Any] = [RunRow.id, RunRow.state]
            statement = select(*columns).where(here)
            if data_plane is not None:
                statement = statement.where(RunRow.data_plane == data_plane)
            return page_of(connection, statement, RunRow.id, _open_run, limit=limit, cursor=cursor)

    def standings(self, name: str, request: RunIds) -> RunStandings:
        """Return those of some Runs that there are, each with the Run of a newer try of its task instance, in one statement."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            rows = standing_of(connection, found.project_id, request.runs)
        items = [
            RunStanding.model_construct(run=mapping.run_of(row, name), superseded_by=row.superseded_by) for row in rows
        ]
        return RunStandings.model_construct(items=items)

    def get_policy_snapshot(self, name: str, digest: str) -> PolicySnapshot:
        """Return the PolicySnapshot that a Run's policy_digest names; raises NotFound, InvalidRequest."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            row = connection.execute(
                select(PolicySnapshotRow.content, PolicySnapshotRow.created_at).where(
                    PolicySnapshotRow.project_id == found.project_id, PolicySnapshotRow.digest == parse(digest)
                )
            ).one_or_none()
        if row is None:
            raise NotFound(
                f"there is no PolicySnapshot {digest} in Project {name!r}", remedy="Take policy_digest from a Run"
            )
        return PolicySnapshot(project=name, digest=digest, content=row.content, created_at=row.created_at)

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
        """Return Runs, newest first."""
        with self.transactions.read(Permission.PROJECT_READ, name) as (connection, found):
            statement = RUNS.where(RunRow.project_id == found.project_id)
            if pipeline_run is not None:
                statement = statement.where(RunRow.pipeline_run_id == pipeline_run)
            if task_id is not None:
                statement = statement.where(RunRow.task_id == task_id)
            if map_index is not None:
                statement = statement.where(RunRow.map_index == map_index)
            if state is not None:
                statement = statement.where(RunRow.state == state)
            return page_of(
                connection, statement, RunRow.id, lambda row: mapping.run_of(row, name), limit=limit, cursor=cursor
            )


def _open_run(row: Any) -> OpenRun:
    return OpenRun.model_construct(id=row.id, state=RunState(row.state))


def _same_request(row: Any, digest: bytes, run: Run) -> Run:
    if row.request_digest != digest:
        raise StateConflict(
            f"this try has Run {run.id} already, with other bindings",
            remedy="A new try gets a new Run; what a Run is bound to never changes",
            details={
                "recorded_digest": text_of(row.request_digest),
                "request_digest": text_of(digest),
                "run": str(run.id),
            },
        )
    return run


def _check_image(row: Any, request: RunFinish) -> None:
    """Return when a Run that succeeded was seen to run on the image that it was bound to; raises IntegrityViolation."""
    seen = request.observed.image_digest if request.observed else None
    bound = row.environment_reference.rpartition("@")[2]
    if request.state is RunState.SUCCEEDED and seen is not None and seen != bound:
        raise IntegrityViolation(
            f"Run {row.id} ran on another image than it was bound to",
            remedy="Find out who changed its pod; nothing that it made is registered",
            details={"bound_digest": bound, "observed_digest": seen},
        )


def _as_content(observed: Observed | None) -> dict[str, Any] | None:
    """Return what was observed as it stands in an event, which holds no fractions."""
    if observed is None:
        return None
    seen = observed.model_dump(mode="json", exclude_none=True)
    return {**seen, "cpu_seconds": repr(seen["cpu_seconds"])} if "cpu_seconds" in seen else seen
