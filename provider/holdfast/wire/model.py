"""Models, ModelVersions, promotion policies, promotions and aliases."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from holdfast.core.access import Role
from holdfast.core.promotion import Comparison, ModelVersionState, PromotionState
from holdfast.wire.types import Digest, Name, Number, Text, Time, Whole, Wire


class ModelVersionRequest(Wire):
    """A ModelVersion to register: the model's Artifact and the Artifacts that speak for it."""

    artifact: UUID
    evidence: Annotated[list[UUID], Field(max_length=100)] = []
    description: Text = ""


class ModelVersionArtifact(Wire):
    """An Artifact of a ModelVersion."""

    artifact: UUID
    run: UUID
    role: Literal["model", "evidence"]
    digest: Digest


class ModelVersion(Wire):
    """A ModelVersion; its metrics are those of the Runs that made its evidence."""

    id: UUID
    project: str
    model: str
    number: int
    source_run: UUID
    artifacts: list[ModelVersionArtifact]
    metrics: dict[str, float]
    state: ModelVersionState
    created_by: str
    created_at: Time


class MetricGateSpec(Wire):
    """A metric of the evidence must be on the right side of a bound."""

    gate: Literal["metric"] = "metric"
    metric: Annotated[str, Field(min_length=1, max_length=200)]
    comparison: Comparison
    bound: Number


class ApprovalGateSpec(Wire):
    """So many different principals with one of the roles must approve."""

    gate: Literal["approval"] = "approval"
    count: Annotated[Whole, Field(ge=1, le=20)] = 1
    roles: Annotated[list[Role], Field(min_length=1)]


class PolicyRequest(Wire):
    """A promotion policy to define; a new content under the same name is a new version."""

    name: Name
    gates: Annotated[
        list[Annotated[MetricGateSpec | ApprovalGateSpec, Field(discriminator="gate")]],
        Field(min_length=1, max_length=50),
    ]
    expires_after_s: Annotated[Whole, Field(ge=60, le=366 * 86400)] = 7 * 86400


class Policy(Wire):
    """A promotion policy; all gates must pass, and there is always at least one approval."""

    id: UUID
    project: str
    name: str
    version: int
    digest: Digest
    gates: list[Annotated[MetricGateSpec | ApprovalGateSpec, Field(discriminator="gate")]]
    expires_after_s: int
    created_by: str
    created_at: Time


class PromotionRequest(Wire):
    """A promotion to request; the evidence is fixed now."""

    model_version: UUID
    alias: Name
    policy: Name
    on_behalf_of: Annotated[str, Field(pattern=r"^user:.{1,200}$")] | None = None


class DecisionRequest(Wire):
    """A principal's decision, which names the evidence it was made on."""

    decision: Literal["approve", "reject"]
    evidence_digest: Digest
    reason: Text = ""


class PromotionDecision(Wire):
    """A decision as recorded."""

    principal: str
    roles: list[Role]
    decision: Literal["approve", "reject"]
    evidence_digest: Digest
    reason: str
    decided_at: Time


class GateStatus(Wire):
    """One gate as it stands."""

    gate: str
    passed: bool
    reason: str


class Promotion(Wire):
    """A promotion: evidence, decisions, gates as they stand now."""

    id: UUID
    project: str
    model: str
    model_version: UUID
    number: int
    alias: str
    policy: str
    policy_version: int
    evidence: dict[str, object]
    evidence_digest: Digest
    creators: list[str]
    requested_by: str
    requested_at: Time
    expires_at: Time
    state: PromotionState
    decisions: list[PromotionDecision]
    gates: list[GateStatus]


class AliasAssignment(Wire):
    """That an alias points at a ModelVersion from `valid_from` on, as known since `recorded_at`."""

    model: str
    alias: str
    model_version: UUID
    number: int
    promotion: UUID
    approved_by: list[str]
    valid_from: Time
    recorded_at: Time


class Model(Wire):
    """A Model with the ModelVersion each alias points at."""

    id: UUID
    project: str
    name: str
    latest_number: int
    aliases: dict[str, int]
    created_at: Time
