"""Lays out what the agent's image adds to its base: the Dockerfile runs it on the base's own Python, so on the standard library alone.

It is no part of the image, and changes nothing of the base.
"""

import os
import re
import shutil
import site
import sys
from collections.abc import Mapping
from pathlib import Path

LAUNCHER = "usr/local/lib/holdfast/launch"
_PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_OLDEST = (3, 11)


class Refused(Exception):
    """This base makes no agent's image."""


def check(bases: Mapping[str, str], version: tuple[int, int], packages: Path) -> None:
    """Return when an image can be made.

    Args:
        bases: what was given for each build argument.
        version: of the base's Python.
        packages: where the base's Python finds packages.

    Raises:
        Refused: says what to give instead.
    """
    for name, reference in bases.items():
        if not _PINNED.fullmatch(reference):
            raise Refused(f"{name} is {reference!r}, and a tag can move: give NAME@sha256:DIGEST")
    if version < _OLDEST:
        raise Refused(
            f"PYTHON_IMAGE has Python {version[0]}.{version[1]}: give one with {_OLDEST[0]}.{_OLDEST[1]} or newer"
        )
    if (packages / "holdfast").exists():
        raise Refused(f"PYTHON_IMAGE has a Holdfast in {packages}: give one with Python alone")


def lay_out(package: Path, launcher: Path, packages: Path, image: Path) -> None:
    """Lay out below `image` what is copied over the base's root: nothing of it can be written, nor tells when it was made.

    Args:
        package: Holdfast, of which the agent alone is there.
        launcher: the static program that starts the user's command.
        packages: where the base's Python finds packages.
        image: an empty directory, or none.
    """
    place = packages.resolve()
    shutil.copytree(package, image / place.relative_to("/") / package.name)
    (image / LAUNCHER).parent.mkdir(parents=True)
    shutil.copyfile(launcher, image / LAUNCHER)
    for directory, _, files in os.walk(image, topdown=False):
        for name in files:
            path = Path(directory, name)
            path.chmod(0o555 if path == image / LAUNCHER else 0o444)
            os.utime(path, (0, 0))
        # What the base has as well keeps the mode that it has there.
        there = Path("/", Path(directory).relative_to(image))
        Path(directory).chmod(there.stat().st_mode & 0o7777 if there.is_dir() else 0o755)
        os.utime(directory, (0, 0))


def main() -> None:
    """Lay out the files in the current directory; exit 1 with what to give instead where that makes no agent's image."""
    packages = Path(site.getsitepackages()[0])
    bases = {name: os.environ.get(name, "") for name in ("COMPILER_IMAGE", "PYTHON_IMAGE")}
    try:
        check(bases, sys.version_info[:2], packages)
    except Refused as refused:
        sys.exit(str(refused))
    lay_out(Path("holdfast"), Path("launch"), packages, Path("image"))


if __name__ == "__main__":
    main()
