"""What the floor is asked for: the fields that a life cycle sends, with the checks that anybody would write."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class CodeRef(BaseModel):
    repository: str
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    path: str = ""


class InputRef(BaseModel):
    dataset_version: UUID


class RunRequest(BaseModel):
    idempotency_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    pipeline_run: UUID
    task_id: Annotated[str, Field(min_length=1, max_length=250)]
    code: CodeRef
    environment: str
    command: list[str]
    inputs: dict[str, InputRef]
    parameters: dict[str, Any]
    outputs: dict[str, str]


class RunStart(BaseModel):
    fence: str


class OutputFile(BaseModel):
    name: str
    digest: Digest
    size_bytes: Annotated[int, Field(ge=0)]


class UploadRequest(BaseModel):
    files: list[OutputFile]


class StoredFile(OutputFile):
    object_key: str
    version_id: str


class RunFinish(BaseModel):
    state: str
    fence: str
    exit_code: int
    metrics: dict[str, float]
    artifacts: list[StoredFile]


class ModelVersionRequest(BaseModel):
    artifact: UUID
    evidence: list[UUID]


class PromotionRequest(BaseModel):
    model_version: UUID
    alias: str
    policy: str


class DecisionRequest(BaseModel):
    decision: str
    evidence_digest: Digest
    reason: str = ""
