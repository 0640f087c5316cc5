"""Marks what a process makes on this machine with who that process is, so that it can be told when nobody owns it any more."""

from __future__ import annotations

import os
from pathlib import Path


def mark() -> str:
    """Return this process: its id, and when it started, because ids come again."""
    return f"{os.getpid()}-{_started(os.getpid())}"


def is_gone(marked: str) -> bool:
    """Say whether the process of a mark has ended; what bears no mark is somebody's."""
    pid, _, started = marked.partition("-")
    return pid.isdigit() and started.isdigit() and _started(int(pid)) != started


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""
