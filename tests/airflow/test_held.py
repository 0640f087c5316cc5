"""What Airflow's own commands delete is Airflow's own: a held Run, its Artifacts and the hold stand as they did, and the attempt is on record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from demo.failure import DemoFailure
from demo.platform import PROJECT

from holdfast.wire.hold import HeldObject, HoldRequest
from tests.airflow.test_changes import airflow, events, sql

if TYPE_CHECKING:
    from tests.support.airflow import Installation

__all__ = ["sql"]
DAG = "partial"


@pytest.mark.timeout(600)  # each command starts an Airflow
def test_cleaning_airflows_database_and_deleting_a_dag_take_nothing_from_a_hold(
    place: Installation, begun: dict[str, str], sql: Any
) -> None:
    place.check_end(DAG, begun[DAG])
    place.check_recorded_end(DAG, begun[DAG], "partially_succeeded")
    runs = place.runs(DAG, begun[DAG])
    held = [HeldObject(type="run", id=run.id) for run in runs]
    hold = place.admin.holds.place(HoldRequest(matter="m", reason="r", objects=held))

    def record() -> tuple[Any, ...]:
        found = [place.admin.runs.get(PROJECT, run.id) for run in runs]
        artifacts = [
            one for one in place.admin.artifacts.list(PROJECT, limit=500).items if one.run in {r.id for r in runs}
        ]
        return found, artifacts, place.admin.holds.get(hold.name).objects, place.pipeline_run(DAG, begun[DAG])

    before = record()
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for command in (
        ("db", "clean", "--dag-ids", DAG, "--clean-before-timestamp", later, "--skip-archive", "--yes"),
        ("dags", "delete", DAG, "--yes"),
    ):
        done = airflow(place, *command)
        assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
        assert events(sql, "airflow_command", " ".join(command[:2]), "airflow_command.ended"), command
    path = f"/dags/{DAG}/dagRuns/{begun[DAG]}"
    with pytest.raises(DemoFailure, match="404"):
        place.airflow().call("GET", path)
    assert record() == before
