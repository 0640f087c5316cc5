"""Every five minutes: pods without a Run, Runs without a pod, and those that nobody has ended. See docs/how-to/reconcile.md."""

from airflow.sdk import dag
from airflow.sdk.configuration import conf

from holdfast_provider.operators import HoldfastCommandOperator

# A directory on the machine of the worker, or a mounted Secret: the task's process reads it, and the worker does not.
PLACE = "{{ var.value.get('holdfast_reconcile_directory', '/etc/holdfast/reconcile') }}"


@dag(
    schedule="*/5 * * * *",
    catchup=False,
    max_active_runs=1,
    tags=["holdfast", "maintenance"],
)
def holdfast_reconcile():
    HoldfastCommandOperator(
        task_id="apply",
        arguments=["reconcile", "apply"],
        environment={
            "HOLDFAST_API_URL": "{{ var.value.holdfast_api_url }}",
            "HOLDFAST_AGENT_IMAGE": conf.get("holdfast", "agent_image", fallback=""),
            "HOLDFAST_TOKEN_FILE": f"{PLACE}/token",
            "KUBECONFIG": f"{PLACE}/kubeconfig",
        },
    )


holdfast_reconcile()
