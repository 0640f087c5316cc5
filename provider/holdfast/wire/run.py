"""PipelineRuns, Runs with all their bindings, EnvironmentLocks, and the grants under which bytes move."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from holdfast.core import names
from holdfast.core.canonical import MAX_INTEGER
from holdfast.core.errors import InvalidRequest
from holdfast.core.parts import MOST_PARTS, part_sizes
from holdfast.core.policy import EnvironmentKind
from holdfast.core.run import ErrorClass, OriginReason, PipelineRunState, RunState
from holdfast.wire.types import (
    Commit,
    Digest,
    Document,
    Name,
    Number,
    Outputs,
    RelativePath,
    Size,
    Text,
    Time,
    Uri,
    Whole,
    Wire,
)

AirflowId = Annotated[str, Field(min_length=1, max_length=250)]


class EnvironmentRequest(Wire):
    """An EnvironmentLock to make: an image by digest, or an interpreter with its installed distributions."""

    name: Name
    kind: EnvironmentKind
    reference: Annotated[str, Field(min_length=1, max_length=500)]
    distributions: dict[str, str] = {}
    sbom_digest: Digest | None = None

    @model_validator(mode="after")
    def _image_is_named_by_digest(self) -> "EnvironmentRequest":
        if self.kind is EnvironmentKind.IMAGE:
            try:
                names.check_image(self.reference)
            except InvalidRequest as error:
                raise ValueError(str(error)) from None
        return self


class EnvironmentLock(Wire):
    """What a Run's user code runs on, fixed."""

    id: UUID
    project: str
    name: str
    number: int
    kind: EnvironmentKind
    reference: str
    digest: Digest
    distributions: dict[str, str]
    sbom_digest: Digest | None
    created_by: str
    created_at: Time


class PipelineRunRequest(Wire):
    """One Airflow DagRun to record; the same dag id and run id again are the same PipelineRun."""

    dag_id: AirflowId
    run_id: AirflowId
    bundle: Annotated[str, Field(max_length=250)] | None = None
    commit: Commit | None = None
    parameters: Document = {}
    triggered_by: Annotated[str, Field(max_length=200)] | None = None


class PipelineRunTransition(Wire):
    """The state a PipelineRun is to take; `ended_at` is when the DagRun ended, when that was before now."""

    state: PipelineRunState
    reason: Text = ""
    ended_at: AwareDatetime | None = None


class PipelineRun(Wire):
    """One Airflow DagRun as recorded."""

    id: UUID
    project: str
    dag_id: str
    run_id: str
    bundle: str | None
    commit: str | None
    parameters: dict[str, Any]
    triggered_by: str | None
    state: PipelineRunState
    created_at: Time
    ended_at: Time | None


class CodeRef(Wire):
    """Where the user code comes from: a commit, never a branch or a tag."""

    repository: Uri
    commit: Commit
    path: Annotated[str, Field(max_length=1024)] = ""


class InputRef(Wire):
    """One input: a DatasetVersion or an Artifact; with a digest it must be exactly that."""

    dataset_version: UUID | None = None
    artifact: UUID | None = None
    digest: Digest | None = None

    @model_validator(mode="after")
    def _names_one_thing(self) -> "InputRef":
        if (self.dataset_version is None) == (self.artifact is None):
            raise ValueError("an input names either a dataset_version or an artifact")
        return self


class RunRequest(Wire):
    """A Run to create with all its bindings, or to be refused."""

    idempotency_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    pipeline_run: UUID | None = None
    task_id: AirflowId
    map_index: Annotated[Whole, Field(ge=-1)] = -1
    try_number: Annotated[Whole, Field(ge=1)] = 1
    code: CodeRef | None = None
    environment: Name
    command: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(min_length=1, max_length=1000)]
    inputs: Annotated[dict[RelativePath, InputRef], Field(max_length=1000)] = {}
    parameters: Document = {}
    outputs: Outputs = {}
    resources: Document = {}
    origin_reason: OriginReason | None = None
    rerun_of: AirflowId | None = None


class RunInput(Wire):
    """One input as bound."""

    name: str
    dataset_version: UUID | None
    artifact: UUID | None
    digest: Digest


class Observed(Wire):
    """What was seen of an execution from outside: not what the Run says of itself, but what its data plane does.

    Attributes:
        node: machine that it ran on.
        image_digest: of the image that was started, as the node resolved it.
        peak_memory_bytes: most memory that the command and what it started held at one time.
        cpu_seconds: processor time of the same.
    """

    node: Annotated[str, Field(max_length=253)] | None = None
    image_digest: Digest | None = None
    peak_memory_bytes: Size | None = None
    cpu_seconds: Annotated[Number, Field(ge=0, le=MAX_INTEGER)] | None = None


class Run(Wire):
    """A Run as recorded; everything down to `seal` never changes after creation."""

    id: UUID
    project: str
    pipeline_run: UUID | None
    task_id: str
    map_index: int
    try_number: int
    idempotency_key: str
    code: CodeRef | None
    environment: str
    environment_kind: EnvironmentKind
    environment_reference: str
    environment_digest: Digest
    command: list[str]
    inputs: list[RunInput]
    parameters: dict[str, Any]
    outputs: dict[str, str]
    resources: dict[str, Any]
    policy_digest: Digest
    data_plane: str
    isolation: str
    origin_run: UUID | None
    origin_reason: OriginReason | None
    created_by: str
    created_at: Time
    seal: Digest
    state: RunState
    fence: str | None
    cause: str | None
    owner: str | None
    since: Time
    error_class: ErrorClass | None
    exit_code: int | None
    metrics: dict[str, float]
    observed: Observed | None
    started_at: Time | None
    ended_at: Time | None


class PolicySnapshot(Wire):
    """The rules that were applied to a Run and each decision with its reason; the digest is that of the content's canonical form."""

    project: str
    digest: Digest
    content: dict[str, Any]
    created_at: Time


class RunStart(Wire):
    """User code is about to start under this fence (a pod's UID, or a process's identity)."""

    fence: Annotated[str, Field(min_length=1, max_length=200)]


class RunTransition(Wire):
    """A state other than running and the terminal ones, with its cause and its owner."""

    state: Literal[RunState.QUEUED, RunState.UNKNOWN, RunState.RECONCILING]
    cause: Annotated[str, Field(min_length=1, max_length=2000)]
    owner: Annotated[str, Field(min_length=1, max_length=200)]


class _File(Wire):
    name: RelativePath
    digest: Digest
    size_bytes: Size


class OutputFile(_File):
    """A file that a Run made and that is to be stored: the output's name, or `name/path` for a file of a directory.

    One of more than 64 MiB may bring the digests of its parts, in order, and is then stored in parts.
    """

    parts: Annotated[list[Digest], Field(max_length=MOST_PARTS)] = []

    @model_validator(mode="after")
    def _parts_make_the_whole(self) -> "OutputFile":
        count = len(part_sizes(self.size_bytes))
        if self.parts and (len(self.parts) != count or count == 1):
            raise ValueError(f"a file of {self.size_bytes} bytes has {count} parts; a single part is not listed")
        return self


class StoredFile(_File):
    """An output with the place where its bytes are."""

    object_key: Annotated[str, Field(min_length=1, max_length=1024)]
    version_id: Annotated[str, Field(min_length=1, max_length=1024)]


class RunFinish(Wire):
    """How a Run ended. A Run that succeeded brings every output that it declared."""

    state: Literal[RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELED]
    fence: Annotated[str, Field(max_length=200)] | None = None
    exit_code: Annotated[Whole, Field(ge=-(2**31))] | None = None
    error_class: ErrorClass | None = None
    cause: Text | None = None
    metrics: Annotated[
        dict[
            Annotated[str, Field(max_length=200)],
            Annotated[Number, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)],
        ],
        Field(max_length=1000),
    ] = {}
    artifacts: Annotated[list[StoredFile], Field(max_length=10_000)] = []
    observed: Observed | None = None

    @model_validator(mode="after")
    def _failure_has_a_class(self) -> "RunFinish":
        if (self.state is RunState.FAILED) != (self.error_class is not None):
            raise ValueError("a failed Run, and only a failed Run, has an error_class")
        return self


class UploadRequest(Wire):
    """The outputs for which a Run asks leave to store bytes."""

    files: Annotated[list[OutputFile], Field(min_length=1, max_length=10_000)]


class Grant(Wire):
    """Leave to move the bytes of one object, one way, for a short time. The URL is a secret; the call carries the headers as they are."""

    name: str
    method: Literal["GET", "PUT"]
    url: Annotated[str, Field(repr=False)]
    headers: dict[str, str] = Field(default_factory=dict)
    object_key: str
    digest: Digest
    size_bytes: Size
    expires_at: Time


class PartGrant(Wire):
    """Leave to store one part. The URL is a secret; the call carries the headers as they are."""

    url: Annotated[str, Field(repr=False)]
    headers: dict[str, str] = Field(default_factory=dict)
    digest: Digest
    size_bytes: Size


class MultipartGrant(Wire):
    """Leave to store one object in parts, in this order, for a short time; to put them together is not part of it."""

    name: str
    upload_id: str
    parts: list[PartGrant]
    object_key: str
    digest: Digest
    size_bytes: Size
    expires_at: Time


class Grants(Wire):
    """Leave to store files: those of one call each, and those that are stored in parts and then completed."""

    grants: list[Grant]
    multipart: list[MultipartGrant] = []


class UploadedFile(_File):
    """An output whose parts are stored."""

    upload_id: Annotated[str, Field(min_length=1, max_length=1024)]


class UploadCompletion(Wire):
    """The uploads to put together from their parts."""

    files: Annotated[list[UploadedFile], Field(min_length=1, max_length=10_000)]


class StoredFiles(Wire):
    """Outputs, each with the place where its bytes are."""

    files: list[StoredFile]


class Staging(Wire):
    """What the data plane needs to put a Run's inputs in place: grants for Artifacts, source and files for DatasetVersions."""

    grants: list[Grant]
    datasets: list["StagedDataset"]


class StagedDataset(Wire):
    """One DatasetVersion input: where it is, and what every file must be."""

    name: str
    source: str
    source_type: str
    files: list["StagedFile"]


class StagedFile(Wire):
    """One file of a DatasetVersion input."""

    path: str
    digest: Digest
    size_bytes: Size
