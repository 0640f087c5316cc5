"""A registry without encryption and without users, for pulls by digest; and how an image gets into one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml
from demo.supervise import Supervisor

from tests.support.debian import require
from tests.support.kubernetes.images import MANIFEST, NAMES, Image, digest_of
from tests.support.kubernetes.own import OwnCluster
from tests.support.server import free_ports

_DEADLINE_S = 30


def push(image: Image, address: str) -> str:
    """Put an image into a registry, and return the reference by which a pod pulls exactly these bytes.

    Args:
        image: what to put there.
        address: `<host>:<port>` of a registry that takes anybody's images over plain HTTP.

    Raises:
        httpx.HTTPError: the registry did not take it.
    """
    name = f"holdfast/{image.name.removeprefix(f'{NAMES}/')}"
    with httpx.Client(base_url=f"http://{address}/v2/{name}", timeout=60) as client:
        blobs = {layer.digest: layer.path.read_bytes() for layer in image.layers}
        for digest, content in {**blobs, digest_of(image.config): image.config}.items():
            if client.head(f"/blobs/{digest}").status_code == 200:
                continue
            begun = client.post("/blobs/uploads/").raise_for_status()
            location = httpx.URL(begun.headers["Location"]).copy_add_param("digest", digest)
            client.put(location, content=content).raise_for_status()
        put = client.put(f"/manifests/{image.digest}", content=image.manifest, headers={"Content-Type": MANIFEST})
        put.raise_for_status()
    return f"{address}/{name}@{image.digest}"


@contextmanager
def throw_away_registry(cluster: OwnCluster) -> Iterator[str]:
    """Yield the `<host>:<port>` of a registry that the nodes of a cluster pull from."""
    require({"docker-registry": "docker-registry"})
    address = f"{cluster.host}:{free_ports(1)[0]}"
    root = Path(tempfile.mkdtemp(prefix="hf-registry-", dir="/var/tmp"))
    configuration = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(root / "blobs")}},
        "http": {"addr": address},
    }
    (root / "registry.yaml").write_text(yaml.safe_dump(configuration))
    try:
        with Supervisor(root) as group, cluster.without_encryption(address):
            group.start("docker-registry", ["docker-registry", "serve", str(root / "registry.yaml")], os.environ)
            group.wait_until("the registry's start", lambda: _answers(address), _DEADLINE_S)
            yield address
    finally:
        shutil.rmtree(root)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/v2/", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
