"""A Dag of a production Project in a directory without versions."""

from airflow.sdk import dag

from holdfast_provider.operators import RegisterDatasetVersionOperator


@dag(schedule=None)
def vault_loose():
    RegisterDatasetVersionOperator(task_id="ingest", project="vault", dataset="rows", source="file:///landing/rows")


vault_loose()
