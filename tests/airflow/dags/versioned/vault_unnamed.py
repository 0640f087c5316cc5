"""A Dag that leaves open which Project it belongs to."""

from airflow.sdk import dag

from holdfast_provider.operators import RunOperator


@dag(schedule=None, params={"project": "vault"})
def vault_unnamed():
    RunOperator(task_id="train", project="{{ params.project }}", environment="plain", command=["python", "x.py"])


vault_unnamed()
