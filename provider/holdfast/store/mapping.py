"""From rows to wire models."""

import json
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Row

from holdfast.core.digest import text_of
from holdfast.core.policy import DataPlaneKind, EnvironmentKind, ProjectClass
from holdfast.core.run import ErrorClass, OriginReason, RunState
from holdfast.wire import artifact, audit, dataset, model, project, retention, run


def joined(row: Row[Any], **more: Any) -> SimpleNamespace:
    """Return a row together with other columns, which win: what a SELECT after the change would show, without asking for it."""
    return SimpleNamespace(**{**row._asdict(), **more})


def project_of(row: Row[Any]) -> project.Project:
    """Return a Project."""
    return project.Project.model_construct(
        id=row.id,
        name=row.name,
        owner=row.owner,
        project_class=ProjectClass(row.project_class),
        data_plane=DataPlaneKind(row.data_plane),
        namespace=row.namespace,
        created_at=row.created_at,
        archived_at=row.archived_at,
    )


def role_binding_of(row: Row[Any], project_name: str | None) -> project.RoleBinding:
    """Return a role binding."""
    return project.RoleBinding(
        id=row.id,
        project=project_name,
        subject=row.subject,
        role=row.role,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def token_of(row: Row[Any], project_name: str) -> project.Token:
    """Return a service token without its secret."""
    return project.Token(
        id=row.id,
        project=project_name,
        name=row.name,
        scope=row.scope,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def dataset_version_of(row: Row[Any], project_name: str, dataset_name: str) -> dataset.DatasetVersion:
    """Return a DatasetVersion."""
    return dataset.DatasetVersion(
        id=row.id,
        project=project_name,
        dataset=dataset_name,
        number=row.number,
        source=row.source,
        source_type=row.source_type,
        digest=text_of(row.digest),
        file_count=row.file_count,
        size_bytes=row.size_bytes,
        schema_ref=row.schema_ref,
        statistics_ref=row.statistics_ref,
        state=row.state,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def file_of(row: Row[Any]) -> dataset.FileEntry:
    """Return a file of a DatasetVersion."""
    return dataset.FileEntry(
        path=row.path, digest=text_of(row.digest), size_bytes=row.size_bytes, version_id=row.version_id
    )


def environment_of(row: Row[Any], project_name: str) -> run.EnvironmentLock:
    """Return an EnvironmentLock."""
    return run.EnvironmentLock(
        id=row.id,
        project=project_name,
        name=row.name,
        number=row.number,
        kind=row.kind,
        reference=row.reference,
        digest=text_of(row.digest),
        distributions=row.distributions,
        sbom_digest=text_of(row.sbom_digest) if row.sbom_digest else None,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def pipeline_run_of(row: Row[Any], project_name: str) -> run.PipelineRun:
    """Return a PipelineRun."""
    return run.PipelineRun(
        id=row.id,
        project=project_name,
        dag_id=row.dag_id,
        run_id=row.run_id,
        bundle=row.bundle,
        commit=row.commit,
        parameters=row.parameters,
        triggered_by=row.triggered_by,
        state=row.state,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _input_of(entry: dict[str, Any]) -> run.RunInput:
    return run.RunInput(
        name=entry["name"],
        dataset_version=entry["dataset_version"],
        artifact=entry["artifact"],
        digest="sha256:" + entry["digest"],
    )


def run_of(row: Any, project_name: str) -> run.Run:
    """Return a Run from a row of `queries.runs.RUNS`."""
    code = (
        run.CodeRef(repository=row.code_repository, commit=row.code_commit, path=row.code_path or "")
        if row.code_commit is not None
        else None
    )
    return run.Run.model_construct(
        id=row.id,
        project=project_name,
        pipeline_run=row.pipeline_run_id,
        task_id=row.task_id,
        map_index=row.map_index,
        try_number=row.try_number,
        idempotency_key=row.idempotency_key.hex(),
        code=code,
        environment=f"{row.environment_name}/{row.environment_number}",
        environment_kind=EnvironmentKind(row.environment_kind),
        environment_reference=row.environment_reference,
        environment_digest=text_of(row.environment_digest),
        command=row.command,
        inputs=[_input_of(entry) for entry in row.inputs or ()],
        parameters=row.parameters,
        outputs=row.outputs,
        resources=row.resources,
        policy_digest=text_of(row.policy_digest),
        data_plane=row.data_plane,
        isolation=row.isolation,
        origin_run=row.origin_run_id,
        origin_reason=OriginReason(row.origin_reason) if row.origin_reason else None,
        created_by=row.created_by,
        created_at=row.created_at,
        seal=text_of(row.seal),
        state=RunState(row.state),
        since=row.since,
        fence=row.fence,
        cause=row.cause,
        owner=row.owner,
        error_class=ErrorClass(row.error_class) if row.error_class else None,
        exit_code=row.exit_code,
        metrics=row.metrics,
        observed=run.Observed.model_construct(**row.observed) if row.observed else None,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def artifact_of(row: Row[Any], project_name: str) -> artifact.Artifact:
    """Return an Artifact."""
    return artifact.Artifact(
        id=row.id,
        project=project_name,
        run=row.run_id,
        name=row.name,
        kind=row.kind,
        object_key=row.object_key,
        version_id=row.version_id,
        digest=text_of(row.digest),
        size_bytes=row.size_bytes,
        retention_class=row.retention_class,
        provenance=row.provenance,
        state=row.state,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def model_version_of(row: Any, project_name: str) -> model.ModelVersion:
    """Return a ModelVersion from a row of `queries.models.MODEL_VERSIONS`."""
    return model.ModelVersion(
        id=row.id,
        project=project_name,
        model=row.model,
        number=row.number,
        source_run=row.source_run_id,
        artifacts=sorted(
            (model.ModelVersionArtifact(**entry) for entry in row.artifacts), key=lambda a: (a.role, str(a.artifact))
        ),
        metrics=row.metrics,
        state=row.state,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def policy_of(row: Row[Any], project_name: str) -> model.Policy:
    """Return a promotion policy."""
    return model.Policy(
        id=row.id,
        project=project_name,
        name=row.name,
        version=row.version,
        digest=text_of(row.digest),
        gates=row.gates,
        expires_after_s=row.expires_after_s,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def alias_of(row: Any) -> model.AliasAssignment:
    """Return an assignment of an alias."""
    return model.AliasAssignment(
        model=row.model,
        alias=row.alias,
        model_version=row.model_version_id,
        number=row.number,
        promotion=row.promotion_id,
        approved_by=row.approved_by or [],
        valid_from=row.valid_from,
        recorded_at=row.recorded_at,
    )


_ERASED: dict[str, Any] = {"reason": "", "request_id": "", "trace_id": "", "content": {}}


def event_of(row: Row[Any]) -> audit.AuditEvent:
    """Return an audit event; of one that was erased, what is left."""
    content = json.loads(row.content) if row.content is not None else _ERASED
    return audit.AuditEvent(
        id=row.id,
        recorded_at=row.recorded_at,
        project=row.project,
        action=row.action,
        initiator=row.initiator,
        target_type=row.target_type,
        target_id=row.target_id,
        outcome=row.outcome,
        reason=content["reason"],
        request_id=content["request_id"],
        trace_id=content["trace_id"],
        content=content["content"],
        commitment=text_of(row.commitment),
        erased_at=row.erased_at,
    )


def retention_policy_of(row: Any) -> retention.RetentionPolicy:
    """Return a version of a retention policy from a row of `queries.retention.POLICIES`."""
    decision = None
    if row.decision is not None:
        decision = retention.RetentionPolicyDecision(
            decision=row.decision,
            principal=row.principal,
            roles=row.roles,
            reason=row.decision_reason,
            decided_at=row.decided_at,
        )
    return retention.RetentionPolicy(
        id=row.id,
        project=row.project,
        name=row.name,
        version=row.version,
        object_type=row.object_type,
        kind=row.kind,
        label=row.label,
        starts=row.starts,
        period_days=row.period_days,
        disposition=row.disposition,
        is_end=row.is_end,
        reason=row.reason,
        digest=text_of(row.digest),
        proposed_by=row.proposed_by,
        proposed_at=row.created_at,
        state=row.state,
        decision=decision,
    )
