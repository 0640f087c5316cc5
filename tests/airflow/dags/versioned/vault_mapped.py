"""A Dag of a production Project whose Runs lack outputs; each is a mapped one."""

from airflow.sdk import dag

from holdfast_provider.operators import RegisterDatasetVersionOperator, RunOperator


@dag(schedule=None, default_args={"project": "vault"})
def vault_mapped():
    data = RegisterDatasetVersionOperator(task_id="ingest", dataset="rows", source="file:///landing/rows")
    RunOperator.partial(task_id="train", environment="plain", command=["python", "x.py"]).expand(
        inputs=[{"data": data.output}]
    )


vault_mapped()
