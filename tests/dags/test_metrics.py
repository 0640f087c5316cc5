"""What Airflow's metrics say of Runs, received as a collector receives them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from holdfast_provider._errors import RUN_FAILURES
from tests.support.metrics import collector

if TYPE_CHECKING:
    from pathlib import Path

# As a task's process begins, and with Run tasks that fail in each way.
TASKS = """
from contextlib import suppress
from airflow.sdk.exceptions import AirflowException
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
from holdfast.core.errors import IntegrityViolation, PolicyViolation, Unavailable
from holdfast.core.run import ErrorClass
from holdfast.dataplane.plane import StepFailed
from holdfast_provider.operators import RunOperator

stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)

class Hook:
    def get_conn(self):
        raise self.error

class Failing(RunOperator):
    def hook(self):
        return hook

hook, task = Hook(), Failing(task_id="t", environment="e", command=["true"])

for error in (
    StepFailed(ErrorClass.USER, "exit code 3"),
    StepFailed(ErrorClass.USER, "exit code 4"),
    StepFailed(ErrorClass.ENVIRONMENT, "out of memory"),
    IntegrityViolation("other bytes"),
    PolicyViolation("refused"),
    Unavailable("no answer"),
):
    hook.error = error
    with suppress(AirflowException):
        task.execute({})
"""


def test_failures_of_runs_are_counted_by_their_error_class(tmp_path: Path) -> None:
    with collector() as received:
        environment = {
            "PATH": os.environ["PATH"],
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "AIRFLOW__METRICS__METRICS_ALLOW_LIST": "holdfast",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{received.port}",
        }
        done = subprocess.run(
            [sys.executable, "-c", TASKS], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        counts = received.counts()
    classes = {"user": 2, "environment": 1, "data": 1, "policy": 1, "platform": 1}
    assert counts == Counter(
        {(f"airflow.{RUN_FAILURES}", (("error_class", name),)): count for name, count in classes.items()}
    )
