"""What a page shows as code is code: the Dag loads, the step runs, JSON is JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.export.config import read_sinks
from holdfast.export.webhook import signature
from tests.support.markdown import Page

_LOAD = (
    "from airflow.dag_processing.dagbag import BundleDagBag\n"
    "from pathlib import Path; import sys\n"
    "bag = BundleDagBag(sys.argv[1], bundle_path=Path(sys.argv[1]), bundle_name='docs')\n"
    "assert not bag.import_errors, bag.import_errors\n"
    "dag = bag.dags['column_mean']\n"
    "print(*dag.task_ids, dag.get_task('mean').command[-1])\n"
)


@pytest.fixture(scope="module")
def write_a_dag() -> Page:
    return Page.read(Path(__file__).parents[2] / "docs/how-to/write-a-dag.md")


def test_the_dag_of_the_how_to_loads(write_a_dag: Page, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "column_mean.py").write_text(write_a_dag.block("python", '"""The mean of a column'))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": "[]",
    }
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(dags)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "ingest mean steps/mean.py"


def test_the_step_of_the_how_to_keeps_the_contract(write_a_dag: Page, tmp_path: Path) -> None:
    (tmp_path / "mean.py").write_text(write_a_dag.block("python", '"""Computes the mean'))
    (tmp_path / "inputs" / "data").mkdir(parents=True)
    (tmp_path / "inputs" / "data" / "breast_cancer.csv").write_text("a,b\n1,10\n2,30\n")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "parameters.json").write_text('{"file": "breast_cancer.csv", "column": "1"}')
    environment = {
        "HOLDFAST_INPUTS": str(tmp_path / "inputs"),
        "HOLDFAST_PARAMETERS": str(tmp_path / "parameters.json"),
        "HOLDFAST_OUTPUTS": str(tmp_path / "outputs"),
    }
    done = subprocess.run(
        [sys.executable, "-I", "mean.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "mean 20.000 of 2 rows\n"), done.stderr
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["metrics.json", "report.json"]
    assert json.loads((tmp_path / "outputs" / "metrics.json").read_text()) == {"mean": 20.0}


def test_every_json_block_is_json(all_pages: list[Page]) -> None:
    blocks = [text for page in all_pages for language, text in page.blocks if language == "json"]
    assert len(blocks) > 4
    for text in blocks:
        json.loads(text)


def test_every_toml_block_names_sinks_that_can_be_read(all_pages: list[Page], tmp_path: Path) -> None:
    blocks = [text for page in all_pages for language, text in page.blocks if language == "toml"]
    assert blocks
    for text in blocks:
        (tmp_path / "sinks.toml").write_text(text)
        assert read_sinks(tmp_path / "sinks.toml")


def test_the_check_of_a_webhook_in_the_how_to_takes_what_is_sent_and_nothing_else() -> None:
    page = Page.read(Path(__file__).parents[2] / "docs/how-to/export-events.md")
    shown: dict[str, object] = {}
    exec(page.block("python", "import hashlib"), shown)
    is_from_holdfast, now = shown["is_from_holdfast"], str(int(time.time()))
    signed = signature(b"k" * 32, now, b"body")
    assert is_from_holdfast(b"k" * 32, now, signed, b"body")
    assert not is_from_holdfast(b"k" * 32, now, signed, b"other")
    assert not is_from_holdfast(b"x" * 32, now, signed, b"body")
    assert not is_from_holdfast(b"k" * 32, "1000", signature(b"k" * 32, "1000", b"body"), b"body")


def test_every_block_of_code_says_what_it_is(all_pages: list[Page]) -> None:
    known = {"", "sh", "json", "python", "sql", "text", "toml"}
    assert {language for page in all_pages for language, _ in page.blocks} <= known
