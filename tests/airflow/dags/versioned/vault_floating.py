"""A Dag of a production Project in git that wants to run whatever is newest."""

from airflow.sdk import dag

from holdfast_provider.operators import RegisterDatasetVersionOperator


@dag(schedule=None, disable_bundle_versioning=True)
def vault_floating():
    RegisterDatasetVersionOperator(task_id="ingest", project="vault", dataset="rows", source="file:///landing/rows")


vault_floating()
