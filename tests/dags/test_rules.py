"""Every Dag of ours is short and stands on two packages; each way of breaking that is seen to be caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dag_rules import violations

DAGS = Path(__file__).parents[2] / "dags"
FILES = sorted(DAGS.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(DAGS)) for path in FILES])
def test_every_dag_keeps_to_the_rules(path: Path) -> None:
    assert violations(path) == []


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("dag.py", "from airflow.sdk import dag\nfrom holdfast_provider.operators import RunOperator\n", []),
        ("dag.py", "import airflow.sdk\n" + "#\n" * 79, []),
        ("dag.py", "import airflow.sdk\n" + "#\n" * 80, ["a Dag has 81 lines; at most 80"]),
        ("dag.py", "from airflow.models import DAG\n", ["a Dag imports airflow.models"]),
        ("dag.py", "import airflow\n", ["a Dag imports airflow"]),
        ("dag.py", "import airflow.sdk_of_mine\n", ["a Dag imports airflow.sdk_of_mine"]),
        ("dag.py", "import os, holdfast.core\n", ["a Dag imports os", "a Dag imports holdfast.core"]),
        ("dag.py", "def f():\n    import requests\n", ["a Dag imports requests"]),
        ("dag.py", "from . import rows\n", ["a Dag imports ."]),
        ("steps/train.py", "import json\nfrom rows import read_rows\nimport sklearn\n", []),
        ("steps/train.py", "import holdfast.client\n", ["user code imports holdfast.client"]),
        ("steps/deep/train.py", "from airflow import sdk\n", ["user code imports airflow"]),
        (
            "steps/train.py",
            "from holdfast_provider.hooks.holdfast import HoldfastHook\n",
            ["user code imports holdfast_provider.hooks.holdfast"],
        ),
    ],
)
def test_each_violation_is_caught(tmp_path: Path, name: str, text: str, found: list[str]) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert violations(path) == found
