"""The control groups of a node, in every hierarchy that this machine has (version 1) or in the one (version 2)."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_DEADLINE_S = 15


def make(name: str) -> None:
    """Make a group in each hierarchy, in which processes can be put."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        # A new cpuset is empty, and takes no process before it has what its parent has.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if hierarchy != ROOT and (group / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())


def remove(name: str) -> None:
    """Remove a group with all below it, once the processes in it have gone.

    Raises:
        RuntimeError: some still have processes after the deadline; they stay.
    """
    deadline = time.monotonic() + _DEADLINE_S
    while left := [group for group in (hierarchy / name for hierarchy in _hierarchies()) if group.is_dir()]:
        for group in left:
            for inner in sorted(group.rglob("*/"), reverse=True):
                with suppress(OSError):  # busy for a moment, or gone by itself
                    inner.rmdir()
            with suppress(OSError):
                group.rmdir()
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes are left in the control groups {', '.join(map(str, left))}")
        time.sleep(0.02)


def remove_all(tag: str) -> None:
    """Remove the groups of all nodes of a cluster."""
    for name in {group.name for hierarchy in _hierarchies() for group in hierarchy.glob(f"{tag}n*")}:
        remove(name)


def _hierarchies() -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    # Beside those of version 1 there may be one of version 2, in which runc makes groups too.
    return [path for path in sorted(ROOT.iterdir()) if not path.is_symlink() and (path / "cgroup.procs").exists()]
