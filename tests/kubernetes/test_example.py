"""The example, from git and a landing bucket to a promoted model: Airflow outside the cluster, every step a pod in it."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from demo.plane import PROJECT, data_file
from demo.repository import BRANCH

from demo import journey
from tests.support.airflow import Installation
from tests.support.kubernetes.data_plane import DataPlane

if TYPE_CHECKING:
    from uuid import UUID

pytestmark = pytest.mark.timeout(600)


def head_of(repository: str) -> str:
    command = ["git", "--git-dir", repository, "rev-parse", BRANCH]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_dag_of_the_laptop_runs_in_pods_and_everything_on_record_is_bound(
    place: Installation, plane: DataPlane
) -> None:
    said: list[str] = []
    maintainer, officer = place.airflow("maintainer"), place.airflow("officer")
    source = place.plane.bring()

    run_id = journey.trigger(maintainer, place.group, source)
    promotion = journey.follow(maintainer, officer, place.api_url, run_id, place.group, said.append)

    summary = journey.summarise(maintainer, place.api_url, run_id, promotion)
    assert any("took part in making or requesting" in line for line in said)
    assert (summary["alias"], summary["approved_by"]) == ("tumours@champion", ["user:officer"])
    # The commit and the image, on record and as they were seen.
    commit = head_of(str(place.state.root / "examples.git"))
    image = place.plane.environment.reference
    train, evaluate = place.runs(journey.DAG, run_id)
    assert summary["commit"] == commit
    nodes = {name.removeprefix("node/") for name in plane.cluster.kubectl("get", "nodes", "-o", "name").split()}
    for run in (train, evaluate):
        assert (run.state, run.data_plane) == ("succeeded", "kubernetes")
        assert run.code is not None
        assert run.code.commit == commit
        assert run.environment_reference == image
        assert run.observed is not None
        assert run.observed.image_digest == image.rpartition("@")[2]
        assert run.observed.node in nodes
    # The data: what lies in the bucket, and no other version of it.
    file = data_file()
    [data] = train.inputs
    assert data.dataset_version is not None
    version = place.governance.datasets.get(PROJECT, data.dataset_version)
    [entry] = place.governance.datasets.files(PROJECT, version.id).items
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    kept = plane.s3.client().get_object(Bucket=bucket, Key=f"{prefix}{file.name}")
    assert (version.source, version.source_type, data.digest) == (source, "s3", version.digest)
    assert (entry.path, entry.size_bytes, entry.version_id) == (file.name, file.stat().st_size, kept["VersionId"])
    assert entry.digest == f"sha256:{hashlib.sha256(kept['Body'].read()).hexdigest()}"
    # What the steps made: in S3, version by version, and the model that was judged is the one that was trained.
    made = {name: check_stored(place, plane, run.id) for name, run in (("train", train), ("evaluate", evaluate))}
    assert set(made["train"]) == {"model", "metrics"}
    assert set(made["evaluate"]) == {"report", "metrics", "plots/roc.svg"}
    bound = {item.name: item.digest for item in evaluate.inputs}
    assert bound == {"data": version.digest, "model": made["train"]["model"]}
    assert place.governance.models.get_version(PROJECT, promotion.model_version).source_run == train.id


def check_stored(place: Installation, plane: DataPlane, run: UUID) -> dict[str, str]:
    """Return name → digest of a Run's Artifacts, read back from the bucket with other eyes than the service's."""
    artifacts = place.governance.artifacts.list(PROJECT, run=run).items
    for artifact in artifacts:
        kept = (
            plane.s3.client()
            .get_object(Bucket=plane.bucket, Key=artifact.object_key, VersionId=artifact.version_id)["Body"]
            .read()
        )
        assert f"sha256:{hashlib.sha256(kept).hexdigest()}" == artifact.digest
        assert len(kept) == artifact.size_bytes
    return {artifact.name: artifact.digest for artifact in artifacts}
