"""The example Dag is what the documentation says: it loads, serializes, and its steps know nothing of us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "dags" / "examples"


def test_the_example_loads_and_serializes_without_a_database(tmp_path: Path) -> None:
    code = (
        "from airflow.dag_processing.dagbag import BundleDagBag\n"
        "from airflow.serialization.serialized_objects import DagSerialization\n"
        "from pathlib import Path; import sys\n"
        "bag = BundleDagBag(sys.argv[1], bundle_path=Path(sys.argv[1]), bundle_name='examples')\n"
        "assert not bag.import_errors, bag.import_errors\n"
        "dag = bag.dags['tumour_classifier']\n"
        "assert dag.task_ids == ['ingest', 'train', 'evaluate', 'register', 'request', 'wait', 'promote'], dag.task_ids\n"
        "assert [type(c).__name__ for c in dag.on_success_callback] == ['PipelineRunNotifier']\n"
        "assert DagSerialization.to_dict(dag)['dag']['has_on_failure_callback']\n"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": "[]",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(EXAMPLES)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_dag_is_short_and_user_code_imports_nothing_of_ours() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 80, path
    for path in (EXAMPLES / "steps").glob("*.py"):
        assert "holdfast_provider" not in path.read_text()
        assert "import holdfast" not in path.read_text()
