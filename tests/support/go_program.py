"""Builds programs of tests from the Go modules that a `go.mod` beside them locks, each once, and keeps them beside other caches."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BUILT_FROM = ("main.go", "go.mod", "go.sum")
_DEADLINE_S = 3600
_USUAL = "/usr/local/go/bin"  # where Go's own archive is unpacked to, whatever PATH says


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A program whose source lies in this repository and whose substance is one Go module.

    Attributes:
        title: what it is called in messages, and in lower case in the cache.
        source: the directory of its `go.mod` and `go.sum`, and of its `main.go` where the module has no program of its own.
        module: the module whose version it has.
        names: what it can be called by, besides the name of its source's directory.
        stamp: flags of the linker; `{version}`, `{major}` and `{minor}` stand for the module's.
        otherwise: what helps where there is no Go, besides installing it.
        package: what is built: the source, or a program of the module that its `go.mod` names as a tool.
    """

    title: str
    source: Path
    module: str
    names: tuple[str, ...] = ()
    stamp: str = ""
    otherwise: str = ""
    package: str = "."

    def directory(self) -> Path:
        """Return the directory in which the program is, by its own name and by every other of its names.

        Raises:
            RuntimeError: there is no Go, or the build failed; nothing is kept then.
        """
        version, cache = self._version(), _cache_directory()
        digest = hashlib.sha256(
            b"".join(place.read_bytes() for name in _BUILT_FROM if (place := self.source / name).exists())
        ).hexdigest()
        kept = cache / f"{self.title.lower()}-{version}-{digest[:12]}"
        if kept.is_dir():
            return kept
        if (go := shutil.which("go") or shutil.which("go", path=_USUAL)) is None:
            raise RuntimeError(
                f"{self.title} {version} is built here from its Go modules, and there is no `go` on PATH; install Go (see the `go` line "
                f"of {self.source / 'go.mod'}){self.otherwise}"
            )
        cache.mkdir(parents=True, exist_ok=True)
        # Beside its last place, so that it gets there whole by one rename.
        with tempfile.TemporaryDirectory(prefix=f"{kept.name}.", dir=cache) as making:
            built = Path(making) / "programs"
            built.mkdir()
            self._build(go, built / self.source.name, version)
            for name in self.names:
                (built / name).symlink_to(self.source.name)
            with suppress(OSError):  # somebody else was faster; theirs is as good
                built.rename(kept)
        return kept

    def _version(self) -> str:
        named = re.compile(rf"^\s*(?:require )?{re.escape(self.module)} (v\S+)", re.MULTILINE)
        found = named.search((self.source / "go.mod").read_text())
        if found is None:
            raise RuntimeError(f"{self.source / 'go.mod'} names no version of {self.module}")
        return found[1]

    def _build(self, go: str, target: Path, version: str) -> None:
        print(
            f"building {self.title} {version} from its Go modules, once; this takes some time",
            file=sys.stderr,
            flush=True,
        )
        major, minor, _ = version.removeprefix("v").split(".", 2)
        flags = f"-s -w {self.stamp.format(version=version, major=major, minor=minor)}".rstrip()
        done = subprocess.run(
            [go, "build", "-trimpath", "-ldflags", flags, "-o", str(target), self.package],
            cwd=self.source,
            env={**os.environ, "CGO_ENABLED": "0"},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_DEADLINE_S,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the build of {self.title} {version} failed: {done.stderr[-2000:]}")
        print(f"built {self.title} {version}", file=sys.stderr, flush=True)


def _cache_directory() -> Path:
    """Return where things are kept that are dear to make and may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast"
