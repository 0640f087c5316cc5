"""What a cluster starts it stops: after a stop, a failed start and an interruption the machine is as it was before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from demo.failure import DemoFailure
from kubernetes import client

from tests.support.kubernetes import binary, own, traces
from tests.support.kubernetes.network import network
from tests.support.kubernetes.own import own_cluster
from tests.support.kubernetes.pods import is_ready, pod, wait_for_pod


def test_a_stop_with_a_running_pod_and_a_lost_node_leaves_nothing() -> None:
    before = traces.of_machine()
    with own_cluster(2) as cluster:
        core = client.CoreV1Api(cluster.api())
        running = pod("running", cluster.load(cluster.images.python()), "sleep", "600", nodeName="node1")
        core.create_namespaced_pod("default", running)
        wait_for_pod(core, "default", "running", is_ready)
        namespaces = {str(Path(f"/proc/{node.pid}/ns/pid").readlink()) for node in cluster.nodes.values()}
        root = str(cluster.kubeconfig.parent.parent)
        cluster.kill_node(2)
        meanwhile = traces.of_machine() - before
        assert len(traces.processes(namespaces, root)) > 6
    assert {line.partition(":")[0] for line in meanwhile} >= {"ip -brief link", "ip route", "group", "directory"}
    assert traces.of_machine() == before
    assert traces.processes(namespaces, root) == set()


def test_a_start_that_fails_halfway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = binary.programs()
    for program in binary.PROGRAMS:
        (tmp_path / program).symlink_to("/bin/false" if program == "kube-scheduler" else programs / program)
    monkeypatch.setattr(own.binary, "programs", lambda: tmp_path)
    before = traces.of_machine()
    with pytest.raises(DemoFailure, match="kube-scheduler has ended"), own_cluster(1):
        pass
    assert traces.of_machine() == before
    assert traces.processes(set(), str(tmp_path)) == set()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_when_it_is_told_to(how: signal.Signals, here: Path) -> None:
    before = traces.of_machine()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.kubernetes", "1"], cwd=here, stdout=subprocess.PIPE, text=True
    ) as command:
        if how is signal.SIGTERM:
            assert "KUBECONFIG" in command.stdout.readline()
        else:  # in the middle of the start
            wait_for_a_bridge(command.pid)
        command.send_signal(how)
        assert command.stdout.read().endswith("stopped\n")
    assert command.returncode == 0
    assert traces.of_machine(command.pid) == before


@pytest.mark.parametrize("when", ["while the cluster starts", "while a test runs"])
def test_a_suite_that_is_told_to_end_stops_what_it_has_started(when: str, here: Path, tmp_path: Path) -> None:
    suite = tmp_path / "test_suite.py"
    suite.write_text("import signal\ndef test_waits(cluster):\n    print('here', flush=True)\n    signal.pause()\n")
    plugins = ["-p", "tests.conftest", "-p", "tests.kubernetes.conftest", "-c", str(here / "pyproject.toml")]
    before = traces.of_machine()
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s", "-q", *plugins, suite], cwd=here, stdout=subprocess.PIPE, text=True
    ) as pytests:
        wait_for_a_bridge(pytests.pid)
        if when == "while a test runs":
            while "here" not in pytests.stdout.readline():
                assert pytests.poll() is None
        meanwhile = traces.of_machine(pytests.pid) - before
        pytests.terminate()
        said = pytests.stdout.read()
    assert (pytests.returncode, "KeyboardInterrupt" in said) == (pytest.ExitCode.INTERRUPTED, True), said
    assert meanwhile
    assert traces.of_machine(pytests.pid) == before


def wait_for_a_bridge(pid: int) -> None:
    deadline = time.monotonic() + 60
    while not any(marked.startswith(f"{pid}-") for marked in traces.bridges().values()):
        assert time.monotonic() < deadline, "the cluster did not begin to start"
        time.sleep(0.02)


def test_what_a_killed_process_left_is_taken_away_by_the_next_start(here: Path) -> None:
    before = traces.of_machine()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.kubernetes", "1"], cwd=here, stdout=subprocess.PIPE, text=True
    ) as command:
        root = command.stdout.readline().partition("=")[2].strip().removesuffix("/certificates/admin.kubeconfig")
        os.kill(command.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while left := traces.processes(set(), root):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert traces.of_machine(command.pid) != before
    own.remove_abandoned()
    assert traces.of_machine(command.pid) == before


def test_two_networks_beside_each_other_are_not_the_same() -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(network()) for _ in range(2))
        assert first.place != second.place
        assert first.host != second.host
