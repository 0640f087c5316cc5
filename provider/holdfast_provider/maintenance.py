"""Dags of scheduled maintenance: each runs `holdfast …` apart from the worker, one at a time, with secrets by reference."""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import DAG

from holdfast_provider.operators.command import HoldfastCommandOperator

S3 = {
    "HOLDFAST_S3_BUCKET": "{{ var.value.holdfast_s3_bucket }}",
    "HOLDFAST_S3_ENDPOINT_URL": "{{ var.value.get('holdfast_s3_endpoint_url', '') }}",
    "HOLDFAST_S3_REGION": "{{ var.value.get('holdfast_s3_region', 'us-east-1') }}",
}
"""Which bucket the object store is, by Airflow's variables: as the service has them, letter by letter."""


def directory(name: str) -> str:
    """Return the template of a directory of secrets: on the machine of the worker, or a mounted Secret.

    The task's process reads them, and the worker does not.

    Args:
        name: below `/etc/holdfast`; the variable `holdfast_<name>_directory` names another place.
    """
    return f"{{{{ var.value.get('holdfast_{name}_directory', '/etc/holdfast/{name}') }}}}"


def maintenance(
    dag_id: str, schedule: str, task_id: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> DAG:
    """Return a Dag with one task, which runs one command.

    Args:
        dag_id: its id.
        schedule: as cron writes it, UTC.
        task_id: of the task.
        arguments: of `holdfast`.
        environment: of the command, whole: no secret, only the names of files that hold them.
    """
    with maintenance_dag(dag_id, schedule) as dag:
        # What waits for somebody else, or for a store that is down, comes to the same end a little later.
        HoldfastCommandOperator(task_id=task_id, arguments=arguments, environment=dict(environment), retries=2)
    return dag


def maintenance_dag(dag_id: str, schedule: str, **more: Any) -> DAG:
    """Return a Dag of maintenance without tasks: one run at a time, and none for a time that has passed."""
    return DAG(dag_id, schedule=schedule, catchup=False, max_active_runs=1, tags=["holdfast", "maintenance"], **more)
