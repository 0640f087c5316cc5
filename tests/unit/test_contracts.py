"""The direction of imports: each contract is seen to catch what it forbids."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, to break."""
    target = tmp_path_factory.mktemp("sources")
    for folder in ("provider", "plugins"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def lint(copy: Path) -> str:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{copy / 'provider'}:{copy / 'plugins'}", "LANG": "C.UTF-8"},
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_the_sources_keep_every_contract(copy: Path) -> None:
    assert "0 broken" in lint(copy)


@pytest.mark.parametrize(
    ("module", "violation", "contract"),
    [
        ("provider/holdfast/core/run.py", "import holdfast.wire.run", "Imports run one way"),
        ("provider/holdfast/store/engine.py", "import holdfast.service.runs", "Imports run one way"),
        ("provider/holdfast/client/runs.py", "import holdfast.service.runs", "Imports run one way"),
        ("provider/holdfast/cli/runs.py", "import holdfast_plugins.app", "Imports run one way"),
        ("provider/holdfast/ops/reconcile/plan.py", "import holdfast.settings", "Imports run one way"),
        ("provider/holdfast/dataplane/record.py", "import holdfast.ops.reconcile", "Imports run one way"),
        (
            "provider/holdfast/ops/reconcile/apply.py",
            "import holdfast.service.runs",
            "The reconciler uses the governance functions by their port",
        ),
        ("provider/holdfast/service/runs.py", "import airflow.sdk", "Holdfast works where Airflow is not installed"),
        ("provider/holdfast_provider/hooks/holdfast.py", "import holdfast.settings", "A worker holds no database"),
        ("provider/holdfast_provider/_errors.py", "import sqlalchemy", "A worker holds no database"),
        ("provider/holdfast/core/seal.py", "import orjson", "The core is standard library only"),
        (
            "provider/holdfast/dataplane/agent/files.py",
            "import holdfast.core.names",
            "The agent is standard library only",
        ),
    ],
)
def test_a_violation_is_caught(copy: Path, module: str, violation: str, contract: str) -> None:
    path = copy / module
    text = path.read_text()
    try:
        path.write_text(f"{text}\n{violation}\n")
        assert f"{contract} BROKEN" in lint(copy)
    finally:
        path.write_text(text)
