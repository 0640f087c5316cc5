"""The pod of a Run: what it holds, what a Dag may add to it, and how another pod is told from it."""

from __future__ import annotations

import copy
import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidRequest
from holdfast.core.policy import EnvironmentKind
from holdfast.dataplane.kubernetes.likeness import differences
from holdfast.dataplane.kubernetes.manifest import PodSettings, manifest_of
from holdfast.dataplane.plane import StepFailed
from holdfast.wire.run import Run

DIGEST = "sha256:" + "a" * 64
SETTINGS = PodSettings("oncology", f"registry/agent@{DIGEST}")


def run(**changes: Any) -> Run:
    values: dict[str, Any] = {
        "id": uuid4(),
        "project": "oncology",
        "environment": "sklearn/1",
        "environment_kind": EnvironmentKind.IMAGE,
        "environment_reference": f"registry/user@{DIGEST}",
        "command": ["python", "steps/train.py"],
        "resources": {},
        "seal": DIGEST,
        "fence": None,
    }
    return Run.model_construct(**{**values, **changes})


def refusal(**changes: Any) -> StepFailed:
    with pytest.raises(StepFailed) as refused:
        manifest_of(run(**changes), SETTINGS)
    return refused.value


def test_the_users_container_has_no_right_and_knows_nothing_of_the_platform() -> None:
    spec = manifest_of(run(), SETTINGS)["spec"]
    user = spec["containers"][0]

    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert user["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("AIRFLOW" in variable["name"] for variable in user["env"])
    writable = {mount["mountPath"] for mount in user["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/tmp", "/holdfast/run/outputs"}
    assert not {"control", "agent-tmp"} & {mount["name"] for mount in user["volumeMounts"]}


def test_the_same_run_has_the_same_pod() -> None:
    one = run()
    assert manifest_of(one, SETTINGS) == manifest_of(one.model_copy(), SETTINGS)


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ({"spec": {"automountServiceAccountToken": True}}, "spec.automountServiceAccountToken"),
        ({"spec": {"serviceAccountName": "admin"}}, "spec.serviceAccountName"),
        ({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}, "spec.volumes[0].hostPath.path"),
        ({"spec": {"hostNetwork": True}}, "spec.hostNetwork"),
        ({"spec": {"hostPID": True}}, "spec.hostPID"),
        (
            {"spec": {"containers": [{"name": "user", "securityContext": {"privileged": True}}]}},
            "spec.containers[0].securityContext.privileged",
        ),
        ({"spec": {"containers": [{"name": "user", "image": "busybox"}]}}, "spec.containers[0].image"),
        (
            {"spec": {"containers": [{"name": "user", "env": [{"name": "K", "valueFrom": {"secretKeyRef": {}}}]}]}},
            "spec.containers[0].env[0].valueFrom.secretKeyRef",
        ),
        ({"spec": {"initContainers": [{"image": "busybox"}]}}, "spec.initContainers[0].image"),
        ({"spec": {"securityContext": {"runAsUser": 0}}}, "spec.securityContext.runAsUser"),
        ({"spec": {"shareProcessNamespace": True}}, "spec.shareProcessNamespace"),
        ({"metadata": {"name": "mine"}}, "metadata.name"),
        ({"metadata": {"namespace": "kube-system"}}, "metadata.namespace"),
        ({"metadata": {"labels": {"holdfast/run": "another"}}}, "metadata.labels['holdfast/run']"),
        ({"metadata": {"annotations": {"holdfast/seal": "x"}}}, "metadata.annotations['holdfast/seal']"),
        ({"metadata": {"labels": {"dag_id": "another"}}}, "metadata.labels['dag_id']"),
        ({"metadata": {"labels": {"a b": "c"}}}, "metadata.labels['a b']"),
        ({"metadata": {"labels": {"team": "c d!!"}}}, "'c d!!'"),
        (
            {"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "host-network"}}},
            "metadata.annotations['k8s.v1.cni.cncf.io/networks']",
        ),
        (
            {"metadata": {"annotations": {"iam.amazonaws.com/role": "admin"}}},
            "metadata.annotations['iam.amazonaws.com/role']",
        ),
        ({"spec": {"priorityClassName": "system-node-critical"}}, "spec.priorityClassName"),
        ({"spec": {"tolerations": "all"}}, "spec.tolerations is not a list of objects"),
        ({"spec": {"tolerations": ["all"]}}, "spec.tolerations is not a list of objects"),
        ({"spec": {"nodeSelector": ["gpu"]}}, "spec.nodeSelector is not an object"),
        ({"spec": {"schedulerName": 1}}, "spec.schedulerName is not text"),
        ({"kind": "Job"}, "kind"),
        (["x"], "the pod override"),
        ({"spec": []}, "spec"),
        ({"metadata": {"labels": []}}, "metadata.labels"),
    ],
)
def test_a_dag_cannot_give_its_pod_more_than_a_place(override: Any, field: str) -> None:
    failure = refusal(resources={"pod": override})
    assert failure.error_class == "policy"
    assert field in str(failure)
    assert "run.pod-override" in str(failure)


def test_a_dag_may_say_where_its_pod_is_placed_and_how_it_is_labelled() -> None:
    override = {
        "metadata": {
            "labels": {"team": "a", "example.org/cost-centre": ""},
            "annotations": {"note": "the night's run", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        },
        "spec": {"nodeSelector": {"gpu": "yes"}, "tolerations": [{"key": "gpu"}]},
    }
    made = manifest_of(run(resources={"pod": override, "cpu": "2", "memory": "4Gi"}), SETTINGS)

    assert made["metadata"]["labels"]["team"] == "a"
    assert made["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert made["spec"]["nodeSelector"] == {"gpu": "yes"}
    assert made["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}


@pytest.mark.parametrize(
    "resources",
    [{"mem": "1Gi"}, {"cpu": "lots"}, {"memory": "-1"}, {"deadline_s": 0}, {"deadline_s": "1"}, {"cpu": ""}],
)
def test_resources_that_no_cluster_gives_are_refused_by_name(resources: dict[str, Any]) -> None:
    failure = refusal(resources=resources)
    assert failure.error_class == "user"
    assert next(iter(resources)) in str(failure)


@pytest.mark.parametrize(
    "secrets",
    [
        {"KEY": "hunter2"},
        {"KEY": "a/b/c"},
        {"PATH": "a/b"},
        {"HOLDFAST_INPUTS": "a/b"},
        {"LD_PRELOAD": "a/b"},
        {"not a name": "a/b"},
        {"KEY": 7},
        {"KEY": "csi:../x"},
        ["a/b"],
    ],
)
def test_a_secret_is_a_reference_or_refused_without_repeating_it(secrets: Any) -> None:
    failure = refusal(resources={"secrets": secrets})
    assert failure.error_class == "user"
    assert "hunter2" not in str(failure)


def test_secrets_reach_the_users_container_alone_and_by_reference() -> None:
    made = manifest_of(run(resources={"secrets": {"KEY": "bank/api", "VAULT_DIR": "csi:bank"}}), SETTINGS)
    user, agent = made["spec"]["containers"]

    key, directory = user["env"][-2:]
    assert key == {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "bank", "key": "api"}}}
    assert directory == {"name": "VAULT_DIR", "value": "/holdfast/secrets/VAULT_DIR"}
    assert {"name": "secret-vault-dir", "mountPath": directory["value"], "readOnly": True} in user["volumeMounts"]
    assert made["spec"]["volumes"][-1]["csi"]["volumeAttributes"] == {"secretProviderClass": "bank"}
    for other in (agent, made["spec"]["initContainers"][0]):
        assert "bank" not in json.dumps(other)


def test_an_interpreter_is_no_image() -> None:
    assert refusal(environment_kind=EnvironmentKind.INTERPRETER).error_class == "user"


def test_the_agents_image_has_to_be_named_by_digest() -> None:
    with pytest.raises(InvalidRequest, match="by digest"):
        manifest_of(run(), PodSettings("oncology", "registry/agent:latest"))


def as_found(made: dict[str, Any]) -> dict[str, Any]:
    """Return a pod as the API server gives it back: with defaults, and with what admission adds."""
    found = copy.deepcopy(made)
    found["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    found["metadata"]["labels"]["dag_id"] = "d"
    del found["spec"]["automountServiceAccountToken"]
    found["spec"] |= {
        "automountServiceAccountToken": False,
        "dnsPolicy": "ClusterFirst",
        "tolerations": [{"key": "node.kubernetes.io/not-ready"}],
        "serviceAccountName": "default",
    }
    for container in found["spec"]["containers"]:
        container["terminationMessagePath"] = "/dev/termination-log"
    found["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "1000m"
    return found


def test_defaults_of_the_server_are_no_difference() -> None:
    made = manifest_of(run(), SETTINGS)
    assert differences(made, as_found(made)) == []


PATHS: list[tuple[list[Any], Any]] = [
    (["metadata", "labels", "holdfast/run"], "another"),
    (["metadata", "labels", "holdfast/project"], "another"),
    (["metadata", "annotations", "holdfast/seal"], "sha256:0"),
    (["spec", "containers", 0, "image"], "another@" + DIGEST),
    (["spec", "containers", 1, "image"], "another@" + DIGEST),
    (["spec", "initContainers", 0, "image"], "another@" + DIGEST),
    (["spec", "containers", 0, "command"], ["true"]),
    (["spec", "containers", 0, "args"], ["and more"]),
    (["spec", "containers", 0, "startupProbe"], {"exec": {"command": ["true"]}}),
    (["spec", "securityContext", "supplementalGroups"], [0]),
    (["spec", "containers", 0, "env"], []),
    (["spec", "containers", 0, "envFrom"], [{"secretRef": {"name": "s"}}]),
    (["spec", "containers", 0, "lifecycle"], {"postStart": {}}),
    (["spec", "containers", 0, "securityContext", "readOnlyRootFilesystem"], False),
    (["spec", "containers", 0, "volumeMounts", 0, "readOnly"], False),
    (["spec", "containers", 0, "resources", "limits", "memory"], "64Gi"),
    (["spec", "automountServiceAccountToken"], True),
    (["spec", "hostNetwork"], True),
    (["spec", "shareProcessNamespace"], True),
    (["spec", "securityContext", "runAsUser"], 0),
    (["spec", "ephemeralContainers"], [{"name": "debug"}]),
    (["spec", "volumes", 1], {"name": "outputs", "hostPath": {"path": "/"}}),
    (["spec", "restartPolicy"], "Always"),
]


@pytest.mark.parametrize(("path", "value"), PATHS)
def test_every_change_that_matters_is_a_difference(path: list[Any], value: Any) -> None:
    made = manifest_of(run(), SETTINGS)
    found = as_found(made)
    place: Any = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert differences(made, found)


@given(st.sampled_from(["containers", "initContainers", "volumes"]), st.booleans())
def test_one_member_more_or_less_is_a_difference(kind: str, more: bool) -> None:
    made = manifest_of(run(), SETTINGS)
    found = as_found(made)
    if more:
        found["spec"][kind].append({"name": "sidecar", "image": "x"})
    else:
        found["spec"][kind].pop()

    assert differences(made, found)
