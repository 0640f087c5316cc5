"""How PipelineRuns end: by the Dag's callbacks, which keep the author's own, and truthfully."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.platform import PROJECT

from holdfast.wire.run import PipelineRunRequest

if TYPE_CHECKING:
    from tests.support.airflow import Installation


def test_success_is_recorded_and_the_authors_callback_is_kept(place: Installation, begun: dict[str, str]) -> None:
    run_id = begun["heard"]
    place.check_end("heard", run_id)
    place.check_recorded_end("heard", run_id, "succeeded")
    assert (place.work / "heard" / "note").read_text() == f"{run_id} success"


def test_failure_is_recorded_with_airflows_reason(place: Installation, begun: dict[str, str]) -> None:
    place.check_end("failures", begun["failures"], "failed")
    place.check_recorded_end("failures", begun["failures"], "failed")
    pipeline_run = place.pipeline_run("failures", begun["failures"])
    [event] = place.admin.audit.list(PROJECT, target=str(pipeline_run.id), action="pipeline_run.changed").items
    assert event.reason == "task_failure"


def test_a_success_with_failed_tasks_is_called_partial(place: Installation, begun: dict[str, str]) -> None:
    place.check_end("partial", begun["partial"])
    place.check_recorded_end("partial", begun["partial"], "partially_succeeded")


def test_an_api_that_is_gone_leaves_the_pipeline_run_open_and_says_so(place: Installation) -> None:
    work = place.directory("unheard")
    with place.flaky:
        run_id = place.trigger("unheard", work=str(work))
        place.until_task("unheard", run_id, "last", "running")
    (work / "enough").touch()
    place.check_end("unheard", run_id)
    message = f"the end of unheard {run_id} was not recorded: the Holdfast API"
    place.until("the message", lambda: message in logs_of(place), 40)
    assert place.pipeline_run("unheard", run_id).state == "running"
    place.group.check()


def logs_of(place: Installation) -> str:
    """Return everything that was logged where Dag files are read, which is where their callbacks run."""
    return "\n".join(path.read_text() for path in (place.state.root / "logs" / "dag-files").rglob("*.log"))


def test_an_end_without_a_task_that_stands_for_it_is_recorded(place: Installation) -> None:
    """Where all tasks were skipped, or none could run, Airflow gives a callback no more than this."""
    place.admin.runs.create_pipeline_run(PROJECT, PipelineRunRequest(dag_id="skipped", run_id="r1"))
    code = (
        "from airflow.sdk import DAG\n"
        "from holdfast_provider.notifications.pipeline_run import PipelineRunNotifier\n"
        f"notify = PipelineRunNotifier('succeeded', {PROJECT!r})\n"
        "notify({'dag': DAG('skipped', schedule=None), 'run_id': 'r1', 'reason': 'success'})\n"
    )
    done = place.python(code)
    assert done.returncode == 0, done.stderr
    assert place.pipeline_run("skipped", "r1").state == "succeeded"
