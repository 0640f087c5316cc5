"""All governance functions over HTTP, with one service token."""

from functools import cached_property
from typing import TYPE_CHECKING, Self

import httpx

from holdfast.client.transport import Transport

# Each is imported where it is first used: a task uses two of them, and the models of all take longer than its calls.
if TYPE_CHECKING:
    from holdfast.client.artifacts import ArtifactClient
    from holdfast.client.audit import AuditClient
    from holdfast.client.dags import DagClient
    from holdfast.client.datasets import DatasetClient
    from holdfast.client.holds import HoldClient
    from holdfast.client.models import ModelClient
    from holdfast.client.pods import PodClient
    from holdfast.client.projects import ProjectClient
    from holdfast.client.promotions import PromotionClient
    from holdfast.client.retention import RetentionClient
    from holdfast.client.retention_plans import RetentionPlanClient
    from holdfast.client.runs import RunClient
    from holdfast.client.store import StoreClient


class GovernanceClient:
    """Implements `ports.Governance`.

    Args:
        url: the API's, up to and including `/holdfast/api/v1`.
        token: a service token, or an Airflow access token; never shown again.
        timeout_s: for one attempt.
        attempts: how often a call is tried while the API does not answer.
        ca_file: PEM file of the authorities that sign the API's certificate; None for the usual ones.
        transport: for tests that need no network.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 30.0,
        attempts: int = 5,
        ca_file: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(
            url, token, timeout_s=timeout_s, attempts=attempts, ca_file=ca_file, transport=transport
        )

    def __repr__(self) -> str:
        return f"GovernanceClient({self._transport.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    @cached_property
    def projects(self) -> "ProjectClient":
        """Projects and access to them."""
        from holdfast.client.projects import ProjectClient

        return ProjectClient(self._transport)

    @cached_property
    def datasets(self) -> "DatasetClient":
        """DatasetVersions."""
        from holdfast.client.datasets import DatasetClient

        return DatasetClient(self._transport)

    @cached_property
    def runs(self) -> "RunClient":
        """EnvironmentLocks, PipelineRuns and Runs."""
        from holdfast.client.runs import RunClient

        return RunClient(self._transport)

    @cached_property
    def pods(self) -> "PodClient":
        """Pods that are quarantined or removed."""
        from holdfast.client.pods import PodClient

        return PodClient(self._transport)

    @cached_property
    def dags(self) -> "DagClient":
        """Dags that Airflow was not let take."""
        from holdfast.client.dags import DagClient

        return DagClient(self._transport)

    @cached_property
    def artifacts(self) -> "ArtifactClient":
        """Artifacts."""
        from holdfast.client.artifacts import ArtifactClient

        return ArtifactClient(self._transport)

    @cached_property
    def models(self) -> "ModelClient":
        """Models and ModelVersions."""
        from holdfast.client.models import ModelClient

        return ModelClient(self._transport)

    @cached_property
    def promotions(self) -> "PromotionClient":
        """Promotion policies and promotions."""
        from holdfast.client.promotions import PromotionClient

        return PromotionClient(self._transport)

    @cached_property
    def retention(self) -> "RetentionClient":
        """Retention policies, and why an object is kept."""
        from holdfast.client.retention import RetentionClient

        return RetentionClient(self._transport)

    @cached_property
    def audit(self) -> "AuditClient":
        """The audit trail."""
        from holdfast.client.audit import AuditClient

        return AuditClient(self._transport)

    @cached_property
    def store(self) -> "StoreClient":
        """The object store, as the installation speaks of it."""
        from holdfast.client.store import StoreClient

        return StoreClient(self._transport)

    @cached_property
    def retention_plans(self) -> "RetentionPlanClient":
        """What exactly may go, and what became of it."""
        from holdfast.client.retention_plans import RetentionPlanClient

        return RetentionPlanClient(self._transport)

    @cached_property
    def holds(self) -> "HoldClient":
        """Legal holds."""
        from holdfast.client.holds import HoldClient

        return HoldClient(self._transport)
