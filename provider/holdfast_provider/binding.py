"""What a Run takes from the task that executes it: DagRun, commit, repository, why the try repeats another, inputs."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from holdfast.core.errors import InvalidRequest
from holdfast.core.policy import DataPlaneKind
from holdfast.core.run import OriginReason, RunState
from holdfast.dataplane.plane import CodeSource
from holdfast.dataplane.record import RunRecord
from holdfast.ports import Governance
from holdfast.wire.run import CodeRef, InputRef, PipelineRunRequest, Run, RunRequest
from holdfast_provider.operators.task import key_of_try, triggering_user


def bind(
    context: Any, governance: Governance, project: str, *, retries: int, inputs: Mapping[str, Any], **bindings: Any
) -> RunRequest:
    """Return the request for the Run of this try; the PipelineRun of its DagRun is recorded, once the request is known to be well-formed.

    Args:
        context: the task's.
        governance: where the PipelineRun is recorded.
        project: the Project.
        retries: the task's.
        inputs: name → reference, as operators return them.
        bindings: the other bindings of a RunRequest.
    """
    ti, dag_run, code, key = context["ti"], context["dag_run"], code_of(context), key_of_try(context)
    repository = repository_of(ti.bundle_instance)
    request = RunRequest(
        idempotency_key=key,
        task_id=ti.task_id,
        map_index=ti.map_index if ti.map_index is not None else -1,
        try_number=ti.try_number,
        code=CodeRef(repository=repository, commit=code.commit, path=code.path) if code.commit else None,
        inputs=bind_inputs(inputs),
        origin_reason=origin_of(context, retries),
        rerun_of=(dag_run.conf or {}).get("rerun_of"),
        **bindings,
    )
    pipeline_run = governance.runs.create_pipeline_run(
        project,
        PipelineRunRequest(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            bundle=ti.bundle_instance.name,
            commit=code.commit,
            parameters=dict(context["params"]),
            triggered_by=triggering_user(context),
        ),
        key=f"pipeline-run {key}",
    )
    return request.model_copy(update={"pipeline_run": pipeline_run.id})


def open_run_before(governance: Governance, project: str, request: RunRequest) -> Run | None:
    """Return the Run of the try before, taken up, when this one only has to go on with it; None where this try makes its own.

    A process that ends does not end a Run on Kubernetes. When Airflow tries the task again, the Run's pod still works or has ended,
    and its code must not run a second time. When somebody has cleared the task, he wants just that.
    """
    if request.origin_reason is not OriginReason.RETRY:
        return None
    tries = governance.runs.list(
        project, pipeline_run=request.pipeline_run, task_id=request.task_id, map_index=request.map_index, limit=1
    ).items
    if not tries or tries[0].data_plane != DataPlaneKind.KUBERNETES:
        return None
    [before] = tries
    if before.state in (RunState.FAILED, RunState.CANCELED):
        return None
    if before.state is RunState.SUCCEEDED or before.try_number == request.try_number:
        return before
    record = RunRecord(governance, project, before, lambda _: None)
    record.take_up(request.try_number, request.idempotency_key)
    return record.run


def code_of(context: Any) -> CodeSource:
    """Return the code that this try executes; Airflow's own record of the commit changes later, the bundle instance does not."""
    bundle = context["ti"].bundle_instance
    # A git bundle's checkout has no .git directory of its own; the commit's objects are in the bundle's bare repository.
    git_directory = getattr(bundle, "bare_repo_path", None)
    return CodeSource(
        checkout=str(bundle.path),
        commit=bundle.version,
        git_directory=str(git_directory) if git_directory else None,
        path=str(getattr(bundle, "subdir", None) or ""),
    )


def repository_of(bundle: Any) -> str:
    """Return where a bundle's code comes from: its repository's URL without credentials, or the bundle's name."""
    url = getattr(bundle, "repo_url", None)
    if not url:
        return str(bundle.name)
    parts = urlsplit(str(url))
    return (
        parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.scheme and parts.netloc else str(url)
    )


def origin_of(context: Any, retries: int) -> OriginReason | None:
    """Return why this try repeats an earlier one.

    Airflow adds a task's retries to max_tries when the task is cleared, and not when it retries. Only a task that was cleared while it
    ran, and whose process did not end in the time that Airflow gives it, takes a retry's way there, and is one here while any are left.
    """
    ti, dag_run = context["ti"], context["dag_run"]
    if ti.try_number <= 1:
        return None
    is_first_after_clear = ti.max_tries > retries and ti.try_number == ti.max_tries - retries + 1
    if not is_first_after_clear and ti.try_number <= ti.max_tries + 1:
        return OriginReason.RETRY
    # A backfill clears the DagRun that is there already, and makes it its own.
    is_taken_over = dag_run.run_type == "backfill" and not dag_run.run_id.startswith("backfill__")
    return OriginReason.BACKFILL if is_taken_over else OriginReason.CLEAR


def bind_inputs(inputs: Mapping[str, Any]) -> dict[str, InputRef]:
    """Return the inputs of a request; a directory's references become one input a file, `name/path`.

    Raises:
        InvalidRequest: an input is not a reference as operators return them.
    """
    bound: dict[str, InputRef] = {}
    for name, reference in inputs.items():
        match reference:
            case list() if all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in reference):
                for item in reference:
                    rest = {key: value for key, value in item.items() if key != "name"}
                    bound[f"{name}/{item['name']}"] = InputRef.model_validate(rest)
            case dict():
                bound[name] = InputRef.model_validate(reference)
            case _:
                raise InvalidRequest(
                    f"input {name!r} is {str(reference)[:80]!r}, which is no reference",
                    remedy='Give what another task returns: data.output, or run.output["model"]',
                )
    return bound
