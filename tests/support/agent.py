"""The agent, as the process that it is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from pydantic import BaseModel


def ask(command: str, order: dict[str, Any]) -> dict[str, Any]:
    """Return the agent's report."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "holdfast.dataplane.agent", command],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert done.returncode == (1 if "failure" in report else 0)
    return report


def order_to_stage(scratch: Path, *grants: BaseModel) -> dict[str, Any]:
    """Return the order to lay out a Run below `next`, without code, with these inputs."""
    for name in ("code", "next"):
        (scratch / name).mkdir()
    return {
        "scratch": str(scratch / "next"),
        "code": {"checkout": str(scratch / "code"), "commit": None, "git_directory": None, "path": ""},
        "parameters": {},
        "grants": [grant.model_dump(mode="json") for grant in grants],
        "datasets": [],
        "data_roots": [],
    }


def failure(command: str, order: dict[str, Any]) -> tuple[str, str]:
    found = ask(command, order)["failure"]
    assert found["remedy"]
    return found["error_class"], found["message"]


def peak_of(command: str, order: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the agent's report and its peak memory in MiB."""
    # VmHWM and not ru_maxrss: the latter begins with the memory of the process that forked.
    code = (
        "import pathlib, re, sys; from holdfast.dataplane.agent.__main__ import main; main(); sys.stdout.flush();"
        "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
    )
    return json.loads(done.stdout)["result"], int(done.stderr) >> 10
