"""Runs user code on the Project's data plane, once a try, with everything bound and everything recorded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from holdfast_provider.operators.task import HoldfastOperator, key_of_try, triggering_user

if TYPE_CHECKING:
    from holdfast.ports import Governance
    from holdfast.wire.run import Run, RunRequest
    from holdfast_provider.execution import LocalRun


class RunOperator(HoldfastOperator):
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
        self._local: LocalRun | None = None

    def execute(self, context: Any) -> str:
        """Execute the Run of this try and return its id; a Run that has succeeded already is not executed again."""
        from holdfast.core.run import RunState
        from holdfast_provider._errors import task_errors
        from holdfast_provider.execution import LocalRun, code_of

        hook = self.hook()
        with task_errors(), hook.get_conn() as governance:
            project = hook.project(self.project)
            run = governance.runs.create(project, self._request(context, governance, project))
            self.log.info("Run %s, seal %s", run.id, run.seal)
            if run.state is not RunState.SUCCEEDED:
                self._local = LocalRun(governance, project, run, hook.data_roots, self.log.info)
                run = self._local.execute(code_of(context))
            self._present(context, governance, project, run)
            return str(run.id)

    def on_kill(self) -> None:
        """End the user's command and everything that it started."""
        if self._local is not None:
            self._local.cancel()

    def _request(self, context: Any, governance: "Governance", project: str) -> "RunRequest":
        from holdfast.wire.run import CodeRef, PipelineRunRequest, RunRequest
        from holdfast_provider.execution import bind_inputs, code_of, origin_of, repository_of

        ti, dag_run, code = context["ti"], context["dag_run"], code_of(context)
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
            key=f"pipeline-run {ti.dag_id} {ti.run_id} {key_of_try(context)}"[:200],
        )
        return RunRequest(
            idempotency_key=key_of_try(context),
            pipeline_run=pipeline_run.id,
            task_id=ti.task_id,
            map_index=ti.map_index if ti.map_index is not None else -1,
            try_number=ti.try_number,
            code=CodeRef(repository=repository_of(ti.bundle_instance), commit=code.commit, path=code.path)
            if code.commit
            else None,
            environment=self.environment,
            command=[str(part) for part in self.command],
            inputs=bind_inputs(self.inputs),
            parameters=self.parameters,
            outputs=self.outputs,
            resources=self.run_resources,
            origin_reason=origin_of(ti, self.retries or 0),
            rerun_of=(dag_run.conf or {}).get("rerun_of"),
        )

    def _present(self, context: Any, governance: "Governance", project: str, run: "Run") -> None:
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
                break
        for name, reference in references.items():
            context["ti"].xcom_push(key=name, value=reference)
