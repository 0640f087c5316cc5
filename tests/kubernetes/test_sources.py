"""Data in S3 in pods: what was recorded arrives, whatever lies there by now, and what does not is named before user code starts."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from holdfast.core.run import ErrorClass, RunState
from holdfast.core.sources import SourceRules
from holdfast.dataplane.plane import CodeSource, StepFailed
from holdfast.dataplane.survey import survey
from holdfast.objects.s3_sources import S3Sources
from holdfast.service.governance import GovernanceService
from holdfast.service.sources import Sources
from holdfast.wire.run import InputRef, Run
from tests.support.kubernetes.project import KubernetesProject
from tests.support.s3 import REGION, S3Server

if TYPE_CHECKING:
    from holdfast.wire.dataset import DatasetVersion

SHOW = """
import os, pathlib
data = pathlib.Path(os.environ["HOLDFAST_INPUTS"]) / "data"
found = sorted(f"{path.relative_to(data)}={path.read_text()}" for path in data.rglob("*") if path.is_file())
(pathlib.Path(os.environ["HOLDFAST_OUTPUTS"]) / "seen").write_text(" ".join(found))
"""


@dataclass
class Landing:
    project: KubernetesProject
    s3: S3Server
    bucket: str

    def put(self, key: str, body: bytes) -> None:
        self.s3.client().put_object(Bucket=self.bucket, Key=key, Body=body)

    def register(self, prefix: str) -> DatasetVersion:
        datasets = self.project.governance.datasets
        request = survey(datasets, self.project.name, f"s3://{self.bucket}/{prefix}", [])
        return datasets.register(self.project.name, "data", request)

    def create(self, version: DatasetVersion) -> Run:
        inputs = {"data": InputRef(dataset_version=version.id, digest=version.digest)}
        return self.project.create("python", "-c", SHOW, inputs=inputs, outputs={"seen": "seen"})

    def refused(self, run: Run) -> StepFailed:
        with pytest.raises(StepFailed) as failed:
            self.project.pod_run(run).begin(CodeSource(str(self.project.code)))
        ended = self.project.found(run)
        assert (ended.state, ended.error_class) == (RunState.FAILED, ErrorClass.DATA)
        assert "X-Amz" not in str(ended.cause)
        return failed.value


@pytest.fixture
def landing(project: KubernetesProject, s3: S3Server) -> Landing:
    bucket, governance = s3.create_bucket(), project.governance
    assert isinstance(governance, GovernanceService)
    rules = SourceRules.parse(f"{project.name}=s3://{bucket}/in/")
    store = S3Sources(s3.session(), endpoint_url=s3.url, region=REGION)
    return Landing(replace(project, governance=replace(governance, sources=Sources(rules, store))), s3, bucket)


def test_a_pod_gets_the_recorded_versions_whatever_lies_there_by_now(landing: Landing) -> None:
    landing.put("in/a", b"1")
    landing.put("in/b/c", b"2")
    version = landing.register("in/")
    landing.put("in/a", b"overwritten")
    landing.s3.client().delete_object(Bucket=landing.bucket, Key="in/b/c")

    ended = landing.project.succeed(landing.create(version))

    [artifact] = landing.project.governance.artifacts.list(landing.project.name, run=ended.id).items
    kept = landing.s3.client().get_object(
        Bucket=landing.project.plane.bucket, Key=artifact.object_key, VersionId=artifact.version_id
    )
    assert kept["Body"].read() == b"a=1 b/c=2"


def test_a_version_that_has_vanished_is_named_before_user_code_starts(landing: Landing) -> None:
    landing.put("in/a", b"1")
    version = landing.register("in/")
    [file] = landing.project.governance.datasets.files(landing.project.name, version.id).items
    landing.s3.client().delete_object(Bucket=landing.bucket, Key="in/a", VersionId=file.version_id)
    assert "the bytes of 'data/a' are gone: the store holds no such version" in str(
        landing.refused(landing.create(version))
    )


def test_other_bytes_than_were_recorded_are_named_with_both_digests(landing: Landing) -> None:
    landing.put("in/a", b"abc")
    datasets, name = landing.project.governance.datasets, landing.project.name
    request = survey(datasets, name, f"s3://{landing.bucket}/in/", [])
    other = "sha256:" + secrets.token_hex(32)
    forged = request.model_copy(update={"files": [request.files[0].model_copy(update={"digest": other})]})
    said = str(landing.refused(landing.create(datasets.register(name, "forged", forged))))
    assert "input 'data/a' is not what was recorded" in said
    assert other in said
    assert request.files[0].digest in said
