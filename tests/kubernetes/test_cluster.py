"""The throw-away cluster is a Kubernetes: what the data plane builds on works, and what it is to survive happens."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kubernetes import client
from kubernetes.client import ApiException
from kubernetes.stream import stream

from tests.support.kubernetes import Cluster, throw_away_cluster
from tests.support.kubernetes.own import OwnCluster
from tests.support.kubernetes.pods import has_ended, is_ready, pod, wait_for_pod, waits_for
from tests.support.kubernetes.registry import throw_away_registry
from tests.support.kubernetes.tree import File


@pytest.fixture
def server(cluster: Cluster) -> Iterator[str]:
    """The URL of a server of this machine, at the address that pods reach."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello, pod")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((cluster.host, 0), Hello) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://{cluster.host}:{running.server_port}"
        running.shutdown()


def eventually(is_so: Callable[[], object], deadline_s: float, what: str) -> float:
    """Return after how many seconds something held."""
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < deadline_s, f"{what} did not happen within {deadline_s} s"
        time.sleep(0.1)
    return time.monotonic() - begun


def node_is_ready(core: client.CoreV1Api, name: str) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in core.read_node(name).status.conditions)


def test_a_restricted_pod_runs_python_on_each_node(
    cluster: Cluster, core: client.CoreV1Api, namespace: str, python: str
) -> None:
    nodes = [node.metadata.labels["kubernetes.io/hostname"] for node in core.list_node().items]
    program = "import json, hashlib, ssl, http.client, os; print('ok', os.getuid())"
    for node in nodes:
        where = {"kubernetes.io/hostname": node}
        core.create_namespaced_pod(namespace, pod(node, python, "python", "-c", program, nodeSelector=where))
    for node in nodes:
        found = wait_for_pod(core, namespace, node, has_ended)
        assert found.status.phase == "Succeeded"
        assert found.status.container_statuses[0].image_id.endswith(python.partition("@")[2])
        assert cluster.kubectl("logs", "--namespace", namespace, node) == "ok 65532\n"


def test_pod_security_refuses_root(core: client.CoreV1Api, namespace: str, python: str) -> None:
    wanted = pod("root", python, "true")
    wanted["spec"]["securityContext"] |= {"runAsUser": 0, "runAsNonRoot": False}
    with pytest.raises(ApiException, match="violates PodSecurity"):
        core.create_namespaced_pod(namespace, wanted)


def test_exec_carries_input_and_output(cluster: Cluster, core: client.CoreV1Api, namespace: str, python: str) -> None:
    core.create_namespaced_pod(namespace, pod("waiting", python, "sleep", "600"))
    wait_for_pod(core, namespace, "waiting", is_ready)
    # A client of its own: stream() turns the one that it is given into one for web sockets.
    of_streams = client.CoreV1Api(cluster.api())
    open_ = stream(
        of_streams.connect_get_namespaced_pod_exec,
        "waiting",
        namespace,
        command=["python", "-c", "print(input().upper())"],
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    open_.write_stdin("through and back\n")
    open_.run_forever(timeout=20)
    assert open_.read_stdout() == "THROUGH AND BACK\n"
    assert open_.returncode == 0


def test_a_pod_reaches_a_server_of_this_machine(
    core: client.CoreV1Api, cluster: Cluster, namespace: str, python: str, server: str
) -> None:
    program = f"import urllib.request; print(urllib.request.urlopen('{server}').read().decode())"
    core.create_namespaced_pod(namespace, pod("asking", python, "python", "-c", program))
    wait_for_pod(core, namespace, "asking", has_ended)
    assert cluster.kubectl("logs", "--namespace", namespace, "asking") == "hello, pod\n"


def test_pods_of_two_nodes_reach_each_other(
    core: client.CoreV1Api, cluster: Cluster, namespace: str, python: str
) -> None:
    first, second = [node.metadata.labels["kubernetes.io/hostname"] for node in core.list_node().items][-2:]
    serving = pod("serving", python, "python", "-m", "http.server", nodeSelector={"kubernetes.io/hostname": first})
    core.create_namespaced_pod(namespace, serving)
    address = wait_for_pod(core, namespace, "serving", is_ready).status.pod_ip
    program = (
        "import time, urllib.request\n"
        "for _ in range(100):\n"
        f"    try: print(urllib.request.urlopen('http://{address}:8000/etc/group').read().decode()); break\n"
        "    except OSError: time.sleep(.1)"
    )
    asking = pod("asking", python, "python", "-c", program, nodeSelector={"kubernetes.io/hostname": second})
    core.create_namespaced_pod(namespace, asking)
    wait_for_pod(core, namespace, "asking", has_ended)
    assert "agent:x:65532" in cluster.kubectl("logs", "--namespace", namespace, "asking")


def test_a_layer_on_top_is_there(cluster: Cluster, core: client.CoreV1Api, namespace: str) -> None:
    ours = cluster.images.layer({"opt/ours/__init__.py": File(b"WORD = 'from the layer'\n")})
    image = cluster.images.python("ours", ours, Env=["PATH=/usr/local/bin:/bin", "PYTHONPATH=/opt"])
    core.create_namespaced_pod(
        namespace, pod("ours", cluster.load(image), "python", "-c", "import ours; print(ours.WORD)")
    )
    wait_for_pod(core, namespace, "ours", has_ended)
    assert cluster.kubectl("logs", "--namespace", namespace, "ours") == "from the layer\n"


def test_an_image_is_pulled_by_its_digest(own: OwnCluster, namespace: str) -> None:
    core = client.CoreV1Api(own.api())
    image = own.images.python("pulled", own.images.layer({"etc/pulled": File(b"by digest")}))
    with throw_away_registry(own) as registry:
        with throw_away_given(own, registry) as given:
            reference = given.load(image)
        assert reference == f"{registry}/holdfast/pulled@{image.digest}"
        core.create_namespaced_pod(namespace, pod("pulled", reference, "cat", "/etc/pulled"))
        found = wait_for_pod(core, namespace, "pulled", has_ended)
    assert own.kubectl("logs", "--namespace", namespace, "pulled") == "by digest"
    assert found.status.container_statuses[0].image_id.endswith(image.digest)


def throw_away_given(own: OwnCluster, registry: str):
    """Reach our own cluster as one that somebody else has made."""
    return throw_away_cluster(
        environment={"HOLDFAST_TEST_KUBECONFIG": str(own.kubeconfig), "HOLDFAST_TEST_REGISTRY": registry}
    )


def test_a_given_cluster_is_used_as_it_is(own: OwnCluster) -> None:
    with throw_away_given(own, "") as given:
        assert not given.is_own
        assert given.host == own.host
        assert "node1" in given.kubectl("get", "nodes")
        with pytest.raises(RuntimeError, match="HOLDFAST_TEST_REGISTRY"):
            given.load(given.images.pause())
    assert "node1" in own.kubectl("get", "nodes")


@pytest.mark.parametrize(("policy", "reason"), [("IfNotPresent", "ErrImagePull"), ("Never", "ErrImageNeverPull")])
def test_other_bytes_do_not_run(core: client.CoreV1Api, namespace: str, python: str, policy: str, reason: str) -> None:
    other = f"{python.partition('@')[0]}@sha256:{hashlib.sha256(b'other').hexdigest()}"
    wanted = pod("other", other, "true")
    wanted["spec"]["containers"][0]["imagePullPolicy"] = policy
    core.create_namespaced_pod(namespace, wanted)
    wait_for_pod(core, namespace, "other", waits_for(reason))


def test_a_container_over_its_memory_is_killed(core: client.CoreV1Api, namespace: str, python: str) -> None:
    limits = {"limits": {"memory": "64Mi", "cpu": "1"}}
    core.create_namespaced_pod(
        namespace, pod("greedy", python, "python", "-c", "print(len(b'x' * (256 << 20)))", resources=limits)
    )
    found = wait_for_pod(core, namespace, "greedy", has_ended)
    assert found.status.container_statuses[0].state.terminated.reason == "OOMKilled"


def test_a_quota_refuses(core: client.CoreV1Api, namespace: str, python: str) -> None:
    core.create_namespaced_resource_quota(namespace, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
    eventually(lambda: core.read_namespaced_resource_quota("none", namespace).status.hard, 20, "the quota")
    with pytest.raises(ApiException, match="exceeded quota"):
        core.create_namespaced_pod(namespace, pod("more", python, "true"))


def test_an_admission_policy_refuses(cluster: Cluster, core: client.CoreV1Api, namespace: str, python: str) -> None:
    admission = client.AdmissionregistrationV1Api(cluster.api())
    policy = {
        "metadata": {"name": namespace},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                ]
            },
            "validations": [
                {"expression": "object.spec.containers.all(c, c.image.contains('@sha256:'))", "message": "by digest"}
            ],
        },
    }
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    binding = {
        "metadata": {"name": namespace},
        "spec": {"policyName": namespace, "validationActions": ["Deny"], "matchResources": selector},
    }
    admission.create_validating_admission_policy(policy)
    admission.create_validating_admission_policy_binding(binding)

    def refusal() -> str:
        try:
            core.create_namespaced_pod(namespace, pod("loose", "localhost/loose:latest", "true"), dry_run="All")
        except ApiException as refused:
            return refused.body
        return ""

    try:
        eventually(refusal, 20, "the refusal")
        assert "by digest" in refusal()
        core.create_namespaced_pod(namespace, pod("exact", python, "true"), dry_run="All")
    finally:
        admission.delete_validating_admission_policy_binding(namespace)
        admission.delete_validating_admission_policy(namespace)


def test_rights_are_those_of_the_group_and_of_the_account(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=pods", f"--namespace={namespace}")
    cluster.kubectl("create", "serviceaccount", "agent", f"--namespace={namespace}")
    subjects = ["--group=readers", f"--serviceaccount={namespace}:agent"]
    cluster.kubectl("create", "rolebinding", "readers", "--role=reader", *subjects, f"--namespace={namespace}")
    inside = ("get", "pods", f"--namespace={namespace}")
    allowed = [
        cluster.kubeconfig_for("mia", ("readers",)),
        cluster.kubeconfig_for_service_account(namespace, "agent"),
    ]
    for kubeconfig in allowed:
        cluster.kubectl(*inside, kubeconfig=kubeconfig)
        with pytest.raises(RuntimeError, match="Forbidden"):
            cluster.kubectl("get", "secrets", f"--namespace={namespace}", kubeconfig=kubeconfig)
    with pytest.raises(RuntimeError, match='"ed" cannot list resource "pods"'):
        cluster.kubectl(*inside, kubeconfig=cluster.kubeconfig_for("ed", ("writers",)))


def test_a_kubelet_that_was_killed_goes_on_with_the_same_pods(own: OwnCluster, namespace: str) -> None:
    core, leases = client.CoreV1Api(own.api()), client.CoordinationV1Api(own.api())
    reference = own.load(own.images.python())
    core.create_namespaced_pod(namespace, pod("lasting", reference, "sleep", "600", nodeName="node2"))
    before = wait_for_pod(core, namespace, "lasting", is_ready).status.container_statuses[0]
    own.kill_kubelet(2)
    said = leases.read_namespaced_lease("node2", "kube-node-lease").spec.renew_time
    own.start_kubelet(2)
    eventually(
        lambda: leases.read_namespaced_lease("node2", "kube-node-lease").spec.renew_time > said, 20, "a sign of life"
    )
    after = wait_for_pod(core, namespace, "lasting", is_ready).status.container_statuses[0]
    assert (after.container_id, after.restart_count) == (before.container_id, 0)
    eventually(lambda: says_still_here(own, namespace), 20, "that the kubelet knows its pods again")


def says_still_here(own: OwnCluster, namespace: str) -> bool:
    try:
        return own.kubectl("exec", "--namespace", namespace, "lasting", "--", "echo", "still here") == "still here\n"
    except RuntimeError:  # the kubelet answers before it knows
        return False


def test_pods_outlive_the_api_server(own: OwnCluster, namespace: str) -> None:
    core = client.CoreV1Api(own.api())
    reference = own.load(own.images.python())
    core.create_namespaced_pod(namespace, pod("lasting", reference, "sleep", "600"))
    before = wait_for_pod(core, namespace, "lasting", is_ready).status.container_statuses[0]
    own.stop_apiserver()
    try:
        with pytest.raises(RuntimeError, match="refused"):
            own.kubectl("get", "nodes")
    finally:
        own.start_apiserver()
    after = core.read_namespaced_pod("lasting", namespace).status.container_statuses[0]
    assert (after.container_id, after.restart_count) == (before.container_id, 0)


def test_a_lost_node_is_noticed_and_comes_back(own: OwnCluster, namespace: str) -> None:
    core = client.CoreV1Api(own.api())
    reference = own.load(own.images.python())
    core.create_namespaced_pod(namespace, pod("lost", reference, "sleep", "600", nodeName="node2"))
    wait_for_pod(core, namespace, "lost", is_ready)
    own.kill_node(2)
    try:
        eventually(lambda: not node_is_ready(core, "node2"), 25, "the notice of the loss")
        wait_for_pod(core, namespace, "lost", lambda found: found.metadata.deletion_timestamp, 25)
        assert node_is_ready(core, "node1")
    finally:
        own.start_node(2)
    core.create_namespaced_pod(namespace, pod("later", reference, "true", nodeName="node2"))
    assert wait_for_pod(core, namespace, "later", has_ended).status.phase == "Succeeded"
