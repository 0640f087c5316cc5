"""Runs that Airflow schedules: the same operators as on a laptop, in pods."""

from __future__ import annotations

from tests.support.airflow import Installation


def test_a_dag_from_git_runs_in_pods_and_its_outputs_are_inputs_of_the_next(place: Installation) -> None:
    run_id = place.trigger("pods", word="good morning")

    place.check_end("pods", run_id)

    first, second = place.runs("pods", run_id)
    assert (first.state, second.state) == ("succeeded", "succeeded")
    assert first.code is not None
    assert second.metrics == {"length": len("good morningagain")}
    assert "a step says good morning" in place.log("pods", run_id, "first")
