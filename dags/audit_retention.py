"""Every night: segments of the audit trail are closed, sealed and disposed of as their rules say. See docs/how-to/keep-events.md."""

from airflow.sdk import dag

from holdfast_provider.operators import HoldfastCommandOperator

# A directory on the machine of the worker, or a mounted Secret: the task's process reads it, and the worker does not.
PLACE = "{{ var.value.get('holdfast_disposer_directory', '/etc/holdfast/disposer') }}"


@dag(
    schedule="17 2 * * *",
    catchup=False,
    max_active_runs=1,
    tags=["holdfast", "maintenance"],
)
def holdfast_audit_retention():
    HoldfastCommandOperator(
        task_id="retain",
        arguments=["ledger", "retain"],
        environment={
            "HOLDFAST_DISPOSER_URL_FILE": f"{PLACE}/url",
            "HOLDFAST_LEDGER_LOG": "{{ var.value.holdfast_ledger_log }}",
            "HOLDFAST_S3_ENDPOINT_URL": "{{ var.value.get('holdfast_s3_endpoint_url', '') }}",
            "AWS_CONFIG_FILE": f"{PLACE}/aws",
        },
    )


holdfast_audit_retention()
