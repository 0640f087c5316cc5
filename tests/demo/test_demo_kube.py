"""The demo in pods: once from nothing to its summary, and what is said where there is no cluster to be had."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.kube import Given, NoCluster, cluster_plane
from demo.narrate import Narrator
from demo.state import State

from tests.demo.test_demo import Demo

DEADLINE_S = 800


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    state = State(tmp_path / "state")
    yield Demo(state)
    state.remove()


@pytest.mark.timeout(DEADLINE_S + 100)
def test_the_story_is_told_in_pods_and_leaves_nothing_running(demo: Demo) -> None:
    assert demo.start("--kube", "--once").wait(DEADLINE_S) == 0, demo.said()

    assert demo.left() == []
    summary = demo.state.recall("summary")
    assert sorted(summary["seals"]) == sorted(summary["observed"]) == ["evaluate", "train"]
    images = {where["image"] for where in summary["observed"].values()}
    assert len(images) == 1
    assert "took part in making or requesting" in demo.said()
    for task, where in summary["observed"].items():
        # As far as a line of the table goes.
        for row, value in ((f"{task} ran on", where["node"]), (f"image of {task}", where["image"][:40])):
            assert re.search(rf"{row} .*{re.escape(value)}", demo.said())
    assert summary["alias"] == "tumours@champion"
    assert summary["proof"]["events"] > 10


def test_without_a_cluster_it_says_what_is_missing_and_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(given: Given | None) -> str:
        with pytest.raises(NoCluster) as refused, cluster_plane(given, Narrator()):
            pass
        assert "`make demo` tells the same story on this machine alone" in str(refused.value)
        return str(refused.value)

    gone, there = tmp_path / "gone", tmp_path / "kubeconfig"
    there.write_text("")
    assert f"there is no kubeconfig {gone}" in said(Given(gone))
    assert "give --registry HOST:PORT" in said(Given(there))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "run as root, install kind, or give --kubeconfig FILE" in said(None)


def test_without_go_or_debian_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCluster, match=r"these Debian packages are missing: .*etcd-server"):
        cluster_plane(None, Narrator()).__enter__()
    # With the packages there, and neither Go nor what it has built before.
    monkeypatch.setattr("tests.support.kubernetes.own.require", lambda _: None)
    monkeypatch.setattr("tests.support.go_program._USUAL", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NoCluster, match="there is no `go` on PATH; install Go"):
        cluster_plane(None, Narrator()).__enter__()
