"""The command line as processes of its own, in an environment that has what is given and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

HOLDFAST = [sys.executable, "-c", "from holdfast.cli.main import run; run()"]


def holdfast(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*HOLDFAST, *words], env=environment, capture_output=True, text=True, check=False)


def said(environment: dict[str, str], *words: str) -> Any:
    """Return the document that a command answers with; fails where the command does."""
    done = holdfast(environment, *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
