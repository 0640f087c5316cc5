"""Runs user code on the Project's data plane, once a try, with everything bound and everything recorded."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from holdfast_provider.operators.task import HoldfastOperator

if TYPE_CHECKING:
    from holdfast.dataplane.kubernetes.run import PodRun
    from holdfast.ports import Governance
    from holdfast.wire.run import Run, RunRequest
    from holdfast_provider.execution import LocalRun
    from holdfast_provider.hooks.holdfast import HoldfastHook

DEFAULT_KUBERNETES_CONN = "kubernetes_default"


class RunningOperator(HoldfastOperator):
    """Base of the operators whose tries are Runs.

    Where user code runs, the Project says. On the local data plane the Run is executed in this process. On Kubernetes it is begun here,
    waited for in the triggerer unless it is short, and ended here again; a try that finds the Run of the try before still open takes that one up.

    Args:
        kubernetes_conn_id: connection to the cluster, for Projects whose data plane that is.
    """

    _local: "LocalRun | None" = None
    _pods: "PodRun | None" = None
    _is_killed = False

    def __init__(self, *, kubernetes_conn_id: str = DEFAULT_KUBERNETES_CONN, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kubernetes_conn_id = kubernetes_conn_id

    def present(self, context: Any, governance: "Governance", project: str, run: "Run") -> Any:
        """Return what the task returns, given its Run, succeeded."""
        raise NotImplementedError

    def execute_run(
        self, context: Any, hook: "HoldfastHook", governance: "Governance", project: str, request: "RunRequest"
    ) -> Any:
        """Create the Run of this try, execute it and present it; one that has succeeded already is not executed again."""
        from holdfast.core.policy import DataPlaneKind
        from holdfast.core.run import RunState
        from holdfast_provider.binding import open_run_before

        run = open_run_before(governance, project, request) or governance.runs.create(project, request)
        self.log.info("Run %s, seal %s", run.id, run.seal)
        if run.state is not RunState.SUCCEEDED:
            if run.data_plane == DataPlaneKind.KUBERNETES:
                run = self._go_on(context, self._pod_run(context, hook, governance, project, run), project, run)
            else:
                run = self._execute_here(context, hook, governance, project, run)
        return self.present(context, governance, project, run)

    def resume(
        self, context: Any, event: dict[str, Any], project: str, run: str, is_staged: bool, attempts: int = 0
    ) -> Any:
        """Go on with a Run whose pod has moved on while this task was deferred."""
        from holdfast.core.run import RunState
        from holdfast_provider._errors import run_errors
        from holdfast_provider.triggers.run import EXPIRED

        hook = self.hook()
        with run_errors(), hook.get_conn() as governance:
            found = governance.runs.get(project, UUID(run))
            if found.state is RunState.SUCCEEDED:
                # The reconciler has come before.
                return self.present(context, governance, project, found)
            pods = self._pod_run(context, hook, governance, project, found)
            if event["event"] == EXPIRED:
                pods.expire()
            if is_staged:
                ended = self._end(context, pods, project, found, attempts)
            else:
                ended = self._go_on(context, pods, project, found)
            return self.present(context, governance, project, ended)

    def at(self, point: str) -> None:
        """Do nothing: called at the named points of a Run on Kubernetes, where tests inject faults."""

    def _execute_here(
        self, context: Any, hook: "HoldfastHook", governance: "Governance", project: str, run: "Run"
    ) -> "Run":
        from holdfast_provider.binding import code_of
        from holdfast_provider.execution import LocalRun

        self._local = LocalRun(governance, project, run, hook.data_roots, self._masked(hook))
        if self._is_killed:
            self._local.cancel()
        return self._local.execute(code_of(context))

    def _go_on(self, context: Any, pods: "PodRun", project: str, run: "Run") -> "Run":
        """Begin a Run in its pod, or find how far it is, and return it once it has ended; defers until then."""
        from holdfast.dataplane.kubernetes.status import Ended, Waiting
        from holdfast_provider.binding import code_of

        progress, is_staged = pods.begin(code_of(context))
        if isinstance(progress, Ended):
            return self._store(context, pods, project, run, 0)
        cause = f": {progress.cause}" if isinstance(progress, Waiting) else ""
        self.log.info("Run %s goes on in its pod%s", run.id, cause)
        return self._wait(context, pods, project, run, is_staged=is_staged)

    def _end(self, context: Any, pods: "PodRun", project: str, run: "Run", attempts: int) -> "Run":
        from holdfast.dataplane.kubernetes.run import SETTLE_S
        from holdfast.dataplane.kubernetes.status import Ended

        if isinstance(pods.progress(SETTLE_S), Ended):
            return self._store(context, pods, project, run, attempts)
        # A watch may end before what it waited for, and a command may say its end before it comes: look again.
        return self._wait(context, pods, project, run, is_staged=True, takes_hints=False)

    def _store(self, context: Any, pods: "PodRun", project: str, run: "Run", attempts: int) -> "Run":
        """Return the Run, its outputs stored; defers while what that needs does not answer and its pod keeps them."""
        from holdfast.core.errors import Unavailable

        try:
            return pods.end()
        except Unavailable as away:
            if not pods.is_kept:
                raise
            self.log.warning("what Run %s has made cannot be stored yet: %s", run.id, away)
            return self._wait(context, pods, project, run, is_staged=True, attempts=attempts + 1)

    def _wait(
        self,
        context: Any,
        pods: "PodRun",
        project: str,
        run: "Run",
        *,
        is_staged: bool,
        attempts: int = 0,
        takes_hints: bool = True,
    ) -> NoReturn:
        """Defer until the Run's pod has moved on, or, where its outputs could not be stored, until it is time to try that again."""
        from holdfast.core.backoff import back_off
        from holdfast.dataplane.kubernetes.manifest import deadline_s, pod_name
        from holdfast.dataplane.kubernetes.run import START_TIMEOUT_S
        from holdfast_provider.triggers.run import LEAST_S, RunTrigger

        pause_s = back_off(attempts, random.random()).total_seconds() if attempts else 0  # noqa: S311 - jitter
        trigger = RunTrigger(
            namespace=pods.namespace,
            pod=pod_name(run),
            kubernetes_conn_id=self.kubernetes_conn_id,
            conn_id=self.conn_id,
            project=project,
            run=str(run.id),
            try_number=context["ti"].try_number,
            is_staged=is_staged,
            has_ended=attempts > 0,
            earliest=(now := time.time()) + max(LEAST_S, pause_s),
            start_by=now + START_TIMEOUT_S,
            deadline_s=deadline_s(run),
            takes_hints=takes_hints,
        )
        more = {"project": project, "run": str(run.id), "is_staged": is_staged, "attempts": attempts}
        # Beyond what the trigger itself waits for: Airflow's own timeout would leave the pod behind.
        timeout = timedelta(seconds=2 * START_TIMEOUT_S + deadline_s(run))
        self.defer(trigger=trigger, method_name="resume", kwargs=more, timeout=timeout)
        raise AssertionError("deferring raises")

    def _pod_run(
        self, context: Any, hook: "HoldfastHook", governance: "Governance", project: str, run: "Run"
    ) -> "PodRun":
        """Return what brings the Run further, where `on_kill` finds it."""
        with self._ended_by_timeout(governance, project, run):
            self._pods = self._reach(context, hook, governance, project, run)
        return self._pods

    def _reach(
        self, context: Any, hook: "HoldfastHook", governance: "Governance", project: str, run: "Run"
    ) -> "PodRun":
        from holdfast_provider.pods import pod_run

        return pod_run(
            governance,
            project,
            run,
            self.kubernetes_conn_id,
            self.log.info,
            context,
            output=self._masked(hook),
            probe=self.at,
            try_number=context["ti"].try_number,
        )

    @contextmanager
    def _ended_by_timeout(self, governance: "Governance", project: str, run: "Run") -> "Iterator[None]":
        """End a Run that nothing has been done for yet, when the task's time is over before its cluster has been reached."""
        from airflow.sdk.exceptions import AirflowTaskTimeout

        try:
            yield
        except AirflowTaskTimeout as timeout:
            from holdfast.core.run import RunState
            from holdfast.dataplane.record import RunRecord
            from holdfast_provider.execution import as_ending

            if run.state is RunState.CREATED:
                RunRecord(governance, project, run, self.log.warning).fail(as_ending(timeout), None)
            raise

    def _masked(self, hook: "HoldfastHook") -> "Callable[[str], None]":
        """Return what logs a line of the user's command without the token of the connection."""
        from holdfast_provider._masking import mask

        token = hook.token
        return lambda line: self.log.info("%s", mask(line, token))

    def on_kill(self) -> None:
        """Ask the user's command and everything that it started to end; `execute` records the end."""
        self._is_killed = True
        if self._local is not None:
            self._local.cancel()
        if self._pods is not None:
            self._pods.cancel()


class RunOperator(RunningOperator):
    """Creates a Run, executes its command on the data plane that the Project has, and registers what it wrote.

    Each output is an XCom under its name, `run.output["model"]`: `{"artifact": id, "digest": …}`, for a directory a list of these.
    The command finds its inputs below `$HOLDFAST_INPUTS/<name>`, its parameters in the JSON file `$HOLDFAST_PARAMETERS`, and writes
    below `$HOLDFAST_OUTPUTS`.

    Args:
        environment: name of an EnvironmentLock.
        command: the command, argument by argument, started in the commit that Airflow executes.
        inputs: name → reference, as other tasks return them.
        parameters: JSON-compatible.
        outputs: name → path below the outputs directory; a slash at the end means a directory.
        resources: cpu, memory and the like, for data planes that can hold a Run to them.
        secrets: environment variable → `secret/key` of a Kubernetes Secret in the Project's namespace.
        pod_override: where the pod is placed and how it is labelled, as `{"metadata": …, "spec": …}`; nothing else is allowed.
    """

    template_fields: Sequence[str] = (
        *HoldfastOperator.template_fields,
        "environment",
        "command",
        "inputs",
        "parameters",
    )

    def __init__(
        self,
        *,
        environment: str,
        command: list[str],
        inputs: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
        outputs: dict[str, str] | None = None,
        resources: dict[str, Any] | None = None,
        secrets: dict[str, str] | None = None,
        pod_override: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.environment = environment
        self.command = command
        self.inputs = inputs or {}
        self.parameters = parameters or {}
        self.outputs = outputs or {}
        self.run_resources = resources or {}  # `resources` is a field of Airflow's own
        self.secrets = secrets or {}
        self.pod_override = pod_override or {}

    def execute(self, context: Any) -> str:
        """Execute the Run of this try and return its id."""
        from holdfast_provider._errors import run_errors
        from holdfast_provider.binding import bind

        hook = self.hook()
        with run_errors(), hook.get_conn() as governance:
            project = hook.project(self.project)
            request = bind(
                context,
                governance,
                project,
                retries=self.retries or 0,
                inputs=self.inputs,
                environment=self.environment,
                command=[str(part) for part in self.command],
                parameters=self.parameters,
                outputs=self.outputs,
                resources=self._bound_resources(),
            )
            return str(self.execute_run(context, hook, governance, project, request))

    def present(self, context: Any, governance: "Governance", project: str, run: "Run") -> str:
        """Return the Run's id; its outputs are XComs of their own."""
        for name, reference in references_of(governance, project, run).items():
            context["ti"].xcom_push(key=name, value=reference)
        return str(run.id)

    def _bound_resources(self) -> dict[str, Any]:
        """Return everything that the data plane is to give the Run, so that the seal covers it."""
        bound = dict(self.run_resources)
        if self.execution_timeout is not None:
            bound["deadline_s"] = int(self.execution_timeout.total_seconds())
        if self.secrets:
            bound["secrets"] = self.secrets
        if self.pod_override:
            bound["pod"] = self.pod_override
        return bound


def references_of(governance: "Governance", project: str, run: "Run") -> dict[str, Any]:
    """Return output name → reference of a Run's Artifacts; a directory's are a list."""
    references: dict[str, Any] = {}
    cursor = None
    while True:
        page = governance.artifacts.list(project, run=run.id, limit=500, cursor=cursor)
        for artifact in page.items:
            output, _, rest = artifact.name.partition("/")
            reference = {"artifact": str(artifact.id), "digest": artifact.digest}
            if rest:
                references.setdefault(output, []).append({**reference, "name": rest})
            else:
                references[output] = reference
        if (cursor := page.next) is None:
            return references
