"""One cluster and one S3 server for the suite; a namespace for each test of the cluster, a Project for each module about Runs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from holdfast.settings import Platform, Settings
from tests.support.airflow import Installation, installation
from tests.support.kubernetes import Cluster, throw_away_cluster
from tests.support.kubernetes.airflow import on_cluster
from tests.support.kubernetes.data_plane import DataPlane, data_plane
from tests.support.kubernetes.example import example_image
from tests.support.kubernetes.own import OwnCluster, own_cluster
from tests.support.kubernetes.project import KubernetesProject
from tests.support.s3 import S3Server, opened_on, throw_away_s3

DAGS = Path(__file__).parent / "dags"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the time in which a whole installation starts: the first that needs one waits for it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with throw_away_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def own(cluster: Cluster) -> Iterator[OwnCluster]:
    """A cluster whose nodes can be lost: the same one, unless that one is given or kind's."""
    if isinstance(cluster, OwnCluster):
        yield cluster
    else:
        with own_cluster(2) as running:
            yield running


@pytest.fixture(scope="session")
def core(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(cluster.api())


@pytest.fixture(scope="session")
def python(cluster: Cluster) -> str:
    """The reference of an image with Python."""
    return cluster.load(cluster.images.python())


@pytest.fixture
def namespace(cluster: Cluster, core: client.CoreV1Api) -> Iterator[str]:
    """A namespace at the restricted Pod Security level."""
    name = f"test-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.create_namespace({"metadata": {"name": name, "labels": labels}})
    deadline = time.monotonic() + 20
    while not core.list_namespaced_service_account(name).items:
        assert time.monotonic() < deadline, f"{name} got no service account"
        time.sleep(0.05)
    yield name
    core.delete_namespace(name)


@pytest.fixture(scope="session")
def s3(cluster: Cluster) -> Iterator[S3Server]:
    with throw_away_s3(host=cluster.host) as server:
        yield server


@pytest.fixture(scope="session")
def plane(cluster: Cluster, s3: S3Server) -> DataPlane:
    return data_plane(cluster, s3)


@pytest.fixture(scope="module")
def platform(settings: Settings, s3: S3Server, plane: DataPlane) -> Iterator[Platform]:
    """The governance functions with the S3 server as their object store."""
    with opened_on(s3, settings, objects_root=None, s3_bucket=plane.bucket) as opened:
        yield opened


@pytest.fixture(scope="module")
def project(platform: Platform, plane: DataPlane, tmp_path_factory: pytest.TempPathFactory) -> KubernetesProject:
    code = tmp_path_factory.mktemp("code")
    (code / "steps").mkdir()
    (code / "steps" / "hello.py").write_text("print('hello from the step')\n")
    return KubernetesProject.make(platform, plane, code)


@pytest.fixture(scope="session")
def place(plane: DataPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Airflow outside the cluster, whose Project's Runs are pods in it."""
    root = tmp_path_factory.mktemp("installation") / "state"
    made = on_cluster(plane, plane.cluster.load(example_image(plane.cluster.images)))
    with installation(root, lambda _: made, DAGS) as running:
        yield running
