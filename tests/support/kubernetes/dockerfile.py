"""Images that buildah makes of the Dockerfile as a site does, without a network and on bases of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.debian import require
from tests.support.kubernetes.images import NAMES, Image, Layer
from tests.support.kubernetes.machine import compiler, shell
from tests.support.kubernetes.tree import Directory

if TYPE_CHECKING:
    from tests.support.kubernetes.images import Images

CHECKOUT = Path(__file__).parents[3]
LAUNCHER = CHECKOUT / "provider" / "holdfast" / "dataplane" / "agent" / "launch.c"
_DEADLINE_S = 300


class BuildFailed(Exception):
    """The Dockerfile was not built; the message is what buildah has printed."""


class Builder:
    """Builds the Dockerfile's targets, and keeps what it needs for that in a directory of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add_base(self, image: Image) -> str:
        """Have an image to build on, as one that was loaded from an archive; return its reference by digest."""
        archive = self._root / "base.tar"
        image.write_archive(archive)
        self._buildah("pull", "--quiet", f"oci-archive:{archive}")
        archive.unlink()
        return image.reference

    def tag(self, reference: str, name: str) -> None:
        """Have an image under another name."""
        self._buildah("tag", reference, name)

    def build(self, target: str, arguments: dict[str, str], context: Path = CHECKOUT) -> Image:
        """Return the image of a target.

        Args:
            target: a stage of the Dockerfile.
            arguments: the build arguments.
            context: the checkout, or a directory that stands for it.

        Raises:
            BuildFailed: it was not built.
        """
        given = [option for name, value in arguments.items() for option in ("--build-arg", f"{name}={value}")]
        ours = ["--isolation", "chroot", "--pull-never", "--no-cache", "--timestamp", "0", "--target", target]
        self._buildah("build", *ours, *given, "--tag", f"{NAMES}/{target}", str(context))
        layout = Path(tempfile.mkdtemp(dir=self._root))
        self._buildah("push", "--quiet", f"{NAMES}/{target}", f"oci:{layout}")
        return _image(f"{NAMES}/{target}", layout)

    def _buildah(self, *command: str) -> None:
        storage = ["--root", self._root / "storage", "--runroot", self._root / "state", "--storage-driver", "vfs"]
        done = subprocess.run(
            ["unshare", "--net", "buildah", *storage, *command],
            env={**os.environ, "TMPDIR": str(self._root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_DEADLINE_S,
        )
        if done.returncode != 0:
            raise BuildFailed(done.stdout)


@contextmanager
def builder() -> Iterator[Builder]:
    """Yield a builder whose storage is gone at the end."""
    require({"buildah": "buildah", "unshare": "util-linux"})
    root = Path(tempfile.mkdtemp(prefix="hf-build-", dir="/var/tmp"))
    try:
        yield Builder(root)
    finally:
        shutil.rmtree(root)


def compiler_image(images: Images) -> Image:
    """Return an image that compiles launch.c and little else."""
    require({"gcc": "gcc", "ld": "binutils"})
    layer = images.once("compiler", lambda: shell() | compiler(LAUNCHER) | {"tmp": Directory(0o1777)})
    return images.image("compiler", [layer], {"Env": ["PATH=/usr/bin:/bin"]})


def _image(name: str, layout: Path) -> Image:
    def blob(digest: str) -> Path:
        return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")

    (described,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = blob(described["digest"]).read_bytes()
    named = json.loads(manifest)
    layers = tuple(Layer(each["digest"], blob(each["digest"])) for each in named["layers"])
    return Image(name, manifest, blob(named["config"]["digest"]).read_bytes(), layers)
