"""Task instances that somebody marks while they are deferred: no process of theirs is there, and their Runs end all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.platform import PROJECT

if TYPE_CHECKING:
    from holdfast.wire.run import Run
    from tests.support.airflow import Installation

DAG, TASK = "deferred", "begun"


def until_deferred(place: Installation, run_id: str, *indices: int) -> None:
    for index in indices:
        place.until_task(DAG, run_id, f"{TASK}/{index}", "deferred")


def mark(place: Installation, run_id: str, index: int, state: str) -> None:
    path = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/{TASK}/{index}"
    place.airflow().call("PATCH", path, {"new_state": state})


def runs(place: Installation, run_id: str) -> dict[tuple[int, int], Run]:
    """Return the Runs by map index and try."""
    return {(run.map_index, run.try_number): run for run in place.runs(DAG, run_id)}


def states(place: Installation, run_id: str) -> dict[tuple[int, int], str]:
    return {key: run.state.value for key, run in runs(place, run_id).items()}


def test_marking_a_deferred_task_ends_the_run_of_that_try_and_no_other(place: Installation) -> None:
    run_id = place.trigger(DAG)
    until_deferred(place, run_id, 0, 1, 2)

    # The answer comes when the Run has ended: nobody has to come by first.
    for index, state in enumerate(("failed", "success", "skipped")):
        mark(place, run_id, index, state)
        ended = {(done, 1): "canceled" for done in range(index + 1)}
        going = {(left, 1): "running" for left in range(index + 1, 3)}
        assert states(place, run_id) == ended | going
        run = runs(place, run_id)[index, 1]
        assert run.cause == f"user:maintainer marked its task as {state}"
        [event] = place.admin.audit.list(PROJECT, target=str(run.id), action="run.finished").items
        assert (event.initiator, event.reason, event.content["before"]) == ("system:airflow", run.cause, "running")

    place.clear(DAG, run_id, TASK)
    until_deferred(place, run_id, 0, 1, 2)
    mark(place, run_id, 1, "failed")
    first = {(index, 1): "canceled" for index in range(3)}
    assert states(place, run_id) == first | {(0, 2): "running", (1, 2): "canceled", (2, 2): "running"}

    # A mark upon a mark ends nothing.
    mark(place, run_id, 1, "success")
    assert runs(place, run_id)[1, 2].cause == "user:maintainer marked its task as failed"


def test_marking_a_dagrun_ends_the_runs_of_its_deferred_tasks(place: Installation) -> None:
    run_id = place.trigger(DAG)
    until_deferred(place, run_id, 0, 1, 2)

    place.airflow().call("PATCH", f"/dags/{DAG}/dagRuns/{run_id}", {"state": "failed"})

    assert states(place, run_id) == {(index, 1): "canceled" for index in range(3)}
    assert place.pipeline_run(DAG, run_id).state == "canceled"
