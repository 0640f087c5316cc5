"""The demo's Runs as pods: a cluster and an object store that are made for it, or a cluster that is there already.

They are the tests' own, and are gone when the demo ends; what they ran and kept stays on record.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from demo.failure import DemoFailure
from demo.narrate import Narrator
from demo.plane import PROJECT, Plane

_ELSE = "`make demo` tells the same story on this machine alone"


class NoCluster(DemoFailure):
    """There is no cluster to show it on."""

    is_about_another_demo = True


@dataclass(frozen=True, slots=True)
class Given:
    """A cluster that is there already.

    Attributes:
        kubeconfig: leads to it as somebody who may do everything in it.
        host: the address at which its pods reach this machine; empty for the one that this machine talks to it from.
        registry: `<host>:<port>` of a registry that takes images over plain HTTP, and that its nodes pull from.
    """

    kubeconfig: Path
    host: str = ""
    registry: str = ""


@contextmanager
def cluster_plane(given: Given | None, say: Narrator) -> Iterator[Plane]:
    """Yield a cluster with a Project's namespace, an object store and the images that the story needs.

    Raises:
        DemoFailure: it cannot be had; says what is missing and what else can be done. Nothing is left running.
    """
    _check(given)
    # Late, because this is a large part of the tests' support.
    from tests.support.kubernetes.airflow import on_cluster
    from tests.support.kubernetes.data_plane import data_plane
    from tests.support.kubernetes.example import example_image
    from tests.support.kubernetes.selection import HOST, KUBECONFIG, REGISTRY, throw_away_cluster
    from tests.support.s3 import throw_away_s3

    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    if given is not None:
        environment |= {KUBECONFIG: str(given.kubeconfig), HOST: given.host, REGISTRY: given.registry}
    is_there = False
    try:
        say("Kubernetes starts", then="starting a control plane and two nodes")
        with throw_away_cluster(2, environment) as cluster:
            nodes = cluster.kubectl("get", "nodes", "-o", "name").split()
            say(f"Kubernetes {len(nodes)} nodes ready", then="starting an S3 server")
            with throw_away_s3(host=cluster.host) as s3:
                say(f"S3         answers at {s3.url}", then="making images")
                plane = data_plane(cluster, s3)
                image = cluster.load(example_image(cluster.images))
                say(f"images     agent {_short(plane.agent)}, steps {_short(image)}", then="starting PostgreSQL")
                looking = (
                    f"export KUBECONFIG={cluster.kubeconfig}",
                    f"{cluster.kubectl_path} --namespace {PROJECT} get pods",
                )
                made = replace(on_cluster(plane, image), looking=looking)
                is_there = True
                yield made
    except (RuntimeError, OSError) as error:
        if is_there:
            raise
        raise NoCluster(f"there is no cluster to show it on: {error}; {_ELSE}") from error


def _check(given: Given | None) -> None:
    """Return when a start is worth trying; raises DemoFailure."""
    if given is not None:
        if not given.kubeconfig.is_file():
            raise NoCluster(f"there is no kubeconfig {given.kubeconfig}; {_ELSE}")
        if not given.registry:
            raise NoCluster(
                "images come to a cluster that is there by a registry, and none is named: give --registry HOST:PORT,"
                f" one that takes images over plain HTTP and that its nodes pull from; {_ELSE}"
            )
    elif os.geteuid() != 0 and shutil.which("kind") is None:
        raise NoCluster(
            "a throw-away cluster makes networks and containers, which takes root: run as root, install kind, or give"
            f" --kubeconfig FILE; {_ELSE}"
        )


def _short(reference: str) -> str:
    return reference.rpartition("@")[2][:19]
