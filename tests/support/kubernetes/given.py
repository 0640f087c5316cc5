"""Clusters that are made elsewhere: one that a kubeconfig leads to, and one that kind makes where containers run."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.support.kubernetes import binary
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.images import Image

_DEADLINE_S = 600


class GivenCluster(Cluster):
    """A cluster that is not ours: nothing of it is stopped, and images come to it by a registry.

    Attributes:
        registry: `<host>:<port>` of a registry that takes our images over plain HTTP and that its nodes pull from; empty for none.
    """

    registry: str = ""

    def load(self, image: Image) -> str:
        """Put an image where the nodes find it, and return the reference by which they do."""
        from tests.support.kubernetes.registry import push

        if not self.registry:
            raise RuntimeError(
                f"the nodes of the cluster of {self.kubeconfig} cannot be handed the image {image.name}: name by "
                "HOLDFAST_TEST_REGISTRY a registry (<host>:<port>, plain HTTP) that they pull from"
            )
        return push(image, self.registry)


class KindCluster(Cluster):
    """A cluster that kind has made.

    Attributes:
        name: as kind knows it.
    """

    name: str = ""

    def load(self, image: Image) -> str:
        """Have an image on every node, and return the reference by which a pod runs it without a pull."""
        archive = self._archive(image)
        _run("kind", "load", "image-archive", str(archive), "--name", self.name)
        archive.unlink()
        return image.reference


@contextmanager
def given_cluster(kubeconfig: Path, host: str, registry: str) -> Iterator[GivenCluster]:
    """Yield the cluster of a kubeconfig.

    Args:
        kubeconfig: leads to it as somebody who may do everything.
        host: the address at which its pods reach this machine; empty for the one that this machine talks to it from.
        registry: see GivenCluster.
    """
    with tempfile.TemporaryDirectory(prefix="hf-kube-") as root:
        cluster = GivenCluster(kubeconfig, host, _kubectl(), Path(root))
        cluster.host = host or _our_address(cluster)
        cluster.registry = registry
        yield cluster


@contextmanager
def kind_cluster(nodes: int) -> Iterator[KindCluster]:
    """Yield a cluster with this many workers; it is deleted at the end."""
    name = f"hf-{secrets.token_hex(3)}"
    shape = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane"}, *({"role": "worker"} for _ in range(nodes))],
    }
    with tempfile.TemporaryDirectory(prefix="hf-kube-") as root:
        kubeconfig, description = Path(root, "admin.kubeconfig"), Path(root, "kind.yaml")
        description.write_text(yaml.safe_dump(shape))
        options = ["--name", name, "--kubeconfig", str(kubeconfig)]
        try:
            _run("kind", "create", "cluster", *options, "--config", str(description), "--wait", "180s")
            cluster = KindCluster(kubeconfig, _gateway(), _kubectl(), Path(root))
            cluster.name = name
            yield cluster
        finally:
            _run("kind", "delete", "cluster", *options)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_DEADLINE_S)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-1000:]}")
    return done.stdout


def _kubectl() -> str:
    return shutil.which("kubectl") or str(binary.programs() / "kubectl")


def _gateway() -> str:
    """Return the address of this machine in the network that kind's nodes are in."""
    ranges = json.loads(_run("docker", "network", "inspect", "kind"))[0]["IPAM"]["Config"]
    return next(each["Gateway"] for each in ranges if "." in each.get("Gateway", ""))


def _our_address(cluster: Cluster) -> str:
    server = urlsplit(cluster.api().configuration.host)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect((server.hostname, server.port or 443))  # sends nothing
        return asked.getsockname()[0]
