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
from holdfast.core.run import RunState
from holdfast.dataplane.kubernetes.facts import pod_facts
from holdfast.dataplane.kubernetes.likeness import differences, differences_from_all
from holdfast.dataplane.kubernetes.manifest import PodSettings, forms_of, manifest_of
from holdfast.dataplane.kubernetes.namespace import NamespaceSettings, namespace_documents
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
    assert made["spec"]["containers"][0]["resources"]["limits"] == {
        "cpu": "2",
        "memory": "4Gi",
        "ephemeral-storage": "10Gi",
    }


@pytest.mark.parametrize(("asked", "limit"), [({}, "10Gi"), ({"ephemeral-storage": "300Gi"}, "300Gi")])
def test_a_pod_has_the_scratch_space_that_its_step_asks_for_and_no_more(asked: dict[str, Any], limit: str) -> None:
    spec = manifest_of(run(resources={**asked, "secrets": {"VAULT_DIR": "csi:bank"}}), SETTINGS)["spec"]

    volumes = {volume["name"]: volume["emptyDir"] for volume in spec["volumes"] if "emptyDir" in volume}
    step = {"run", "outputs", "tmp"}
    assert volumes == {
        **{name: {"sizeLimit": limit} for name in step},
        **{name: {"sizeLimit": "64Mi"} for name in ("control", "agent-tmp")},
    }
    user = spec["containers"][0]["resources"]
    assert user["limits"]["ephemeral-storage"] == limit
    assert user["requests"]["ephemeral-storage"] == asked.get("ephemeral-storage", "256Mi")
    for container in (*spec["initContainers"], *spec["containers"]):
        for amounts in ("requests", "limits"):
            assert "ephemeral-storage" in container["resources"][amounts], container["name"]


def test_the_quota_counts_every_resource_that_a_pod_of_ours_is_limited_in() -> None:
    [quota] = [
        document
        for document in namespace_documents(NamespaceSettings("oncology", "oncology", ()))
        if document["kind"] == "ResourceQuota"
    ]
    spec = manifest_of(run(), SETTINGS)["spec"]
    for container in (*spec["initContainers"], *spec["containers"]):
        limited = {f"limits.{resource}" for resource in container["resources"]["limits"]}
        assert limited | {"pods"} == set(quota["spec"]["hard"]), container["name"]


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
    (["spec", "volumes", 1], {"name": "outputs", "emptyDir": {}}),
    (["spec", "volumes", 1, "emptyDir", "sizeLimit"], "1Ti"),
    (["spec", "containers", 0, "resources", "limits", "ephemeral-storage"], "1Ti"),
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


def test_a_size_is_the_same_however_it_is_written() -> None:
    made = manifest_of(run(resources={"ephemeral-storage": "2048Mi"}), SETTINGS)
    found = as_found(made)
    found["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] = "2Gi"
    found["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"] = "2Gi"
    assert differences(made, found) == []


# What the version before made of a Run that asks for nothing.
BEFORE: dict[str, Any] = {
    "volumes": [{"name": name, "emptyDir": {}} for name in ("run", "outputs", "control", "tmp", "agent-tmp")],
    "agent": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "192Mi"}},
    "user": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
}


def made_before(one: Run) -> dict[str, Any]:
    """Return a pod that the version before has made for a Run, as the API server gives it back."""
    found = as_found(manifest_of(one, SETTINGS))
    found["spec"]["volumes"] = copy.deepcopy(BEFORE["volumes"])
    for container in (*found["spec"]["initContainers"], *found["spec"]["containers"]):
        container["resources"] = copy.deepcopy(BEFORE["user" if container["name"] == "user" else "agent"])
    asked = one.resources.get("ephemeral-storage")
    for amounts in found["spec"]["containers"][0]["resources"].values():
        amounts.update({"ephemeral-storage": asked} if asked else {})
    return found


@pytest.mark.parametrize("resources", [{}, {"ephemeral-storage": "20Gi"}])
def test_a_pod_that_the_version_before_has_made_is_still_its_runs(resources: dict[str, Any]) -> None:
    one = run(resources=resources, state=RunState.RUNNING)
    found = {**made_before(one), "status": {"phase": "Pending"}}

    assert differences_from_all(forms_of(one, SETTINGS), found) == []
    facts = pod_facts(found, "oncology", one, [PodSettings("oncology", f"registry/agent@sha256:{'b' * 64}"), SETTINGS])
    assert facts.difference is None


@pytest.mark.parametrize(("path", "value"), [each for each in PATHS if "volumes" not in each[0]])
def test_what_the_version_before_has_made_may_have_been_changed_since(path: list[Any], value: Any) -> None:
    one = run()
    found = made_before(one)
    place: Any = found
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert differences_from_all(forms_of(one, SETTINGS), found)


@given(st.sampled_from(["containers", "initContainers", "volumes"]), st.booleans())
def test_one_member_more_or_less_is_a_difference(kind: str, more: bool) -> None:
    made = manifest_of(run(), SETTINGS)
    found = as_found(made)
    if more:
        found["spec"][kind].append({"name": "sidecar", "image": "x"})
    else:
        found["spec"][kind].pop()

    assert differences(made, found)
