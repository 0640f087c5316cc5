"""One cluster and one S3 server for the whole suite; a platform whose object store that is, and a Project, for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.settings import Platform, Settings
from tests.support.kubernetes import Cluster, throw_away_cluster
from tests.support.kubernetes.data_plane import DataPlane, data_plane
from tests.support.kubernetes.project import KubernetesProject
from tests.support.s3 import REGION, S3Server, throw_away_s3


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with throw_away_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def s3(cluster: Cluster) -> Iterator[S3Server]:
    with throw_away_s3(cluster.host) as server:
        yield server


@pytest.fixture(scope="session")
def plane(cluster: Cluster, s3: S3Server) -> DataPlane:
    return data_plane(cluster, s3)


@pytest.fixture(scope="module")
def platform(settings: Settings, s3: S3Server, plane: DataPlane) -> Iterator[Platform]:
    changed = settings.model_copy(
        update={"objects_root": None, "s3_bucket": plane.bucket, "s3_endpoint_url": s3.url, "s3_region": REGION}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
        opened = Platform.open(changed)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def project(platform: Platform, plane: DataPlane, tmp_path_factory: pytest.TempPathFactory) -> KubernetesProject:
    code = tmp_path_factory.mktemp("code")
    (code / "steps").mkdir()
    (code / "steps" / "hello.py").write_text("print('hello from the step')\n")
    return KubernetesProject.make(platform, plane, code)
