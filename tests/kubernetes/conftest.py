"""One cluster for the suite, and a name space for each test."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest
from kubernetes import client
from tests.support.kubernetes import Cluster, throw_away_cluster
from tests.support.kubernetes.own import OwnCluster, own_cluster


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
    """A name space at the restricted Pod Security level."""
    name = f"test-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.create_namespace({"metadata": {"name": name, "labels": labels}})
    deadline = time.monotonic() + 20
    while not core.list_namespaced_service_account(name).items:
        assert time.monotonic() < deadline, f"{name} got no service account"
        time.sleep(0.05)
    yield name
    core.delete_namespace(name)
