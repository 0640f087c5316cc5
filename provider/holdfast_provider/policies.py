"""What a Dag must be before Airflow takes it: the entry point `airflow.policy`.

Importing it must stay light: Airflow loads it in every process.
"""

from pathlib import Path
from typing import Any

from airflow.policies import hookimpl


@hookimpl
def dag_policy(dag: Any) -> None:
    """Refuse a Dag of a production Project that could not be audited, and make every PipelineRun record its end.

    Raises:
        AirflowClusterPolicyViolation: names the rule and the remedy; Airflow shows it as the file's import error.
    """
    from holdfast_provider.operators.task import HoldfastOperator

    tasks = [task for task in dag.tasks if isinstance(task, HoldfastOperator)]
    if not tasks:
        return
    _check_production(dag, tasks)
    _record_ends(dag, tasks[0])


def _check_production(dag: Any, tasks: list[Any]) -> None:
    from airflow.exceptions import AirflowClusterPolicyViolation

    from holdfast_provider.operators.run import RunOperator

    strict = production_projects()
    production = [task for task in tasks if task.project in strict]
    if not production:
        return
    if not is_versioned(Path(dag.fileloc)):
        raise AirflowClusterPolicyViolation(
            f"Dag {dag.dag_id!r} belongs to production Project {production[0].project!r} and comes from a bundle without versions "
            "(rule dag.versioned-bundle). Put it into git and load it by a GitDagBundle; a Platform Owner may change the Project's class."
        )
    for task in production:
        if isinstance(task, RunOperator) and (missing := missing_bindings(task)):
            raise AirflowClusterPolicyViolation(
                f"task {task.task_id!r} of Dag {dag.dag_id!r} runs in production Project {task.project!r} and lacks {', '.join(missing)} "
                f"(rule run.{missing[0]}-bound). Bind it in the Dag; a Platform Owner may change the Project's class."
            )


def missing_bindings(task: Any) -> list[str]:
    """Return the bindings that a Run needs and this task does not give."""
    return [name for name in ("environment", "command", "inputs", "outputs") if not getattr(task, name)]


def production_projects() -> frozenset[str]:
    """Return the Projects of class production, as the Dag processor was told."""
    from airflow.sdk.configuration import conf

    names = conf.get("holdfast", "production_projects", fallback="")
    return frozenset(name.strip() for name in names.split(",") if name.strip())


def is_versioned(path: Path) -> bool:
    """Whether a Dag file lies in a bundle that has versions."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    for bundle in DagBundlesManager().get_all_dag_bundles():
        if bundle.supports_versioning and (path.is_relative_to(bundle.base_dir) or path.is_relative_to(bundle.path)):
            return True
    return False


def _record_ends(dag: Any, task: Any) -> None:
    from holdfast_provider.notifications.pipeline_run import PipelineRunNotifier

    for attribute, state in (("on_success_callback", "succeeded"), ("on_failure_callback", "failed")):
        given = getattr(dag, attribute) or []
        callbacks = list(given) if isinstance(given, list | tuple) else [given]
        if not any(isinstance(callback, PipelineRunNotifier) for callback in callbacks):
            setattr(dag, attribute, [*callbacks, PipelineRunNotifier(state, task.project, task.conn_id)])
            setattr(dag, attribute.replace("on_", "has_on_"), True)
