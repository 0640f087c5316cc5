"""Whatever dies while a Run is executed: its code runs once a try, what it made is registered once, and no Run stays open."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from demo.journey import NoAnswer
from demo.platform import PROJECT

from holdfast.dataplane.kubernetes.cluster import Cluster as ClusterApi
from holdfast.dataplane.kubernetes.manifest import PodSettings
from holdfast.dataplane.kubernetes.run import BRIEF_S, POINTS, PodRun
from tests.support.airflow import Installation, is_running
from tests.support.kubernetes.data_plane import DataPlane
from tests.support.kubernetes.own import OwnCluster
from tests.support.markers import Markers

DAG = "killed"
LONG_S = BRIEF_S + 4
"""A command that the process which begins it does not wait for, so that another one ends it."""
AFTER = POINTS[POINTS.index("run.staged") + 1 :: 2]
"""Of the points after the command has ended, those at which the process is one that has come back."""


@dataclass
class Victim:
    """One DagRun, and how often its code was seen to run."""

    place: Installation
    markers: Markers
    name: str
    run_id: str
    once: Path

    def runs(self) -> list[Any]:
        return self.place.runs(DAG, self.run_id)

    def until_counted(self, count: int = 1) -> None:
        self.place.until(f"the command of {self.name}", lambda: self.markers.count(self.name) == count, 90)

    def check_once(self) -> None:
        """Check that the DagRun ended well with one Run, whose code ran once and whose output is registered once."""
        self.place.check_end(DAG, self.run_id, deadline_s=180)
        assert [run.state for run in self.runs()] == ["succeeded"]
        assert self.markers.count(self.name) == 1
        self.check_registered(self.runs()[0])

    def check_registered(self, run: Any) -> None:
        assert [a.name for a in self.place.governance.artifacts.list(PROJECT, run=run.id).items] == ["out"]


@pytest.fixture(scope="module")
def markers(plane: DataPlane) -> Iterator[Markers]:
    with Markers(plane.cluster.host) as markers:
        yield markers


@pytest.fixture(scope="module")
def cluster_api(plane: DataPlane) -> ClusterApi:
    return ClusterApi(plane.cluster.api())


def victim(place: Installation, markers: Markers, name: str, seconds: float = 0, **conf: str) -> Victim:
    once = place.work / f"once-{name}"
    given = {"point": "", "victim": "", "once": str(once), **conf}
    run_id = place.trigger(DAG, command=markers.command(name, seconds), **given)
    return Victim(place, markers, name, run_id, once)


def until_it_answers(place: Installation) -> None:
    """Return once Airflow's API answers again, with what it needs behind it."""

    def answers() -> bool:
        try:
            return place.airflow().knows(DAG)
        except NoAnswer:
            return False

    place.until("the api-server's answer", answers, 120)


@pytest.fixture(scope="module")
def killed(place: Installation, markers: Markers) -> dict[str, Victim]:
    """Begin everything whose processes kill themselves; the tests look how it ended."""
    return {
        point: victim(place, markers, f"{point}-task", LONG_S if point in AFTER else 0, point=point, victim="task")
        for point in POINTS
    }


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_at_a_named_point_loses_and_doubles_nothing(killed: dict[str, Victim], point: str) -> None:
    found = killed[point]
    found.check_once()
    assert found.once.exists(), "nothing was killed"
    assert found.place.tasks(DAG, found.run_id)["step"]["try_number"] == 2


@pytest.mark.soak
@pytest.mark.parametrize("point", POINTS)
def test_a_supervisor_killed_with_its_process_loses_and_doubles_nothing(
    place: Installation, markers: Markers, point: str
) -> None:
    found = victim(place, markers, f"{point}-supervisor", point=point, victim="supervisor")
    found.check_once()
    assert found.once.exists(), "nothing was killed"


@pytest.mark.parametrize("component", ["triggerer", "scheduler"])
def test_a_component_killed_while_the_command_works_loses_and_doubles_nothing(
    place: Installation, markers: Markers, component: str
) -> None:
    found = victim(place, markers, component, seconds=LONG_S)
    found.until_counted()
    place.group.kill(component)
    found.check_once()


@pytest.mark.soak
def test_the_api_server_killed_while_the_command_works_loses_and_doubles_nothing(
    place: Installation, markers: Markers
) -> None:
    found = victim(place, markers, "api-server", seconds=LONG_S)
    found.until_counted()
    place.group.kill("api-server")
    until_it_answers(place)
    found.check_once()


@pytest.mark.soak
def test_the_database_killed_while_the_command_works_loses_and_doubles_nothing(
    place: Installation, markers: Markers
) -> None:
    found = victim(place, markers, "database", seconds=LONG_S)
    found.until_counted()
    # Airflow's triggerer ends when it loses its database.
    place.group.revives = True
    try:
        place.postgres.kill()
        until_it_answers(place)
        found.check_once()
    finally:
        place.group.revives = False


@pytest.mark.parametrize("point", ["run.started", "outputs.collected"])
def test_the_object_store_killed_before_it_is_used_makes_no_code_run_twice(
    place: Installation, markers: Markers, plane: DataPlane, point: str
) -> None:
    server = plane.s3.group
    found = victim(place, markers, f"{point}-store", point=point, victim=str(server.pids["radosgw"]))
    place.until("the end of the object store", found.once.exists, 90)
    server.revives = True
    try:
        place.until("the object store's return", lambda: server.check() or plane.s3.answers(), 60)
    finally:
        server.revives = False
    place.check_end(DAG, found.run_id, deadline_s=180)

    *lost, last = found.runs()
    assert last.state == "succeeded"
    assert [(run.state, run.error_class) for run in lost] == [("failed", "platform")] * len(lost)
    # A Run whose inputs could not be fetched has run nothing; one whose outputs could not be stored is ended when they can be.
    assert markers.count(found.name) == 1
    if point == "outputs.collected":
        assert not lost
    found.check_registered(last)


def test_a_task_whose_outputs_somebody_else_has_stored_meanwhile_ends_well(
    place: Installation, markers: Markers, plane: DataPlane, cluster_api: ClusterApi
) -> None:
    server = plane.s3.group
    found = victim(place, markers, "stored", point="outputs.collected", victim=str(server.pids["radosgw"]))
    try:
        place.until_task(DAG, found.run_id, "step", "deferred", deadline_s=120)
        [run] = found.runs()
        assert (run.state, cluster_api.find_pod(PROJECT, f"run-{run.id}") is None) == ("running", False)
        server.revives = True
        place.until("the object store's return", lambda: server.check() or plane.s3.answers(), 60)
    finally:
        server.revives = True
        server.check()
        server.revives = False

    PodRun(place.admin, PROJECT, run, cluster_api, PodSettings(PROJECT, plane.agent), print).end()

    found.check_once()
    assert place.tasks(DAG, found.run_id)["step"]["try_number"] == 1


def test_a_process_that_comes_back_after_the_next_try_has_begun_does_not_end_its_run(
    place: Installation, markers: Markers
) -> None:
    found = victim(place, markers, "zombie", seconds=100, point="run.staged", victim="stopped")
    place.until("the stop of the task", found.once.exists, 90)
    stopped = [int(pid) for pid in found.once.read_text().split()]
    try:
        place.until("the next try", lambda: [run.owner for run in found.runs()] == ["try 2"], 120)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    place.until("the end of the process of the first try", lambda: not is_running(stopped[0]), 60)

    found.check_once()
    assert place.tasks(DAG, found.run_id)["step"]["try_number"] == 2


def test_a_node_lost_while_the_command_works_makes_the_next_try_run_elsewhere(
    place: Installation, markers: Markers, own: OwnCluster, cluster_api: ClusterApi
) -> None:
    found = victim(place, markers, "node", seconds=LONG_S + 10)
    found.until_counted()
    [run] = found.runs()
    pod = cluster_api.find_pod(PROJECT, f"run-{run.id}")
    assert pod is not None
    node = int(pod["spec"]["nodeName"].removeprefix("node"))
    own.kill_node(node)
    try:
        place.check_end(DAG, found.run_id, deadline_s=180)
    finally:
        own.start_node(node)

    lost, second = found.runs()
    assert (lost.state, lost.error_class, second.state) == ("failed", "platform", "succeeded")
    assert (second.origin_run, second.origin_reason) == (lost.id, "retry")
    assert second.observed.node != f"node{node}"
    assert markers.count("node") == 2
    found.check_registered(second)


def test_a_pod_deleted_while_its_command_works_is_a_failed_try(
    place: Installation, markers: Markers, plane: DataPlane
) -> None:
    found = victim(place, markers, "pod", seconds=LONG_S + 10)
    found.until_counted()
    [run] = found.runs()
    plane.cluster.kubectl("delete", "pod", f"run-{run.id}", "-n", PROJECT, "--now")
    place.check_end(DAG, found.run_id, deadline_s=180)

    lost, second = found.runs()
    assert (lost.state, lost.error_class, second.state) == ("failed", "platform", "succeeded")
    assert markers.count("pod") == 2


@pytest.mark.parametrize("how", ["mark", "clear"])
def test_a_task_that_somebody_ends_while_it_is_deferred_has_its_pod_removed(
    place: Installation, markers: Markers, cluster_api: ClusterApi, how: str
) -> None:
    found = victim(place, markers, how, seconds=60 if how == "mark" else LONG_S + 20)
    found.until_counted()
    place.until_task(DAG, found.run_id, "step", "deferred")
    # Airflow has nobody to tell before its triggerer has taken the trigger, which it begins with in its next round.
    place.until(
        "the triggerer's taking it", lambda: place.tasks(DAG, found.run_id)["step"]["triggerer_job"] is not None, 60
    )
    time.sleep(2)
    [run] = found.runs()
    if how == "mark":
        path = f"/dags/{DAG}/dagRuns/{found.run_id}/taskInstances/step"
        place.airflow().call("PATCH", path, {"new_state": "failed"})
    else:
        place.clear(DAG, found.run_id, "step")

    place.until("the end of the Run", lambda: found.runs()[0].state == "canceled", 60)
    place.until("the end of the pod", lambda: cluster_api.find_pod(PROJECT, f"run-{run.id}") is None, 60)
    if how == "clear":
        place.check_end(DAG, found.run_id, deadline_s=180)
        assert [(run.state, run.origin_reason) for run in found.runs()] == [("canceled", None), ("succeeded", "clear")]
