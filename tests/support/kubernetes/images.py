"""Container images made on the spot, without an engine and without a registry: OCI image layouts with the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.kubernetes.machine import PYTHON_LIBRARY, interpreter, shell
from tests.support.kubernetes.tree import Directory, File, Link, Tree

NAMES = "localhost/holdfast"
USER = 65532
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as a tar file, not compressed.

    Attributes:
        digest: `sha256:<hex>` of the file.
        path: where it lies.
    """

    digest: str
    path: Path

    @property
    def size_bytes(self) -> int:
        """Its length."""
        return self.path.stat().st_size


@dataclass(frozen=True)
class Image:
    """An image of one platform.

    Attributes:
        name: without tag and digest.
        manifest: the bytes whose digest is the image's.
        config: the bytes that the manifest names as configuration.
        layers: from the lowest.
    """

    name: str
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]

    @cached_property
    def digest(self) -> str:
        """`sha256:<hex>` of the manifest."""
        return digest_of(self.manifest)

    @property
    def reference(self) -> str:
        """What a pod names to run exactly these bytes."""
        return f"{self.name}@{self.digest}"

    def write_archive(self, target: Path) -> None:
        """Write the image as an OCI layout in a tar file, which a container engine imports under its reference."""
        descriptor = {
            "mediaType": MANIFEST,
            "digest": self.digest,
            "size": len(self.manifest),
            "annotations": {"io.containerd.image.name": self.reference},
        }
        small = {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": _json({"schemaVersion": 2, "manifests": [descriptor]}),
            _blob(self.digest): self.manifest,
            _blob(digest_of(self.config)): self.config,
        }
        tree = {name: File(content) for name, content in small.items()}
        tree |= {_blob(layer.digest): File(layer.path) for layer in self.layers}
        _write_tar(target, tree)


class Images:
    """Makes images in a directory, each layer once.

    Args:
        directory: where the layers lie as long as they are needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[str, Layer] = {}

    def layer(self, tree: Tree) -> Layer:
        """Return a layer that puts a tree over what is below it; the same tree makes the same bytes."""
        with tempfile.NamedTemporaryFile(dir=self._directory, delete=False) as file:
            making = Path(file.name)
        _write_tar(making, tree)
        with making.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        return Layer(digest, making.rename(self._directory / f"{digest.removeprefix('sha256:')}.tar"))

    def once(self, name: str, tree: Callable[[], Tree]) -> Layer:
        """Return the layer of a name, made by the first who asks for it."""
        if name not in self._made:
            self._made[name] = self.layer(tree())
        return self._made[name]

    def image(self, name: str, layers: list[Layer], config: Mapping[str, Any]) -> Image:
        """Return an image.

        Args:
            name: its last part; it gets a prefix that no registry answers to.
            layers: from the lowest.
            config: `Env`, `Entrypoint`, `Cmd`, `User` and `WorkingDir` of the OCI image configuration.
        """
        about = {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        }
        configuration = _json(about)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest_of(configuration), "size": len(configuration)},
            "layers": [{"mediaType": _LAYER, "digest": layer.digest, "size": layer.size_bytes} for layer in layers],
        }
        return Image(f"{NAMES}/{name}", _json(manifest), configuration, tuple(layers))

    def pause(self) -> Image:
        """Return what holds the namespaces of a pod: it does nothing until it is killed."""
        config = {"Entrypoint": ["/bin/busybox", "sleep", "infinity"], "Env": ["PATH=/bin"]}
        return self.image("pause", [self._shell()], config)

    @property
    def python_library(self) -> str:
        """Where the Python of `python` finds what is installed, without the leading slash."""
        return PYTHON_LIBRARY

    def python(self, name: str = "python", *above: Layer, **config: Any) -> Image:
        """Return an image with this machine's Python, a shell, a writable /tmp, and a user without rights.

        Args:
            name: of the image.
            above: layers that are put on top.
            config: what differs from the default configuration, such as `Env`.
        """
        default = {
            "User": str(USER),
            "WorkingDir": "/",
            "Env": ["PATH=/usr/local/bin:/bin", "HOME=/tmp"],
            "Cmd": ["python"],
        }
        return self.image(name, [self._shell(), self.once("python", interpreter), *above], default | config)

    def _shell(self) -> Layer:
        accounts = {
            "etc/passwd": File(f"root:x:0:0::/:/bin/sh\nagent:x:{USER}:{USER}::/tmp:/bin/sh\n".encode()),
            "etc/group": File(f"root:x:0:\nagent:x:{USER}:\n".encode()),
            "tmp": Directory(0o1777),
        }
        return self.once("shell", lambda: accounts | shell())


def digest_of(content: bytes) -> str:
    """Return `sha256:<hex>` of bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _write_tar(target: Path, tree: Tree) -> None:
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(tree):
            # Nothing of the time, the owner or the order of a directory gets in, so that the digest is the content's alone.
            info = tarfile.TarInfo(name)
            match tree[name]:
                case Link(linkname):
                    info.type, info.linkname, info.mode = tarfile.SYMTYPE, linkname, 0o777
                    tar.addfile(info)
                case Directory(mode):
                    info.type, info.mode = tarfile.DIRTYPE, mode
                    tar.addfile(info)
                case File(bytes() as content, mode):
                    info.size, info.mode = len(content), mode
                    tar.addfile(info, io.BytesIO(content))
                case File(Path() as path, mode):
                    info.size, info.mode = path.stat().st_size, mode
                    with path.open("rb") as file:
                        tar.addfile(info, file)


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
