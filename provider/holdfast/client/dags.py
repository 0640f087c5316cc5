"""Dags that Airflow was not let take, over HTTP."""

from dataclasses import dataclass

from holdfast.client.transport import Transport
from holdfast.wire.dag import DagRefusal, DagRefusalRequest


@dataclass(frozen=True, slots=True)
class DagClient:
    """Implements `ports.Dags`."""

    transport: Transport

    def refuse(self, name: str, request: DagRefusalRequest, *, key: str | None = None) -> DagRefusal:
        """Have it on record that a policy has refused a Dag."""
        return self.transport.post(f"/projects/{name}/dag-refusals", DagRefusal, request, key)
