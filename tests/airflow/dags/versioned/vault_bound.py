"""A Dag of a production Project with everything bound."""

from airflow.sdk import Param, dag

from holdfast_provider.operators import RegisterDatasetVersionOperator, RunOperator


@dag(
    schedule=None,
    params={"work": Param("", type="string")},
    default_args={"project": "vault", "conn_id": "holdfast_vault", "retries": 3},
)
def vault_bound():
    data = RegisterDatasetVersionOperator(task_id="ingest", dataset="rows", source="file://{{ params.work }}")
    bound = {"command": ["python", "steps/say.py"], "inputs": {"data": data.output}, "outputs": {"said": "said.txt"}}
    # Its environment is bound, and not in the way that a production Project asks for; only the API can tell.
    RunOperator(task_id="interpreter", environment="plain", **bound)
    RunOperator(task_id="image", environment="image", retries=0, **bound)


vault_bound()
