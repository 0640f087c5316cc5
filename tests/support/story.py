"""A Project with people, an environment, data and a policy, and the steps that a test goes through in it."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx

from holdfast.core.access import Role
from holdfast.objects.filesystem import FilesystemStore
from holdfast.wire.dataset import DatasetVersionRequest, FileEntry
from holdfast.wire.model import ApprovalGateSpec, MetricGateSpec, ModelVersionRequest, PolicyRequest, PromotionRequest
from holdfast.wire.project import ProjectRequest, RoleBindingRequest
from holdfast.wire.run import (
    CodeRef,
    EnvironmentRequest,
    Grant,
    InputRef,
    OutputFile,
    PipelineRunRequest,
    Run,
    RunFinish,
    RunRequest,
    RunStart,
    StoredFile,
    UploadRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
    from uuid import UUID

    from holdfast.ports import Governance, ObjectStore
    from holdfast.wire.model import ModelVersion, Promotion

COMMIT = "c0ffee" * 6 + "c0ff"
CONTENT = {"model": b"a model", "metrics": b'{"accuracy": 0.95}', "plots/roc.svg": b"<svg/>"}


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class Story:
    """One Project: `mia` maintains it, `olaf` is its Security Officer, `vera` only looks."""

    act_as: Callable[[str], Governance]
    objects: ObjectStore
    project: str
    dataset: UUID | None = None

    @classmethod
    def begin(
        cls, act_as: Callable[[str], Governance], objects: ObjectStore, project: str | None = None, **more: Any
    ) -> Story:
        story = cls(act_as, objects, project or f"p{secrets.token_hex(6)}")
        install = act_as("system:install")
        install.projects.create(ProjectRequest(name=story.project, owner="a team", **more))
        for user, role in (("mia", Role.PROJECT_MAINTAINER), ("olaf", Role.SECURITY_OFFICER), ("vera", Role.VIEWER)):
            install.projects.bind_role(story.project, RoleBindingRequest(subject=f"user:{user}", role=role))
        story.mia.runs.lock_environment(
            story.project, EnvironmentRequest(name="sklearn", kind="interpreter", reference="/usr/bin/python3")
        )
        story.mia.promotions.define_policy(
            story.project,
            PolicyRequest(
                name="clinical",
                gates=[
                    MetricGateSpec(metric="accuracy", comparison=">=", bound=0.9),
                    ApprovalGateSpec(roles=[Role.SECURITY_OFFICER, Role.PROJECT_MAINTAINER]),
                ],
            ),
        )
        return story

    @property
    def mia(self) -> Governance:
        return self.act_as("user:mia")

    @property
    def olaf(self) -> Governance:
        return self.act_as("user:olaf")

    @property
    def vera(self) -> Governance:
        return self.act_as("user:vera")

    def dataset_request(self, text: str = "1,2,3") -> DatasetVersionRequest:
        content = text.encode()
        return DatasetVersionRequest(
            source="file:///landing/tumours",
            source_type="file",
            files=[FileEntry(path="data.csv", digest=digest_of(content), size_bytes=len(content))],
        )

    def register_dataset(self) -> UUID:
        return self.mia.datasets.register(self.project, "tumours", self.dataset_request()).id

    def pipeline_run(self, run_id: str = "manual__1", triggered_by: str | None = "mia") -> UUID:
        request = PipelineRunRequest(
            dag_id="tumour_classifier", run_id=run_id, bundle="dags", commit=COMMIT, triggered_by=triggered_by
        )
        return self.mia.runs.create_pipeline_run(self.project, request).id

    def run_request(self, **changes: Any) -> RunRequest:
        values: dict[str, Any] = {
            "idempotency_key": secrets.token_hex(32),
            "pipeline_run": self.pipeline_run(),
            "task_id": "train",
            "code": CodeRef(repository="dags", commit=COMMIT, path="steps"),
            "environment": "sklearn",
            "command": ["python", "steps/train.py"],
            "inputs": {"data": InputRef(dataset_version=self.register_dataset())},
            "parameters": {"max_depth": 4, "rate": 0.1},
            "outputs": {"model": "model.skops", "metrics": "metrics.json", "plots": "plots/"},
        }
        return RunRequest(**{**values, **changes})

    def start_run(self, **changes: Any) -> Run:
        run = self.mia.runs.create(self.project, self.run_request(**changes))
        return self.mia.runs.start(self.project, run.id, RunStart(fence="pod-1"))

    def store(self, run: Run, content: dict[str, bytes] | None = None) -> list[StoredFile]:
        """Store a Run's outputs by the grants given for them, as an agent does."""
        content = CONTENT if content is None else content
        files = [OutputFile(name=name, digest=digest_of(body), size_bytes=len(body)) for name, body in content.items()]
        grants = self.mia.runs.grant_uploads(self.project, run.id, UploadRequest(files=files)).grants
        return [
            StoredFile(
                name=grant.name,
                digest=grant.digest,
                size_bytes=grant.size_bytes,
                object_key=grant.object_key,
                version_id=self._put(grant, content[grant.name]),
            )
            for grant in grants
        ]

    def _put(self, grant: Grant, body: bytes) -> str:
        if grant.url.startswith("http://127.0.0.1:1/"):
            assert "grant_token" in parse_qs(urlsplit(grant.url).query)
            assert isinstance(self.objects, FilesystemStore)
            return self.objects.write(grant.object_key, [body], hashlib.sha256(body).digest(), len(body)).version_id
        reply = httpx.put(grant.url, content=body, headers=grant.headers)
        reply.raise_for_status()
        return reply.headers.get("x-amz-version-id") or str(reply.json()["version_id"])

    def finish_run(self, run: Run, **changes: Any) -> Run:
        values: dict[str, Any] = {
            "state": "succeeded",
            "fence": "pod-1",
            "exit_code": 0,
            "metrics": {"accuracy": 0.95},
            "artifacts": self.store(run),
        }
        return self.mia.runs.finish(self.project, run.id, RunFinish(**{**values, **changes}))

    def succeed(self, **changes: Any) -> Run:
        return self.finish_run(self.start_run(**changes))

    def artifact(self, run: Run, name: str) -> UUID:
        return next(a.id for a in self.mia.artifacts.list(self.project, run=run.id).items if a.name == name)

    def register_model(self, run: Run | None = None) -> ModelVersion:
        run = run or self.succeed()
        request = ModelVersionRequest(artifact=self.artifact(run, "model"), evidence=[self.artifact(run, "metrics")])
        return self.mia.models.register(self.project, "tumours", request)

    def request_promotion(self, version: ModelVersion | None = None, **changes: Any) -> Promotion:
        version = version or self.register_model()
        values: dict[str, Any] = {"model_version": version.id, "alias": "champion", "policy": "clinical"}
        return self.mia.promotions.request(self.project, PromotionRequest(**{**values, **changes}))

    def actions(self) -> list[str]:
        """Return what was done, in order."""
        return [event.action.value for event in reversed(self.mia.audit.list(self.project, limit=500).items)]
