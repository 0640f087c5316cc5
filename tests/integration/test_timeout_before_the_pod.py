"""A task's time that is over before its cluster has been reached: the Run ends with that, and is not left to be found."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import TimeoutPosix

from holdfast.core.access import Caller
from holdfast.wire.run import EnvironmentRequest
from holdfast_provider.operators import RunOperator
from tests.support.story import Story

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.settings import Platform

DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def slow_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's connection to a cluster whose credentials come of a program that takes its time."""
    login = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["60"]}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "slow",
        "contexts": [{"name": "slow", "context": {"cluster": "slow", "user": "slow"}}],
        "clusters": [{"name": "slow", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "slow", "user": {"exec": login}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(path)}}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__HOLDFAST__AGENT_IMAGE", f"registry/agent@{DIGEST}")


@pytest.mark.usefixtures("slow_cluster")
def test_a_run_whose_task_times_out_before_its_pod_is_there_has_failed(platform: Platform) -> None:
    story = Story.begin(
        lambda principal: platform.governance(Caller(principal)),
        platform.objects,
        data_plane="kubernetes",
        namespace="slow",
    )
    image = EnvironmentRequest(name="image", kind="image", reference=f"registry/steps@{DIGEST}")
    story.mia.runs.lock_environment(story.project, image)
    request = story.run_request(environment="image")
    operator = RunOperator(task_id="train", environment="image", command=["true"])
    context: Any = {"ti": SimpleNamespace(try_number=1)}
    # What is imported late is imported now: the time is to be over while the credentials are waited for.
    import holdfast_provider.pods  # noqa: F401

    hook = SimpleNamespace(token="")
    with pytest.raises(AirflowTaskTimeout), TimeoutPosix(3):
        operator.execute_run(context, hook, story.mia, story.project, request)  # type: ignore[arg-type]

    [run] = story.mia.runs.list(story.project).items
    assert (run.state, run.error_class) == ("failed", "environment")
    assert "execution_timeout" in run.cause
