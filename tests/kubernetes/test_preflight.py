"""Whether a cluster is ready for Runs is found by asking it, and each thing that is missing is named with the way out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from holdfast.cli.cluster import open_cluster
from holdfast.core.errors import InvalidRequest
from holdfast.dataplane.kubernetes.cluster import Cluster as ClusterApi
from holdfast.dataplane.kubernetes.namespace import RIGHTS
from holdfast.dataplane.kubernetes.preflight import Finding, preflight
from holdfast.settings import Platform
from tests.support.kubernetes.data_plane import DataPlane
from tests.support.kubernetes.project import KubernetesProject
from tests.support.server import free_ports

WORKER = "a-worker"


@pytest.fixture(scope="module")
def ready(platform: Platform, plane: DataPlane, tmp_path_factory: pytest.TempPathFactory) -> KubernetesProject:
    return KubernetesProject.make(platform, plane, tmp_path_factory.mktemp("code"), workers=(f"user:{WORKER}",))


def as_user(plane: DataPlane, user: str) -> ClusterApi:
    return ClusterApi(plane.cluster.api(plane.cluster.kubeconfig_for(user)))


def findings(cluster: ClusterApi, namespace: str, now: datetime | None = None) -> dict[str, Finding]:
    found = preflight(cluster, namespace, namespace, now or datetime.now(UTC))
    return {finding.check: finding for finding in found}


def test_a_namespace_with_its_documents_is_ready_for_who_runs_the_workers(
    ready: KubernetesProject, plane: DataPlane
) -> None:
    found = findings(as_user(plane, WORKER), ready.name)
    assert [finding for finding in found.values() if not finding.ok] == []
    assert len(found) == 6


def test_every_right_that_is_missing_is_named(ready: KubernetesProject, plane: DataPlane) -> None:
    rights = findings(as_user(plane, "a-stranger"), ready.name)["rights"]
    assert not rights.ok
    for resource, verbs in RIGHTS.items():
        for verb in verbs:
            assert f"{verb} {resource}" in rights.says


def test_one_right_too_few_is_named_alone(ready: KubernetesProject, plane: DataPlane) -> None:
    rules = [
        {
            "apiGroups": [""],
            "resources": [resource],
            "verbs": [verb for verb in verbs if (verb, resource) != ("delete", "pods")],
        }
        for resource, verbs in RIGHTS.items()
    ]
    api = "rbac.authorization.k8s.io"
    role = {
        "apiVersion": f"{api}/v1",
        "kind": "Role",
        "metadata": {"name": "few", "namespace": ready.name},
        "rules": rules,
    }
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "few", "namespace": ready.name},
        "roleRef": {"apiGroup": api, "kind": "Role", "name": "few"},
        "subjects": [{"apiGroup": api, "kind": "User", "name": "one-of-few"}],
    }
    documents = {"apiVersion": "v1", "kind": "List", "items": [role, binding]}
    plane.cluster.kubectl("apply", "-f", "-", input=json.dumps(documents))

    rights = findings(as_user(plane, "one-of-few"), ready.name)["rights"]

    assert rights.says.startswith(f"missing in {ready.name!r}: delete pods;")


def test_a_namespace_without_admission_or_pod_security_is_named(plane: DataPlane) -> None:
    plane.cluster.kubectl("create", "namespace", "bare")
    found = findings(ClusterApi(plane.cluster.api()), "bare")
    assert not found["image by tag is refused"].ok
    assert not found["escalation of rights is refused"].ok
    assert "holdfast cluster manifests" in found["image by tag is refused"].says


def test_a_namespace_that_is_not_there_is_named(plane: DataPlane) -> None:
    found = findings(ClusterApi(plane.cluster.api()), "nowhere")
    assert "there is no namespace 'nowhere'" in found["namespace takes Runs"].says


@pytest.mark.parametrize("minutes", [-5, 5])
def test_a_clock_five_minutes_off_is_named(ready: KubernetesProject, plane: DataPlane, minutes: int) -> None:
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    clocks = findings(ClusterApi(plane.cluster.api()), ready.name, now)["clocks agree"]
    assert not clocks.ok
    assert "synchronisation" in clocks.says
    assert "300 s" in clocks.says or "299 s" in clocks.says or "301 s" in clocks.says


def test_a_cluster_that_does_not_answer_is_named_and_nothing_more_is_asked(plane: DataPlane, tmp_path: Path) -> None:
    elsewhere = tmp_path / "kubeconfig"
    document = yaml.safe_load(plane.cluster.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_ports(1)[0]}"
    elsewhere.write_text(yaml.safe_dump(document))
    [finding] = preflight(open_cluster(elsewhere), "p", "p", datetime.now(UTC))
    assert not finding.ok
    assert "does not answer" in finding.says


@pytest.mark.parametrize("content", [None, "", "not: [a kubeconfig", "apiVersion: v1\nkind: Config\n"])
def test_a_wrong_kubeconfig_is_refused_by_its_name(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidRequest, match=str(path)):
        open_cluster(path)
