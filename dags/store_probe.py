"""Every night: whether the object store keeps its locks; fails where it does not, and its log names the rules. See docs/how-to/probe-the-store.md."""

from airflow.sdk import dag

from holdfast_provider.operators import HoldfastCommandOperator

# A directory on the machine of the worker, or a mounted Secret: the task's process reads it, and the worker does not.
PLACE = "{{ var.value.get('holdfast_probe_directory', '/etc/holdfast/probe') }}"


@dag(
    schedule="47 1 * * *",
    catchup=False,
    max_active_runs=1,
    tags=["holdfast", "maintenance"],
)
def holdfast_store_probe():
    HoldfastCommandOperator(
        task_id="probe",
        arguments=["store", "probe"],
        environment={
            "HOLDFAST_DATABASE_URL_FILE": f"{PLACE}/url",
            "HOLDFAST_S3_BUCKET": "{{ var.value.holdfast_s3_bucket }}",
            "HOLDFAST_S3_ENDPOINT_URL": "{{ var.value.get('holdfast_s3_endpoint_url', '') }}",
            "HOLDFAST_S3_REGION": "{{ var.value.get('holdfast_s3_region', 'us-east-1') }}",
            "AWS_CONFIG_FILE": f"{PLACE}/aws",
        },
    )


holdfast_store_probe()
