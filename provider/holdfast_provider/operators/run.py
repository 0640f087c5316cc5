"""Runs user code on the Project's data plane, once a try, with everything bound and everything recorded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from holdfast_provider.operators.task import HoldfastOperator

if TYPE_CHECKING:
    from holdfast.ports import Governance
    from holdfast.wire.run import Run, RunRequest
    from holdfast_provider.execution import LocalRun
    from holdfast_provider.hooks.holdfast import HoldfastHook


class RunningOperator(HoldfastOperator):
    """Base of the operators whose tries are Runs.

    A data plane that goes on without this worker begins the Run here, defers, and comes back in a method of its own; what a subclass
    does with a Run that has succeeded is apart from that.
    """

    _local: "LocalRun | None" = None
    _is_killed = False

    def execute_run(
        self, context: Any, hook: "HoldfastHook", governance: "Governance", project: str, request: "RunRequest"
    ) -> "Run":
        """Create the Run of this try, execute it and return it, succeeded; one that has succeeded already is not executed again."""
        from holdfast.core.run import RunState
        from holdfast_provider._masking import mask
        from holdfast_provider.binding import code_of
        from holdfast_provider.execution import LocalRun

        run = governance.runs.create(project, request)
        self.log.info("Run %s, seal %s", run.id, run.seal)
        if run.state is RunState.SUCCEEDED:
            return run
        token = hook.token
        self._local = LocalRun(
            governance, project, run, hook.data_roots, lambda line: self.log.info("%s", mask(line, token))
        )
        if self._is_killed:
            self._local.cancel()
        return self._local.execute(code_of(context))

    def on_kill(self) -> None:
        """Ask the user's command and everything that it started to end; `execute` records the end."""
        self._is_killed = True
        if self._local is not None:
            self._local.cancel()


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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.environment = environment
        self.command = command
        self.inputs = inputs or {}
        self.parameters = parameters or {}
        self.outputs = outputs or {}
        self.run_resources = resources or {}  # `resources` is a field of Airflow's own

    def execute(self, context: Any) -> str:
        """Execute the Run of this try and return its id."""
        from holdfast_provider._errors import task_errors
        from holdfast_provider.binding import bind

        hook = self.hook()
        with task_errors(), hook.get_conn() as governance:
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
                resources=self.run_resources,
            )
            run = self.execute_run(context, hook, governance, project, request)
            for name, reference in references_of(governance, project, run).items():
                context["ti"].xcom_push(key=name, value=reference)
            return str(run.id)


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
