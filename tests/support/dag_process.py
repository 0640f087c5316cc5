"""A process with Airflow's libraries and without an Airflow: no database, no configuration but what is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DAGS = Path(__file__).parents[2] / "dags"


def run(home: Path, code: str, *arguments: str, **environment: str) -> str:
    """Return what a piece of code prints; fails with its trace-back where it ends otherwise than well."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "HOLDFAST"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": "[]",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        **environment,
    }
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
