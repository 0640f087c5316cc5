"""One Run from staging to its end on the local data plane, and what a Run takes from the task that executes it."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from holdfast.core.errors import HoldfastError, NotFound, StateConflict
from holdfast.core.policy import DataPlaneKind
from holdfast.core.run import ErrorClass, OriginReason, RunState, is_terminal
from holdfast.dataplane.local import LocalDataPlane
from holdfast.dataplane.plane import CodeSource, Execution, StepFailed
from holdfast.ports import Governance
from holdfast.wire.run import InputRef, Run, RunFinish, RunStart, StoredFile, UploadRequest


class LocalRun:
    """Executes a Run that has been created; whatever happens, the Run is finished with its class of failure and cause."""

    def __init__(
        self, governance: Governance, project: str, run: Run, data_roots: list[str], log: Callable[[str], None]
    ) -> None:
        self._governance, self._project, self._run, self._log = governance, project, run, log
        self._data_roots = data_roots
        self._execution: Execution | None = None

    def execute(self, code: CodeSource) -> Run:
        """Execute the Run and return it, succeeded.

        Raises:
            StepFailed: a step failed; the Run is failed.
            StateConflict: this try was executed before and broke off; the Run is left to the reconciler.
        """
        if is_terminal(self._run.state):
            raise StepFailed(
                self._run.error_class or ErrorClass.PLATFORM,
                f"Run {self._run.id} is {self._run.state}: {self._run.cause}",
            )
        if self._run.state is not RunState.CREATED:
            raise StateConflict(
                f"Run {self._run.id} was begun before by {self._run.fence}", remedy="A new try makes a new Run"
            )
        if self._run.data_plane != DataPlaneKind.LOCAL:
            raise StepFailed(
                ErrorClass.PLATFORM,
                f"this installation cannot execute Runs on the data plane {self._run.data_plane!r} yet",
            )
        plane = LocalDataPlane(self._data_roots)
        with plane.execution(self._run, self._interpreter()) as execution:
            self._execution = execution
            try:
                return self._execute(execution, code)
            except StepFailed as failure:
                self._fail(execution, failure)
                raise
            except HoldfastError as error:
                self._fail(execution, StepFailed(ErrorClass.PLATFORM, str(error)))
                raise

    def cancel(self) -> None:
        """End the user's command."""
        if self._execution is not None:
            self._execution.cancel()

    def _execute(self, execution: Execution, code: CodeSource) -> Run:
        runs, project, run = self._governance.runs, self._project, self._run
        execution.stage(code, runs.stage(project, run.id))
        runs.start(project, run.id, RunStart(fence=execution.fence), key=f"start {run.idempotency_key}")
        exit_code = execution.execute(self._log)
        if exit_code != 0:
            raise StepFailed(
                ErrorClass.USER,
                f"the command ended with exit code {exit_code}",
                "See the task's log",
                exit_code=exit_code,
            )
        collected = execution.collect()
        stored: list[StoredFile] = []
        if collected.files:
            grants = runs.grant_uploads(project, run.id, UploadRequest(files=list(collected.files)))
            versions = execution.publish(grants)
            stored = [
                StoredFile(
                    name=grant.name,
                    digest=grant.digest,
                    size_bytes=grant.size_bytes,
                    object_key=grant.object_key,
                    version_id=versions[grant.name],
                )
                for grant in grants.grants
            ]
        ending = RunFinish(
            state=RunState.SUCCEEDED,
            fence=execution.fence,
            exit_code=exit_code,
            metrics=collected.metrics,
            artifacts=stored,
        )
        return runs.finish(project, run.id, ending, key=f"finish {run.idempotency_key}")

    def _fail(self, execution: Execution, failure: StepFailed) -> None:
        ending = RunFinish(
            state=RunState.FAILED,
            fence=execution.fence,
            exit_code=failure.exit_code,
            error_class=failure.error_class,
            cause=str(failure)[:2000],
        )
        try:
            self._governance.runs.finish(self._project, self._run.id, ending, key=f"fail {self._run.idempotency_key}")
        except HoldfastError as error:
            self._log(f"the Run's failure could not be recorded, the next try takes it to unknown: {error}")

    def _interpreter(self) -> str:
        name, _, number = self._run.environment.partition("/")
        cursor = None
        while True:
            page = self._governance.runs.list_environments(self._project, limit=500, cursor=cursor)
            for lock in page.items:
                if lock.name == name and str(lock.number) == number:
                    return lock.reference
            if (cursor := page.next) is None:
                raise NotFound(f"there is no EnvironmentLock {self._run.environment!r} in Project {self._project!r}")


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


def origin_of(ti: Any, retries: int) -> OriginReason | None:
    """Return why this try repeats an earlier one: Airflow raises max_tries when a task is cleared, and not when it retries."""
    if ti.try_number <= 1:
        return None
    is_first_after_clear = ti.max_tries > retries and ti.try_number == ti.max_tries - retries + 1
    return OriginReason.CLEAR if is_first_after_clear else OriginReason.RETRY


def bind_inputs(inputs: Mapping[str, Any]) -> dict[str, InputRef]:
    """Return the inputs of a request; a directory's references become one input a file, `name/path`."""
    bound = {}
    for name, reference in inputs.items():
        if isinstance(reference, list):
            bound.update(
                {
                    f"{name}/{item['name']}": InputRef(artifact=item["artifact"], digest=item["digest"])
                    for item in reference
                }
            )
        else:
            bound[name] = InputRef(**reference)
    return bound
