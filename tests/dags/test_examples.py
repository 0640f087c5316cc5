"""Our Dags load without a warning and without a database, and say what the documentation says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.dag_process import DAGS, run

if TYPE_CHECKING:
    from pathlib import Path


LOAD = """
import sys, warnings
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
root = Path(sys.argv[1])
warnings.simplefilter("error")
bag = BundleDagBag(str(root), bundle_path=root, bundle_name="ours")
print(*sorted(bag.dags), *bag.import_errors.values(), *bag.captured_warnings.values())
"""


def test_every_dag_loads_without_a_warning(tmp_path: Path) -> None:
    assert run(tmp_path, LOAD, str(DAGS)).split() == [
        "holdfast_audit_retention",
        "holdfast_hold_read_back",
        "holdfast_hold_reconcile",
        "holdfast_reconcile",
        "holdfast_retention_apply",
        "holdfast_retention_plan",
        "holdfast_store_probe",
        "tumour_classifier",
    ]


def test_a_warning_of_a_dag_is_seen(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "old.py").write_text(
        "from airflow.sdk import DAG\nimport warnings\nwarnings.warn('old', DeprecationWarning)\nDAG('old', schedule=None)\n"
    )
    assert "DeprecationWarning: old" in run(tmp_path, LOAD, str(tmp_path / "dags"))


def test_the_example_has_its_tasks_and_records_its_ends(tmp_path: Path) -> None:
    code = (
        "from airflow.dag_processing.dagbag import BundleDagBag\n"
        "from airflow.serialization.serialized_objects import DagSerialization\n"
        "from pathlib import Path; import sys\n"
        "bag = BundleDagBag(sys.argv[1], bundle_path=Path(sys.argv[1]), bundle_name='examples')\n"
        "dag = bag.dags['tumour_classifier']\n"
        "assert dag.task_ids == ['ingest', 'train', 'evaluate', 'register', 'request', 'wait', 'promote'], dag.task_ids\n"
        "assert [type(c).__name__ for c in dag.on_success_callback] == ['PipelineRunNotifier']\n"
        "assert DagSerialization.to_dict(dag)['dag']['has_on_failure_callback']\n"
    )
    run(tmp_path, code, str(DAGS / "examples"))
