"""Dags that Airflow was not let take."""

from holdfast.wire.dag import DagRefusal, DagRefusalRequest
from holdfast_plugins.api.routing import Governed, Key, router

routes = router("dags")


@routes.post("/projects/{project}/dag-refusals", status_code=201)
def record_dag_refusal(project: str, request: DagRefusalRequest, governed: Governed, key: Key) -> DagRefusal:
    """Have it on record that a policy has refused a Dag."""
    return governed.dags.refuse(project, request, key=key)
