"""What a Dag must be before Airflow takes it: the entry point `airflow.policy`.

Importing it must stay light: Airflow loads it in every process.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from airflow.policies import hookimpl

_OWNER = "a Platform Owner may change the Project's class"


@hookimpl
def dag_policy(dag: Any) -> None:
    """Refuse a Dag of a production Project that could not be audited, and make every PipelineRun record its end.

    Raises:
        AirflowClusterPolicyViolation: names the rule and the remedy; Airflow shows it as the file's import error.
    """
    from holdfast_provider.operators.task import HoldfastOperator

    tasks = [task for task in dag.tasks if issubclass(operator_of(task), HoldfastOperator)]
    if not tasks:
        return
    if strict := production_projects():
        _check_named(dag, tasks)
        _check_production(dag, [task for task in tasks if given(task, "project") in strict])
    _record_ends(dag, tasks)


def _check_named(dag: Any, tasks: list[Any]) -> None:
    """Refuse what hides whether a task belongs to a production Project: nothing that is known later may decide about it."""
    for task in tasks:
        project = given(task, "project")
        if not isinstance(project, str) or "{{" in project:
            raise _refused(
                dag,
                task,
                f"task {task.task_id!r} of Dag {dag.dag_id!r} does not name its Project, and this installation has production Projects",
                "dag.project-named",
                'Write project="…" in the Dag, or in its default_args',
            )


def _check_production(dag: Any, tasks: list[Any]) -> None:
    if not tasks:
        return
    project = given(tasks[0], "project")
    if dag.disable_bundle_versioning or not is_versioned(Path(dag.fileloc)):
        raise _refused(
            dag,
            tasks[0],
            f"Dag {dag.dag_id!r} belongs to production Project {project!r} and comes from a bundle without versions",
            "dag.versioned-bundle",
            f"Put it into git, load it by a GitDagBundle and leave its versioning on; {_OWNER}",
        )
    for task in tasks:
        if missing := missing_bindings(task):
            raise _refused(
                dag,
                task,
                f"task {task.task_id!r} of Dag {dag.dag_id!r} runs in production Project {given(task, 'project')!r} and lacks {', '.join(missing)}",
                f"run.{missing[0]}-bound",
                f"Bind it in the Dag; {_OWNER}",
            )


def _refused(dag: Any, task: Any, what: str, rule: str, remedy: str) -> Any:
    """Return the violation, once it is on record; the Dag is refused whether or not that is possible now."""
    from airflow.exceptions import AirflowClusterPolicyViolation

    from holdfast_provider.refusals import record_refusal

    conn_id, project = given(task, "conn_id"), given(task, "project")
    record_refusal(
        dag.dag_id,
        Path(dag.fileloc),
        rule,
        what,
        conn_id=conn_id if isinstance(conn_id, str) else None,
        project=project if isinstance(project, str) and "{{" not in project else None,
    )
    return AirflowClusterPolicyViolation(f"{what} (rule {rule}). {remedy}.")


def operator_of(task: Any) -> type:
    """Return a task's operator; a mapped task is not an instance of its own."""
    return task.operator_class if _is_mapped(task) else type(task)


def given(task: Any, name: str) -> Any:
    """Return what a Dag gives for an operator's argument; for a mapped task the values to expand over, when that is what it gives."""
    if not _is_mapped(task):
        return getattr(task, name, None)
    expanded = task.expand_input.value
    if not isinstance(expanded, dict):  # expand_kwargs: any argument may be in it
        return task.partial_kwargs.get(name, expanded)
    # Airflow looks at the defaults when it unmaps a task; here that has not happened yet.
    defaults = (task.partial_kwargs.get("default_args"), task.task_group.default_args, task.dag.default_args)
    for source in (expanded, task.partial_kwargs, *defaults):
        if source and name in source:
            return source[name]
    return None


def _is_mapped(task: Any) -> bool:
    return hasattr(task, "partial_kwargs")


def missing_bindings(task: Any) -> list[str]:
    """Return the bindings that a Run needs and this task does not give."""
    from holdfast_provider.operators.run import RunOperator

    if not issubclass(operator_of(task), RunOperator):
        return []
    return [name for name in ("environment", "command", "inputs", "outputs") if not given(task, name)]


def production_projects() -> frozenset[str]:
    """Return the Projects of class production, as the Dag processor was told."""
    from airflow.sdk.configuration import conf

    names = conf.get("holdfast", "production_projects", fallback="")
    return frozenset(name.strip() for name in names.split(",") if name.strip())


def is_versioned(path: Path) -> bool:
    """Whether a Dag file lies in a bundle that has versions, in an installation that uses them.

    Asks the configuration and the bundle's class: to make the bundles themselves may need connections, and this is called at each parse.
    """
    from airflow.dag_processing.bundles.base import get_bundle_storage_root_path
    from airflow.sdk.configuration import conf

    root = get_bundle_storage_root_path()
    if conf.getboolean("dag_processor", "disable_bundle_versioning", fallback=False) or not path.is_relative_to(root):
        return False
    name = path.relative_to(root).parts[0]
    for bundle in conf.getjson("dag_processor", "dag_bundle_config_list", fallback=[]) or []:
        if bundle["name"] == name:
            module, _, kind = bundle["classpath"].rpartition(".")
            return bool(getattr(import_module(module), kind).supports_versioning)
    return False


def _record_ends(dag: Any, tasks: list[Any]) -> None:
    """Make the Dag's end reach its PipelineRuns: a Dag has one in each Project that its tasks belong to."""
    from holdfast_provider.hooks.holdfast import HoldfastHook
    from holdfast_provider.notifications.pipeline_run import PipelineRunNotifier

    places: dict[str | None, str] = {}
    for task in tasks:
        conn_id = given(task, "conn_id")
        for project in _projects(task):
            places.setdefault(project, conn_id if isinstance(conn_id, str) else HoldfastHook.default_conn_name)
    for attribute, state in (("on_success_callback", "succeeded"), ("on_failure_callback", "failed")):
        named = getattr(dag, attribute) or []
        callbacks = list(named) if isinstance(named, list | tuple) else [named]
        covered = {callback.project for callback in callbacks if isinstance(callback, PipelineRunNotifier)}
        added = [
            PipelineRunNotifier(state, project, conn_id)
            for project, conn_id in places.items()
            if project not in covered
        ]
        if added:
            setattr(dag, attribute, [*callbacks, *added])
            setattr(dag, attribute.replace("on_", "has_on_"), True)


def _projects(task: Any) -> list[str | None]:
    project = given(task, "project")
    if isinstance(project, list | tuple):
        return [name for name in project if isinstance(name, str)]
    return [project if isinstance(project, str) else None]
