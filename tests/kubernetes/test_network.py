"""Runs need nothing of the network but the object store: their NetworkPolicy, put into force as packet filter rules on every node.

The throw-away cluster's network plug-in enforces no NetworkPolicy, so the rules are made from the policy's own object;
`test_network_policy.py` asks somebody else whether the two mean the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.kubernetes.own import OwnCluster
from tests.support.kubernetes.packet_filter import filter_rules
from tests.support.kubernetes.project import KubernetesProject
from tests.support.markers import Markers

REACH = """
import os, socket, pathlib
host, port = {host!r}, {port}
try:
    socket.create_connection((host, port), timeout=3).close()
    said = "reached"
except OSError as error:
    said = type(error).__name__
pathlib.Path(os.environ["HOLDFAST_OUTPUTS"], "said.txt").write_text(said)
print(said)
"""


@contextmanager
def enforced(own: OwnCluster, namespace: str) -> Iterator[None]:
    """Let through what a namespace's NetworkPolicy lets through, for every pod of the cluster, and nothing else."""
    found = json.loads(own.kubectl("get", "networkpolicy", "-n", namespace, "-o", "json"))["items"]
    rules = filter_rules(found)
    nodes = [node for node in own.nodes.values() if node.is_running]
    for node in nodes:
        for rule in rules:
            for chain in ("FORWARD", "INPUT"):
                done = node.run("iptables", "-A", chain, "-i", "cni0", *rule)
                assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        for node in nodes:
            node.run("iptables", "-F", "FORWARD")
            node.run("iptables", "-F", "INPUT")


@pytest.fixture(scope="module")
def markers(project: KubernetesProject) -> Iterator[Markers]:
    with Markers(project.plane.cluster.host) as markers:
        yield markers


def said(project: KubernetesProject, host: str, port: int) -> str:
    run = project.create("python", "-c", REACH.format(host=host, port=port), outputs={"said": "said.txt"})
    project.succeed(run)
    [artifact] = project.governance.artifacts.list(project.name, run=run.id).items
    grant = project.governance.artifacts.grant_download(project.name, artifact.id)
    return httpx.get(grant.url, headers=grant.headers).text


def test_without_rules_the_server_is_reached_so_that_with_them_it_means_something(
    project: KubernetesProject, markers: Markers
) -> None:
    assert said(project, markers.host, markers.port) == "reached"


def test_a_run_needs_nothing_but_the_object_store_and_reaches_nothing_else(
    project: KubernetesProject, own: OwnCluster, markers: Markers
) -> None:
    store = project.plane.s3.url.removeprefix("http://").partition(":")
    with enforced(own, project.name):
        assert said(project, markers.host, markers.port) == "TimeoutError"
        assert said(project, store[0], int(store[2])) == "reached"
