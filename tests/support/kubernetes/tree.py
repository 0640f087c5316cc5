"""What a layer of an image holds: names, and what is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: bytes, or a file of this machine that is copied."""

    content: bytes | Path
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory; one that is only on the way to a file needs no entry."""

    mode: int = 0o755


Tree = Mapping[str, File | Link | Directory]


def copy_of(source: Path) -> File:
    """Return a file of this machine as it goes into an image: executable or not, and nothing else of its mode."""
    return File(source.resolve(), 0o755 if os.access(source, os.X_OK) else 0o644)


def copy_of_modules(package: Path, target: str) -> dict[str, File]:
    """Return the Python modules below a directory, without what has been compiled from them."""
    return {f"{target}/{path.relative_to(package)}": File(path) for path in sorted(package.rglob("*.py"))}
