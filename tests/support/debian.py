"""Installs what a suite needs from Debian, where that can be done; elsewhere it says exactly what is missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def require(commands: dict[str, str]) -> None:
    """Return when every command is there.

    Args:
        commands: the package of each command, or of each file by its whole path.

    Raises:
        RuntimeError: names the packages that are missing, and how to install them.
    """
    if not _missing(commands):
        return
    # Suites run beside each other, and apt-get ends at once where another one is at work.
    with (Path(tempfile.gettempdir()) / "holdfast-debian.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if missing := _missing(commands):
            _install(missing)


def _missing(commands: dict[str, str]) -> list[str]:
    return sorted({package for command, package in commands.items() if not _is_there(command)})


def _is_there(command: str) -> bool:
    return Path(command).exists() if command.startswith("/") else shutil.which(command) is not None


def _install(missing: list[str]) -> None:
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(f"these Debian packages are missing: {' '.join(missing)}; run as root: {' '.join(install)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-500:]}")
