"""The ports with two implementations each: the governance functions (PostgreSQL, HTTP) and the object store (files, S3).

Every function that changes something takes an idempotency key: the same key with the same request gives the same reply, the same key
with another request is a `StateConflict`. Without a key the caller forgoes that. `project` is a Project's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

# Who names a port in a signature has no use of every model that goes through one, and to build them all takes longer than most calls.
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from holdfast.core.errors import HoldfastError
    from holdfast.core.note import VerifierKey
    from holdfast.core.sources import S3Location
    from holdfast.wire import (
        artifact,
        audit,
        dag,
        dataset,
        hold,
        ledger,
        model,
        pod,
        project,
        retention,
        retention_plan,
        run,
        store,
    )
    from holdfast.wire.types import Page

DEFAULT_LIMIT = 50
MAX_LIMIT = 500


class Projects(Protocol):
    """Projects and access to them."""

    def create(self, request: project.ProjectRequest, *, key: str | None = None) -> project.Project: ...
    def get(self, name: str) -> project.Project: ...
    def list(self, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[project.Project]: ...
    def archive(self, name: str, reason: project.Reason, *, key: str | None = None) -> project.Project: ...
    def bind_role(
        self, name: str | None, request: project.RoleBindingRequest, *, key: str | None = None
    ) -> project.RoleBinding: ...
    def unbind_role(self, name: str | None, binding: UUID, *, key: str | None = None) -> project.RoleBinding: ...
    def list_bindings(
        self, name: str | None, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[project.RoleBinding]: ...
    def create_token(self, name: str, request: project.TokenRequest, *, key: str | None = None) -> project.NewToken: ...
    def revoke_token(self, name: str, token: UUID, *, key: str | None = None) -> project.Token: ...
    def list_tokens(
        self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[project.Token]: ...


class Datasets(Protocol):
    """DatasetVersions."""

    def register(
        self, name: str, dataset: str, request: dataset.DatasetVersionRequest, *, key: str | None = None
    ) -> dataset.DatasetVersion: ...
    def grant_source(self, name: str, request: dataset.SourceRequest) -> dataset.SourceGrants: ...
    def get(self, name: str, version: UUID) -> dataset.DatasetVersion: ...
    def list(
        self, name: str, dataset: str | None = None, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[dataset.DatasetVersion]: ...
    def files(
        self, name: str, version: UUID, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[dataset.FileEntry]: ...


class Runs(Protocol):
    """EnvironmentLocks, PipelineRuns and Runs."""

    def lock_environment(
        self, name: str, request: run.EnvironmentRequest, *, key: str | None = None
    ) -> run.EnvironmentLock: ...
    def list_environments(
        self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[run.EnvironmentLock]: ...
    def create_pipeline_run(
        self, name: str, request: run.PipelineRunRequest, *, key: str | None = None
    ) -> run.PipelineRun: ...
    def change_pipeline_run(
        self, name: str, pipeline_run: UUID, request: run.PipelineRunTransition, *, key: str | None = None
    ) -> run.PipelineRun: ...
    def get_pipeline_run(self, name: str, pipeline_run: UUID) -> run.PipelineRun: ...
    def list_pipeline_runs(
        self,
        name: str,
        *,
        dag_id: str | None = None,
        run_id: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[run.PipelineRun]: ...
    def create(self, name: str, request: run.RunRequest, *, key: str | None = None) -> run.Run: ...
    def start(self, name: str, run: UUID, request: run.RunStart, *, key: str | None = None) -> run.Run: ...
    def change(self, name: str, run: UUID, request: run.RunTransition, *, key: str | None = None) -> run.Run: ...
    def finish(self, name: str, run: UUID, request: run.RunFinish, *, key: str | None = None) -> run.Run: ...
    def get(self, name: str, run: UUID) -> run.Run: ...
    def list(
        self,
        name: str,
        *,
        pipeline_run: UUID | None = None,
        task_id: str | None = None,
        map_index: int | None = None,
        state: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[run.Run]: ...
    def list_open(
        self, name: str, *, data_plane: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[pod.OpenRun]: ...
    def standings(self, name: str, request: pod.RunIds) -> pod.RunStandings: ...
    def get_policy_snapshot(self, name: str, digest: str) -> run.PolicySnapshot: ...
    def stage(self, name: str, run: UUID) -> run.Staging: ...
    def grant_uploads(self, name: str, run: UUID, request: run.UploadRequest) -> run.Grants: ...
    def complete_uploads(self, name: str, run: UUID, request: run.UploadCompletion) -> run.StoredFiles: ...


class Pods(Protocol):
    """Pods that are quarantined or removed; on record before they are touched."""

    def quarantine(self, name: str, uid: str, request: pod.PodRequest, *, key: str | None = None) -> pod.PodRecord: ...
    def remove(self, name: str, uid: str, request: pod.PodRequest, *, key: str | None = None) -> pod.PodRecord: ...


class Dags(Protocol):
    """Dags that Airflow was not let take."""

    def refuse(self, name: str, request: dag.DagRefusalRequest, *, key: str | None = None) -> dag.DagRefusal: ...


class Artifacts(Protocol):
    """Artifacts."""

    def register(
        self, name: str, request: artifact.ArtifactRequest, *, key: str | None = None
    ) -> artifact.Artifact: ...
    def get(self, name: str, artifact: UUID) -> artifact.Artifact: ...
    def list(
        self, name: str, *, run: UUID | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[artifact.Artifact]: ...
    def grant_download(self, name: str, artifact: UUID) -> run.Grant: ...


class Models(Protocol):
    """Models, ModelVersions, aliases, promotion policies and promotions."""

    def register(
        self, name: str, model: str, request: model.ModelVersionRequest, *, key: str | None = None
    ) -> model.ModelVersion: ...
    def get_version(self, name: str, version: UUID) -> model.ModelVersion: ...
    def list(self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[model.Model]: ...
    def list_versions(
        self, name: str, model: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[model.ModelVersion]: ...
    def history(
        self, name: str, model: str, *, alias: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[model.AliasAssignment]: ...
    def at(
        self, name: str, model: str, alias: str, time: datetime | None = None, known_at: datetime | None = None
    ) -> model.AliasAssignment: ...


class Promotions(Protocol):
    """Promotion policies and promotions."""

    def define_policy(self, name: str, request: model.PolicyRequest, *, key: str | None = None) -> model.Policy: ...
    def list_policies(
        self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[model.Policy]: ...
    def request(self, name: str, request: model.PromotionRequest, *, key: str | None = None) -> model.Promotion: ...
    def decide(
        self, name: str, promotion: UUID, request: model.DecisionRequest, *, key: str | None = None
    ) -> model.Promotion: ...
    def execute(self, name: str, promotion: UUID, *, key: str | None = None) -> model.AliasAssignment: ...
    def get(self, name: str, promotion: UUID) -> model.Promotion: ...
    def list(
        self, name: str, *, state: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[model.Promotion]: ...


class Audit(Protocol):
    """The audit trail, read."""

    def list(
        self,
        name: str | None,
        *,
        action: str | None = None,
        target: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[audit.AuditEvent]: ...
    def prove(
        self,
        name: str | None,
        *,
        event: UUID | None = None,
        run: UUID | None = None,
        model_version: UUID | None = None,
    ) -> ledger.EventProofs: ...


class Store(Protocol):
    """The object store, as the installation speaks of it."""

    def show(self) -> store.StoreStanding: ...


class Retention(Protocol):
    """Retention policies, of a Project or (with None) of all, and why an object is kept."""

    def propose(
        self, name: str | None, request: retention.RetentionPolicyRequest, *, key: str | None = None
    ) -> retention.RetentionPolicy: ...
    def propose_end(
        self, name: str | None, policy: UUID, request: retention.RetentionPolicyReason, *, key: str | None = None
    ) -> retention.RetentionPolicy: ...
    def decide(
        self, name: str | None, policy: UUID, request: retention.RetentionDecisionRequest, *, key: str | None = None
    ) -> retention.RetentionPolicy: ...
    def withdraw(
        self, name: str | None, policy: UUID, request: retention.RetentionPolicyReason, *, key: str | None = None
    ) -> retention.RetentionPolicy: ...
    def get(self, name: str | None, policy: UUID) -> retention.RetentionPolicy: ...
    def list(
        self, name: str | None, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[retention.RetentionPolicy]: ...
    def explain(self, name: str, governed: UUID) -> retention.RetentionExplanation: ...


class RetentionPlans(Protocol):
    """What exactly may go, and what became of it; of a Project."""

    def make(
        self, name: str, request: retention_plan.RetentionPlanRequest, *, key: str | None = None
    ) -> retention_plan.RetentionPlan: ...
    def decide(
        self, name: str, plan: str, request: retention_plan.RetentionPlanDecisionRequest, *, key: str | None = None
    ) -> retention_plan.RetentionPlan: ...
    def withdraw(
        self, name: str, plan: str, request: retention_plan.RetentionPlanWithdrawal, *, key: str | None = None
    ) -> retention_plan.RetentionPlan: ...
    def get(self, name: str, plan: str) -> retention_plan.RetentionPlan: ...
    def list(
        self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[retention_plan.RetentionPlanSummary]: ...
    def items(
        self, name: str, plan: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[retention_plan.RetentionPlanItem]: ...
    def certificate(self, name: str, plan: str) -> retention_plan.RetentionCertificate: ...
    def line(self, name: str, plan: str, governed: UUID) -> retention_plan.RetentionLine: ...


class Holds(Protocol):
    """Legal holds; of the whole platform."""

    def place(self, request: hold.HoldRequest, *, key: str | None = None) -> hold.LegalHold: ...
    def coverage(self, request: hold.HoldScope) -> hold.HoldCoverage: ...
    def request_release(self, hold: str, request: hold.ReleaseRequest, *, key: str | None = None) -> hold.LegalHold: ...
    def decide_release(self, hold: str, request: hold.ReleaseDecision, *, key: str | None = None) -> hold.LegalHold: ...
    def get(self, hold: str) -> hold.LegalHold: ...
    def list(
        self, *, is_released: bool | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[hold.HoldSummary]: ...
    def objects(
        self, hold: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[hold.CoveredObject]: ...


class Governance(Protocol):
    """All governance functions, on behalf of one caller."""

    @property
    def projects(self) -> Projects: ...
    @property
    def datasets(self) -> Datasets: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def pods(self) -> Pods: ...
    @property
    def dags(self) -> Dags: ...
    @property
    def artifacts(self) -> Artifacts: ...
    @property
    def models(self) -> Models: ...
    @property
    def promotions(self) -> Promotions: ...
    @property
    def retention(self) -> Retention: ...
    @property
    def retention_plans(self) -> RetentionPlans: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def store(self) -> Store: ...
    @property
    def holds(self) -> Holds: ...


class Signer(Protocol):
    """A key that signs checkpoints."""

    @property
    def key(self) -> VerifierKey: ...
    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a store knows about one version of one object."""

    key: str
    version_id: str
    digest: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that is leave in itself, and so a secret.

    Attributes:
        url: good for one method, key and content, until a time.
        headers: what the call has to carry beside Content-Length, exactly so; the signature covers it.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Upload:
    """Leave to store one object.

    Attributes:
        parts: one URL a part, in order; a single one stores the object whole.
        upload_id: what to complete it by once all parts are stored; None where the single call has stored the object.
    """

    parts: tuple[SignedUrl, ...]
    upload_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """One thing that an object store has to do, and whether it does.

    Attributes:
        name: what was looked at.
        found: what was found, in one sentence.
        error: what is wrong, with its remedy; None where nothing is.
        warning: what will be wrong when it grows; empty where nothing will.
    """

    name: str
    found: str
    error: HoldfastError | None = None
    warning: str = ""


class ObjectStore(Protocol):
    """Versioned objects that are written once and checked by digest when read."""

    @property
    def place(self) -> str:
        """Where it is, as records name it; holds no secret."""
        ...

    @property
    def has_lock(self) -> bool:
        """Whether it is of a kind that has locks of its own; whether it keeps them is another question."""
        ...

    def stat(self, key: str, version_id: str) -> ObjectFacts:
        """Return the facts of one version; raises NotFound where there is none."""
        ...

    def read(self, key: str, version_id: str, digest: bytes) -> Iterator[bytes]:
        """Yield the bytes; raises IntegrityViolation before the end where they are not those of the digest."""
        ...

    def grant(
        self, method: str, key: str, *, version_id: str | None, digest: bytes, size_bytes: int, expires_at: datetime
    ) -> SignedUrl:
        """Return a URL that allows one method on one object with this content until a time."""
        ...

    def begin_upload(
        self, key: str, *, digest: bytes, size_bytes: int, parts: Sequence[bytes], expires_at: datetime
    ) -> Upload:
        """Return leave to store an object until a time: in the parts of these digests, or whole where there are none."""
        ...

    def complete_upload(self, key: str, upload_id: str, digest: bytes, size_bytes: int) -> ObjectFacts:
        """Put an upload together from its parts and return the version; completed again it is the same version.

        Raises:
            NotFound: there is no such upload under this key.
            StateConflict: a part is missing; those that are there stay.
            IntegrityViolation: the upload was begun for another content.
        """
        ...

    def abort_uploads(self, prefix: str) -> int:
        """Give up every upload under keys that begin so, and return how many; what was completed stays."""
        ...

    def hold(self, key: str, version_id: str) -> None:
        """Put the store's own legal hold on a version; raises NotFound, and InvalidRequest where the store has none."""
        ...

    def release(self, key: str, version_id: str) -> None:
        """Take the store's own legal hold off a version; raises as `hold` does."""
        ...

    def is_held(self, key: str, version_id: str) -> bool:
        """Return whether the store itself says that a version is under its legal hold; raises NotFound."""
        ...

    def check(self) -> Sequence[StoreCheck]:
        """Return what the store was found to do and not to do; leaves nothing in it. Raises Unavailable where it does not answer."""
        ...


class Eraser(Protocol):
    """What takes objects out of an object store for good: only who carries out a retention plan has one."""

    @property
    def place(self) -> str:
        """Where the store is, as records name it; holds no secret."""
        ...

    @property
    def has_lock(self) -> bool:
        """Whether the store is of a kind that has locks of its own."""
        ...

    def shows(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return what the store itself shows under these keys, by key; raises Unavailable."""
        ...

    def erase(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Remove every version under these keys, and return what the store itself still shows, by key, each with why.

        Raises:
            Unavailable: the store does not answer; some may be gone, and doing it again goes on.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One version of an object at a source of data; its digest nobody has computed yet."""

    key: str
    version_id: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SourceListing:
    """A page of a source's current versions; `next` is the cursor of the next one, None on the last."""

    objects: Sequence[SourceObject]
    next: str | None


class SourceStore(Protocol):
    """Versioned objects that others have stored, from which DatasetVersions are made."""

    def list(self, location: S3Location, limit: int, most_bytes: int, cursor: str | None) -> SourceListing:
        """Return a page of the current versions at a location; raises PolicyViolation where the bucket keeps no versions."""
        ...

    def grant(self, location: S3Location, key: str, version_id: str, expires_at: datetime) -> SignedUrl:
        """Return a URL that reads one version until a time."""
        ...
