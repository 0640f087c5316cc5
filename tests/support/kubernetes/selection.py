"""Chooses the cluster: the one that is given, kind where an engine for containers runs, and else one that is made on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.given import given_cluster, kind_cluster
from tests.support.kubernetes.own import own_cluster

KUBECONFIG = "HOLDFAST_TEST_KUBECONFIG"
HOST = "HOLDFAST_TEST_HOST"
REGISTRY = "HOLDFAST_TEST_REGISTRY"


@contextmanager
def throw_away_cluster(nodes: int = 2, environment: Mapping[str, str] = os.environ) -> Iterator[Cluster]:
    """Yield a cluster whose nodes are ready.

    Args:
        nodes: how many; a cluster that is given has what it has.
        environment: what decides which cluster it is.
    """
    match chosen(environment):
        case "given":
            made = given_cluster(
                Path(environment[KUBECONFIG]), environment.get(HOST, ""), environment.get(REGISTRY, "")
            )
        case "kind":
            made = kind_cluster(nodes)
        case "own":
            made = own_cluster(nodes)
    with made as cluster:
        yield cluster


def chosen(environment: Mapping[str, str]) -> Literal["given", "kind", "own"]:
    """Say which cluster an environment leads to; raises RuntimeError when it names a kubeconfig that is not there."""
    if given := environment.get(KUBECONFIG):
        if not Path(given).is_file():
            raise RuntimeError(f"{KUBECONFIG} names {given}, and there is no such file")
        return "given"
    path = environment.get("PATH", os.defpath)
    docker = shutil.which("docker", path=path)
    if docker is None or shutil.which("kind", path=path) is None:
        return "own"
    # The command alone says nothing: it is there on many machines without an engine.
    done = subprocess.run([docker, "info"], capture_output=True, check=False, timeout=60, env=dict(environment))
    return "kind" if done.returncode == 0 else "own"
