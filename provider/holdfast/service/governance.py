"""All governance functions over PostgreSQL, on behalf of one caller."""

from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Engine

from holdfast.core.access import Bearer, Caller
from holdfast.ledger.place import Place
from holdfast.ports import ObjectStore
from holdfast.service.artifacts import ArtifactService
from holdfast.service.audit import AuditService
from holdfast.service.dags import DagService
from holdfast.service.datasets import DatasetService
from holdfast.service.holds import COOLING_OFF_S, HoldService
from holdfast.service.models import ModelService
from holdfast.service.pods import PodService
from holdfast.service.projects import ProjectService
from holdfast.service.promotions import PromotionService
from holdfast.service.retention import RetentionService
from holdfast.service.retention_plans import RetentionPlanService
from holdfast.service.runs import RunService
from holdfast.service.sources import NO_SOURCES, Sources
from holdfast.service.store import StoreService
from holdfast.service.transaction import Probe, Transactions, no_probe


@dataclass(frozen=True)
class GovernanceService:
    """Implements `ports.Governance`; cheap to make, one for each call.

    Attributes:
        engine: the governance database.
        objects: where Artifacts are.
        caller: on whose behalf.
        grant_lifetime_s: how long grants are good for.
        sources: data in S3 that Projects may read.
        log: where the audit ledger is read; None where none is kept.
        store_probe_limit: how old the newest probe of the store may be.
        hold_cooling_off_s: how long the release of a legal hold cools off before it can be approved.
        probe: called at the named points of every change; tests inject faults by it.
    """

    engine: Engine
    objects: ObjectStore
    caller: Caller | Bearer
    grant_lifetime_s: int = 900
    sources: Sources = NO_SOURCES
    log: Place | None = None
    store_probe_limit: timedelta = timedelta(hours=48)
    hold_cooling_off_s: int = COOLING_OFF_S
    probe: Probe = field(default=no_probe)

    @property
    def _transactions(self) -> Transactions:
        return Transactions(self.engine, self.caller, self.probe)

    @property
    def projects(self) -> ProjectService:
        """Projects and access to them."""
        return ProjectService(self._transactions)

    @property
    def datasets(self) -> DatasetService:
        """DatasetVersions."""
        return DatasetService(self._transactions, self.sources, self.grant_lifetime_s)

    @property
    def runs(self) -> RunService:
        """EnvironmentLocks, PipelineRuns and Runs."""
        return RunService(self._transactions, self.objects, self.grant_lifetime_s, self.sources)

    @property
    def pods(self) -> PodService:
        """Pods that are quarantined or removed."""
        return PodService(self._transactions)

    @property
    def dags(self) -> DagService:
        """Dags that Airflow was not let take."""
        return DagService(self._transactions)

    @property
    def artifacts(self) -> ArtifactService:
        """Artifacts."""
        return ArtifactService(self._transactions, self.objects, self.grant_lifetime_s)

    @property
    def models(self) -> ModelService:
        """Models and ModelVersions."""
        return ModelService(self._transactions)

    @property
    def promotions(self) -> PromotionService:
        """Promotion policies and promotions."""
        return PromotionService(self._transactions, self.objects)

    @property
    def retention(self) -> RetentionService:
        """Retention policies, and why an object is kept."""
        return RetentionService(self._transactions)

    @property
    def retention_plans(self) -> RetentionPlanService:
        """What exactly may go, and what became of it."""
        return RetentionPlanService(self._transactions, self.objects.place)

    @property
    def audit(self) -> AuditService:
        """The audit trail."""
        return AuditService(self._transactions, self.log)

    @property
    def store(self) -> StoreService:
        """The object store, as the installation speaks of it."""
        return StoreService(self._transactions, self.objects, self.store_probe_limit)

    @property
    def holds(self) -> HoldService:
        """Legal holds."""
        return HoldService(self._transactions, self.hold_cooling_off_s)
