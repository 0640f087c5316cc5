"""Which cluster a suite runs on follows from its surroundings; kind and docker are stood for by scripts, because neither is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.kubernetes.selection import chosen


def put(directory: Path, **programs: int) -> dict[str, str]:
    """Return an environment in which programs of these names end with these codes."""
    for name, code in programs.items():
        (directory / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (directory / name).chmod(0o755)
    return {"PATH": str(directory)}


def test_kind_is_taken_where_an_engine_runs(tmp_path: Path) -> None:
    assert chosen(put(tmp_path, docker=0, kind=0)) == "kind"


def test_a_docker_command_without_an_engine_is_none(tmp_path: Path) -> None:
    assert chosen(put(tmp_path, docker=1, kind=0)) == "own"


@pytest.mark.parametrize("programs", [{}, {"docker": 0}, {"kind": 0}])
def test_without_both_it_is_our_own(tmp_path: Path, programs: dict[str, int]) -> None:
    assert chosen(put(tmp_path, **programs)) == "own"


def test_a_given_cluster_comes_before_all(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").touch()
    environment = put(tmp_path, docker=0, kind=0) | {"HOLDFAST_TEST_KUBECONFIG": str(tmp_path / "kubeconfig")}
    assert chosen(environment) == "given"


def test_a_kubeconfig_that_is_not_there_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such file"):
        chosen({"HOLDFAST_TEST_KUBECONFIG": str(tmp_path / "none")})
