"""What a Run is bound to: inputs, environment, policy, origin, and the seal over all of it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, insert, select

from holdfast.core.audit import AuditAction
from holdfast.core.canonical import Json
from holdfast.core.digest import parse, text_of
from holdfast.core.errors import InvalidRequest, NotFound
from holdfast.core.policy import (
    DataPlaneKind,
    EnvironmentKind,
    ProjectClass,
    RunFacts,
    check_run,
    decide_run,
    snapshot_document,
)
from holdfast.core.run import OriginReason
from holdfast.core.seal import seal_document
from holdfast.service.lost import lose_run
from holdfast.service.transaction import Change, new_id
from holdfast.store.prepared import Prepared
from holdfast.store.queries.runs import newest_try, pipeline_run_named
from holdfast.store.tables import PolicySnapshotRow
from holdfast.wire.canonical import document_digest
from holdfast.wire.run import RunRequest

ISOLATION = {DataPlaneKind.LOCAL: "none", DataPlaneKind.KUBERNETES: "pod"}


@dataclass(frozen=True, slots=True)
class Bindings:
    """A Run's bindings, resolved."""

    environment_lock: UUID
    environment_name: str
    environment_number: int
    environment_kind: str
    environment_reference: str
    environment_digest: bytes
    policy_snapshot: UUID
    policy_digest: bytes
    data_plane: str
    isolation: str
    inputs: list[dict[str, Any]]
    origin_run: UUID | None
    origin_reason: str | None
    seal: bytes


def bind_run(change: Change, project: str, request: RunRequest, found: Row[Any]) -> Bindings:
    """Return the bindings of a Run that is about to be created.

    Args:
        change: the creation.
        project: the Project's name.
        request: the Run asked for.
        found: what `surroundings_of` found for it.

    Raises:
        InvalidRequest: a binding names nothing in this Project, an input has another digest or is no longer there.
        PolicyViolation: a rule refuses the Run.
    """
    if found.environment is None:
        raise InvalidRequest(
            f"Project {project!r} has no EnvironmentLock {request.environment!r}",
            remedy="Make one with `holdfast environment lock`",
        )
    inputs = _bind_inputs(project, request, found)
    facts = RunFacts(
        project_class=ProjectClass(change.found.project_class),
        data_plane=DataPlaneKind(change.found.data_plane),
        has_commit=request.code is not None,
        environment_kind=EnvironmentKind(found.environment_kind),
        has_inputs=bool(inputs),
        is_scheduled=request.pipeline_run is not None,
    )
    decisions = decide_run(facts)
    check_run(project, decisions)
    policy, policy_digest = take_snapshot(change, snapshot_document(project, facts, decisions))
    origin_run, origin_reason = _bind_origin(change, project, request, found)
    seal = document_digest(
        seal_document(
            project=project,
            code=request.code.model_dump(mode="json") if request.code else None,
            environment_digest=text_of(found.environment_digest),
            command=list(request.command),
            inputs={row["name"]: text_of(row["digest"]) for row in inputs},
            parameters=request.parameters,
            outputs=request.outputs,
            resources=request.resources,
            policy_digest=text_of(policy_digest),
        )
    )
    return Bindings(
        environment_lock=found.environment,
        environment_name=found.environment_name,
        environment_number=found.environment_number,
        environment_kind=found.environment_kind,
        environment_reference=found.environment_reference,
        environment_digest=found.environment_digest,
        policy_snapshot=policy,
        policy_digest=policy_digest,
        data_plane=facts.data_plane.value,
        isolation=ISOLATION[facts.data_plane],
        inputs=inputs,
        origin_run=origin_run,
        origin_reason=origin_reason,
        seal=seal,
    )


_SNAPSHOT = Prepared(
    select(PolicySnapshotRow.id).where(
        PolicySnapshotRow.project_id == bindparam("in_project"), PolicySnapshotRow.digest == bindparam("digest")
    )
)


def take_snapshot(change: Change, document: dict[str, Json]) -> tuple[UUID, bytes]:
    """Return id and digest of the PolicySnapshot with this content, taken now if there is none yet."""
    digest = document_digest(document)
    here = {"in_project": change.project, "digest": digest}
    if (found := _SNAPSHOT.scalar(change.connection, here)) is not None:
        return found, digest
    change.serialise("policy_snapshot", digest.hex())
    if (found := _SNAPSHOT.scalar(change.connection, here)) is not None:
        return found, digest
    identity = new_id()
    change.connection.execute(
        insert(PolicySnapshotRow).values(id=identity, project_id=change.project, digest=digest, content=document)
    )
    change.record(AuditAction.POLICY_SNAPSHOT_TAKEN, "policy_snapshot", identity, {"digest": text_of(digest)})
    return identity, digest


def _bind_inputs(project: str, request: RunRequest, found: Row[Any]) -> list[dict[str, Any]]:
    rows = []
    for name, ref in request.inputs.items():
        identity = ref.dataset_version or ref.artifact
        kind = "DatasetVersion" if ref.dataset_version else "Artifact"
        there = (found.dataset_versions if ref.dataset_version else found.artifacts) or {}
        if str(identity) not in there:
            raise InvalidRequest(
                f"input {name!r}: Project {project!r} has no {kind} {identity}",
                remedy="References never cross Projects",
            )
        digest, state = bytes.fromhex(there[str(identity)][0]), there[str(identity)][1]
        if state in ("expired", "purged"):
            raise InvalidRequest(f"input {name!r}: {kind} {identity} is {state}", remedy="Bind one that is available")
        if ref.digest is not None and parse(ref.digest) != digest:
            raise InvalidRequest(
                f"input {name!r}: {kind} {identity} has digest {text_of(digest)}, not {ref.digest}",
                remedy="Read it again; what is recorded does not change",
                details={"recorded_digest": text_of(digest), "request_digest": ref.digest},
            )
        rows.append(
            {"name": name, "dataset_version_id": ref.dataset_version, "artifact_id": ref.artifact, "digest": digest}
        )
    return rows


def _bind_origin(change: Change, project: str, request: RunRequest, found: Row[Any]) -> tuple[UUID | None, str | None]:
    if request.pipeline_run is None:
        return None, None
    if found.dag_id is None:
        raise NotFound(
            f"there is no PipelineRun {request.pipeline_run} in Project {project!r}", remedy="Create it first"
        )
    if found.earlier_run is not None:
        # Airflow starts a new try only when the old one's process is gone.
        cause = f"try {request.try_number} began before this Run reported its end"
        lose_run(change, found.earlier_run, found.earlier_state, cause)
        return found.earlier_run, (request.origin_reason or OriginReason.RETRY).value
    if request.rerun_of is None:
        return None, None
    again = pipeline_run_named(change.connection, change.project, found.dag_id, request.rerun_of)
    if again is None:
        raise InvalidRequest(
            f"rerun_of names DagRun {request.rerun_of!r} of {found.dag_id!r}, which has no PipelineRun",
            remedy="Give the run id of one that ran",
        )
    origin = newest_try(change.connection, again, request.task_id, request.map_index)
    return (origin, OriginReason.RERUN.value) if origin is not None else (None, None)
