"""What clusters leave on this machine, as text, so that before and after can be compared, whoever runs clusters beside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.support.kubernetes.control_groups import ROOT
from tests.support.kubernetes.own import DIRECTORIES


def of_machine(*processes: int) -> set[str]:
    """Return links, routes, network namespaces, mounts, packet rules, control groups and directories.

    Args:
        processes: those whose clusters count beside those of this one; what belongs to any other is left out.
    """
    ours = {os.getpid(), *processes}
    others = {name for name, marked in bridges().items() if not _is_of(marked, ours)}
    commands = [["ip", "-brief", "link"], ["ip", "route"], ["ip", "rule"], ["ip", "netns"], ["iptables-save"]]
    lines = [
        f"{' '.join(command)}: {_stable(line)}"
        for command in commands
        if shutil.which(command[0])
        for line in subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    ]
    lines += [f"mount: {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    lines += [f"group: {path}" for pattern in ("hfk*", "*/hfk*") for path in ROOT.glob(pattern)]
    lines += [f"directory: {path}" for path in DIRECTORIES.glob("hf-kube-*") if _is_of(_marked(path), ours)]
    return {line for line in lines if others.isdisjoint(re.findall(r"\bhfk\d+", line))}


def bridges() -> dict[str, str]:
    """Return the bridges of clusters, and what they are marked with."""
    found = {}
    for link in Path("/sys/class/net").glob("hfk*"):
        with suppress(OSError):  # it is gone meanwhile
            if re.fullmatch(r"hfk\d+", link.name):
                found[link.name] = (link / "ifalias").read_text().strip()
    return found


def processes(namespaces: set[str], mention: str) -> set[str]:
    """Return the processes in one of some process namespaces, and those whose command line mentions something."""
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str((directory / "ns" / "pid").readlink()) in namespaces or mention in command:
                found.add(f"process: {directory.name} {command}")
    return found


def _is_of(marked: str, processes: set[int]) -> bool:
    return marked.partition("-")[0] in map(str, processes)


def _marked(directory: Path) -> str:
    return directory.name.removeprefix("hf-kube-").rpartition("-")[0]


def _stable(line: str) -> str:
    # Counters and times are other ones each time.
    return re.sub(r"\[\d+:\d+\]|^#.*", "", line)
