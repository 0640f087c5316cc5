"""Builds the programs of Kubernetes from the Go modules that `kubernode/go.mod` locks, once, and keeps them beside other caches."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

SOURCE = Path(__file__).parent / "kubernode"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
_BUILT_FROM = ("main.go", "go.mod", "go.sum")
_DEADLINE_S = 3600
_USUAL = "/usr/local/go/bin"  # where Go's own archive is unpacked to, whatever PATH says


def programs() -> Path:
    """Return the directory in which every program of PROGRAMS is.

    Raises:
        RuntimeError: there is no Go, or the build failed; nothing is kept then.
    """
    version, cache = _version(), cache_directory()
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in _BUILT_FROM)).hexdigest()
    kept = cache / f"kubernetes-{version}-{digest[:12]}"
    if kept.is_dir():
        return kept
    if (go := shutil.which("go") or shutil.which("go", path=_USUAL)) is None:
        raise RuntimeError(
            f"Kubernetes {version} is built here from its Go modules, and there is no `go` on PATH; install Go (see the `go` line of "
            f"{SOURCE / 'go.mod'}), or name a cluster by HOLDFAST_TEST_KUBECONFIG"
        )
    cache.mkdir(parents=True, exist_ok=True)
    # Beside its last place, so that it gets there whole by one rename.
    with tempfile.TemporaryDirectory(prefix=f"{kept.name}.", dir=cache) as making:
        built = Path(making) / "programs"
        built.mkdir()
        _build(go, built / "kubernode", version)
        for name in PROGRAMS:
            (built / name).symlink_to("kubernode")
        with suppress(OSError):  # somebody else was faster; theirs is as good
            built.rename(kept)
    return kept


def cache_directory() -> Path:
    """Return where things are kept that are dear to make and may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast"


def _version() -> str:
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{SOURCE / 'go.mod'} names no version of k8s.io/kubernetes")
    return found[1]


def _build(go: str, target: Path, version: str) -> None:
    print(
        f"building Kubernetes {version} from its Go modules, once; this takes some minutes", file=sys.stderr, flush=True
    )
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamp = "k8s.io/component-base/version"
    flags = f"-s -w -X {stamp}.gitVersion={version} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    done = subprocess.run(
        [go, "build", "-trimpath", "-ldflags", flags, "-o", str(target), "."],
        cwd=SOURCE,
        env={**os.environ, "CGO_ENABLED": "0"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=_DEADLINE_S,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the build of Kubernetes {version} failed: {done.stderr[-2000:]}")
    print(f"built Kubernetes {version}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(f"Kubernetes is in {programs()}")
