"""A data plane to test on: a cluster with a Project's namespace, the agent's image and S3 that pods reach."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.dataplane.kubernetes.namespace import (
    Egress,
    NamespaceSettings,
    Quota,
    admission_documents,
    namespace_documents,
)
from tests.support.debian import require
from tests.support.kubernetes.tree import File

if TYPE_CHECKING:
    from tests.support.kubernetes.cluster import Cluster
    from tests.support.kubernetes.images import Image, Images
    from tests.support.s3 import S3Server

_PACKAGE = Path(__file__).parents[3] / "provider" / "holdfast"


@dataclass
class DataPlane:
    """Where the Runs of tests are executed.

    Attributes:
        cluster: the cluster.
        s3: the object store.
        bucket: of the installation.
        agent: reference of the agent's image.
        user: reference of an image with Python.
    """

    cluster: Cluster
    s3: S3Server
    bucket: str
    agent: str
    user: str

    def prepare(
        self,
        project: str,
        *,
        quota: Quota | None = None,
        workers: tuple[str, ...] = (),
        reconcilers: tuple[str, ...] = (),
    ) -> None:
        """Apply a Project's namespace, named as the Project."""
        address = self.s3.url.removeprefix("http://")
        host, _, port = address.partition(":")
        egress = (Egress(f"{host}/32", int(port)),)
        settings = NamespaceSettings(project, project, egress, workers, quota or Quota(), reconcilers)
        documents = [*admission_documents(), *namespace_documents(settings)]
        self.cluster.kubectl(
            "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        )


def data_plane(cluster: Cluster, s3: S3Server) -> DataPlane:
    """Return a data plane on a cluster, its images on every node."""
    agent, user = cluster.load(agent_image(cluster.images)), cluster.load(cluster.images.python("user"))
    return DataPlane(cluster, s3, s3.create_bucket(), agent, user)


def agent_image(images: Images) -> Image:
    """Return an image with the same files as the Dockerfile's target `agent`, in a fraction of the time that a build takes."""
    modules = [_PACKAGE / "__init__.py", _PACKAGE / "dataplane" / "__init__.py"]
    modules += sorted((_PACKAGE / "dataplane" / "agent").glob("*.py"))
    library = f"{images.python_library}/holdfast"
    tree = {f"{library}/{module.relative_to(_PACKAGE)}": File(module, 0o444) for module in modules}
    tree["usr/local/lib/holdfast/launch"] = File(_launcher(), 0o555)
    return images.python("agent", images.layer(tree))


def _launcher() -> bytes:
    """Return what the agent's image has as process 1 of the user's container."""
    require({"gcc": "gcc", "ld": "binutils"})
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "launch"
        source = _PACKAGE / "dataplane" / "agent" / "launch.c"
        subprocess.run(["gcc", "-static", "-Os", "-Wall", "-Werror", "-o", made, source], check=True, timeout=60)
        return made.read_bytes()
