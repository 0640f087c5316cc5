"""Each try is a Run: what is tried again, what never is, and which commit each try really executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo.platform import PROJECT

from holdfast.core.run import idempotency_key

if TYPE_CHECKING:
    from holdfast.wire.run import Run
    from tests.support.airflow import Installation


def ends(runs: list[Run]) -> list[tuple[int, str, str | None, str | None]]:
    return [(run.try_number, run.state, run.error_class, run.origin_reason) for run in runs]


def said(place: Installation, run: Run) -> str:
    """Return what a Run wrote, read by a grant."""
    [artifact] = place.governance.artifacts.list(PROJECT, run=run.id).items
    found = place.admin.artifacts.get(PROJECT, artifact.id)
    pieces = place.platform.objects.read(found.object_key, found.version_id, bytes.fromhex(found.digest[7:]))
    return b"".join(pieces).decode()


def test_an_environment_error_is_tried_again_as_a_run_of_its_own(place: Installation, begun: dict[str, str]) -> None:
    place.check_end("failures", begun["failures"], "failed")
    first, second = place.runs("failures", begun["failures"], "killed_once")
    assert ends([first, second]) == [(1, "failed", "environment", None), (2, "succeeded", None, "retry")]
    assert second.origin_run == first.id
    assert first.seal == second.seal
    assert first.cause.startswith("the command was ended by SIGKILL")


def test_user_data_and_policy_errors_are_never_tried_again(place: Installation, begun: dict[str, str]) -> None:
    place.check_end("failures", begun["failures"], "failed")
    tasks = place.tasks("failures", begun["failures"])
    for task in ("user_error", "data_error", "outside", "unknown_environment"):
        ti = tasks[task]
        assert (ti["state"], ti["try_number"], ti["max_tries"]) == ("failed", 1, 3), task
    runs = {run.task_id: run for run in place.runs("failures", begun["failures"]) if run.state == "failed"}
    assert (runs["user_error"].error_class, runs["user_error"].exit_code) == ("user", 3)
    assert runs["data_error"].error_class == "data"
    assert "file 'rows.csv' is not what was recorded" in runs["data_error"].cause
    # Refused before there was a Run.
    assert not {"outside", "unknown_environment"} & set(runs)
    assert "is below none of the allowed data roots" in place.log("failures", begun["failures"], "outside")
    assert "has no EnvironmentLock 'nowhere'" in place.log("failures", begun["failures"], "unknown_environment")


def test_a_task_that_takes_too_long_ends_its_run(place: Installation, begun: dict[str, str]) -> None:
    place.check_end("failures", begun["failures"], "failed")
    [run] = place.runs("failures", begun["failures"], "slow")
    assert (run.state, run.error_class) == ("failed", "environment")
    assert run.cause == "the task ran longer than its execution_timeout"


def test_an_api_that_does_not_answer_is_tried_again(place: Installation) -> None:
    run_id = place.trigger("flaky")
    place.until_task("flaky", run_id, "single", "up_for_retry")
    with place.flaky:
        place.check_end("flaky", run_id)
        place.check_recorded_end("flaky", run_id, "succeeded")
    assert "does not answer" in place.log("flaky", run_id, "single")
    [run] = place.runs("flaky", run_id)
    assert run.state == "succeeded"
    assert run.try_number == place.tasks("flaky", run_id)["single"]["try_number"] > 1


def test_a_mapped_task_has_a_run_for_each_index(place: Installation, begun: dict[str, str]) -> None:
    place.check_end("again", begun["again"])
    runs = sorted(place.runs("again", begun["again"], "mapped"), key=lambda run: run.map_index)
    assert [(run.map_index, run.parameters["word"], run.state) for run in runs] == [
        (0, "one", "succeeded"),
        (1, "two", "succeeded"),
    ]
    assert [run.idempotency_key for run in runs] == [
        idempotency_key("again", begun["again"], "mapped", index, 1) for index in (0, 1)
    ]
    assert runs[0].seal != runs[1].seal


def test_clear_and_rerun_make_new_runs_of_the_commit_that_really_executes(
    place: Installation, begun: dict[str, str]
) -> None:
    run_id = begun["again"]
    place.check_end("again", run_id)
    old = place.pipeline_run("again", run_id).commit
    new = place.publish(version='VERSION = "second"\n')
    assert new != old
    # The same DagRun on the commit it began with, then on the newest one.
    place.clear("again", run_id, "single", run_on_latest_version=False)
    place.check_end("again", run_id)
    place.clear("again", run_id, "single", run_on_latest_version=True)
    place.check_end("again", run_id)
    first, second, third = place.runs("again", run_id, "single")
    assert [run.code.commit for run in (first, second, third)] == [old, old, new]
    assert [said(place, run) for run in (first, second, third)] == ["hello first", "hello first", "hello second"]
    assert [(run.origin_run, run.origin_reason) for run in (first, second, third)] == [
        (None, None),
        (first.id, "clear"),
        (second.id, "clear"),
    ]
    assert first.seal == second.seal != third.seal
    # And another DagRun that says which one it repeats.
    again = place.trigger("again", rerun_of=run_id)
    place.check_end("again", again)
    repeated = {(run.task_id, run.map_index): run for run in place.runs("again", again)}
    origins = {(run.task_id, run.map_index): run.id for run in place.runs("again", run_id)}  # the newest of each
    assert {key: (run.origin_run, run.origin_reason) for key, run in repeated.items()} == {
        key: (origins[key], "rerun") for key in (("single", -1), ("mapped", 0), ("mapped", 1))
    }
    assert place.pipeline_run("again", run_id).state == "succeeded"


def test_a_backfill_over_a_dagrun_makes_new_runs_linked_to_its_own(place: Installation) -> None:
    place.airflow("owner").call("PATCH", "/dags/nightly", {"is_paused": False})

    def dag_runs() -> list[dict[str, Any]]:
        return list(place.airflow().call("GET", "/dags/nightly/dagRuns")["dag_runs"])

    place.until("the scheduled DagRun", dag_runs)
    [scheduled] = dag_runs()
    run_id, date = scheduled["dag_run_id"], scheduled["logical_date"]
    assert scheduled["run_type"] == "scheduled"
    place.check_end("nightly", run_id)
    order = {"dag_id": "nightly", "from_date": date, "to_date": date, "reprocess_behavior": "completed"}
    place.airflow("owner").call("POST", "/backfills", order)
    place.until("the second Run", lambda: len(place.runs("nightly", run_id)) == 2)
    place.check_end("nightly", run_id)
    first, second = place.runs("nightly", run_id)
    assert ends([first, second]) == [(1, "succeeded", None, None), (2, "succeeded", None, "backfill")]
    assert second.origin_run == first.id


def test_a_dag_without_versions_has_runs_without_a_commit(place: Installation, begun: dict[str, str]) -> None:
    place.check_end("loose", begun["loose"])
    [run] = place.runs("loose", begun["loose"])
    assert (run.state, run.code) == ("succeeded", None)
    assert place.pipeline_run("loose", begun["loose"]).bundle == "loose"
