"""Runs that are ended from outside: nothing that they started goes on, and each has an end or is unknown with a cause."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from demo.platform import PROJECT

from tests.support.airflow import Installation, is_running, kill, poll


@dataclass
class Victim:
    """A Run whose command ignores SIGTERM and has started a daemon in a session of its own."""

    run_id: str
    work: Path

    @property
    def pids(self) -> list[int]:
        return [int((self.work / name).read_text()) for name in ("command", "daemon")]

    def let_the_next_try_end(self) -> None:
        (self.work / "enough").touch()

    def check_all_gone(self) -> None:
        poll(f"the end of {self.pids}", lambda: not any(is_running(pid) for pid in self.pids), 20)


@pytest.fixture(scope="module")
def victims(place: Installation) -> list[Victim]:
    works = [place.directory(f"killed{number}") for number in range(4)]
    found = [Victim(place.trigger("killed", work=str(work)), work) for work in works]
    for victim in found:
        place.until("the command", (victim.work / "command").exists)
        assert all(is_running(pid) for pid in victim.pids)
    return found


def ends(place: Installation, victim: Victim) -> list[tuple[str, str | None]]:
    return [(run.state, run.origin_reason) for run in place.runs("killed", victim.run_id)]


def until_ended(place: Installation, victim: Victim, *wanted: tuple[str, str | None]) -> None:
    place.until(f"{wanted}", lambda: ends(place, victim) == list(wanted), 30)


def test_marking_a_running_task_failed_ends_all_that_it_started(place: Installation, victims: list[Victim]) -> None:
    victim = victims[0]
    path = f"/dags/killed/dagRuns/{victim.run_id}/taskInstances/long"
    place.airflow().call("PATCH", path, {"new_state": "failed"})
    victim.check_all_gone()
    until_ended(place, victim, ("canceled", None))
    [run] = place.runs("killed", victim.run_id)
    assert run.cause == "user:maintainer marked its task as failed"
    place.check_end("killed", victim.run_id, "failed")
    place.check_recorded_end("killed", victim.run_id, "failed")


def test_a_killed_task_process_leaves_nothing_and_the_next_try_takes_its_run_to_unknown(
    place: Installation, victims: list[Victim]
) -> None:
    victim = victims[1]
    victim.let_the_next_try_end()
    kill(place.tasks("killed", victim.run_id)["long"]["pid"])
    victim.check_all_gone()
    place.check_end("killed", victim.run_id)
    assert ends(place, victim) == [("unknown", None), ("succeeded", "retry")]
    lost, second = place.runs("killed", victim.run_id)
    assert (lost.cause, lost.owner) == ("try 2 began before this Run reported its end", "reconciler")
    assert second.origin_run == lost.id


def test_marking_a_dagrun_cancels_its_pipeline_run_and_its_runs(place: Installation, victims: list[Victim]) -> None:
    victim = victims[2]
    place.airflow().call("PATCH", f"/dags/killed/dagRuns/{victim.run_id}", {"state": "failed"})
    pipeline_run = place.pipeline_run("killed", victim.run_id)
    assert pipeline_run.state == "canceled"
    [event] = place.admin.audit.list(PROJECT, target=str(pipeline_run.id), action="pipeline_run.changed").items
    assert (event.initiator, event.reason) == ("system:airflow", "Dag Run's state was manually set to `failed`.")
    victim.check_all_gone()
    # Its task was marked with it, and what its own execution reports later changes nothing.
    until_ended(place, victim, ("canceled", None))
    [run] = place.runs("killed", victim.run_id)
    assert run.cause == "user:maintainer marked its task as failed"
    events = place.admin.audit.list(PROJECT, target=str(run.id)).items[::-1]
    ends = [event.content.get("after") for event in events if event.action != "run.staged"]
    assert ends == [None, "running", "canceled"]


def test_clearing_a_running_task_cancels_its_run_and_the_next_one_says_so(
    place: Installation, victims: list[Victim]
) -> None:
    victim = victims[3]
    victim.let_the_next_try_end()
    place.clear("killed", victim.run_id, "long")
    victim.check_all_gone()
    place.check_end("killed", victim.run_id)
    assert ends(place, victim) == [("canceled", None), ("succeeded", "clear")]
