"""A Dag of a production Project whose Run lacks inputs."""

from airflow.sdk import dag

from holdfast_provider.operators import RunOperator


@dag(schedule=None)
def vault_unbound():
    RunOperator(
        task_id="train", project="vault", environment="plain", command=["python", "x.py"], outputs={"said": "said.txt"}
    )


vault_unbound()
