"""What the NetworkPolicies of a Project's namespace let through, judged by an analyser that is not ours; no cluster is needed.

The documents are those that `holdfast cluster manifests` prints, and the pods those that Runs are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from holdfast.core.access import Caller
from holdfast.core.policy import EnvironmentKind
from holdfast.dataplane.kubernetes.manifest import QUARANTINED_LABEL, PodSettings, manifest_of
from holdfast.dataplane.kubernetes.namespace import Egress, NamespaceSettings, namespace_documents
from holdfast.settings import Platform, Settings
from holdfast.wire.project import ProjectRequest
from holdfast.wire.run import Run
from tests.cli.conftest import Cli
from tests.support.kubernetes.packet_filter import filter_rules
from tests.support.kubernetes.policies import Document, Traffic, Verdict, verdicts
from tests.support.server import serve

NAMESPACE = "oncology"
DIGEST = "sha256:" + "a" * 64
STORE, SECOND, NAME_SERVER, STORE_6 = "10.0.0.5", "10.0.0.6", "10.96.0.10", "fd00::5"
API_SERVER, METADATA, INTERNET, INTERNET_6 = "10.96.0.1", "169.254.169.254", "203.0.113.10", "2001:db8::1"
PLACES = ("10.0.0.4", STORE, SECOND, "10.0.0.8", NAME_SERVER, API_SERVER, METADATA, INTERNET, STORE_6, INTERNET_6)
PORTS, PROTOCOLS = (53, 80, 443, 6443, 9000), ("TCP", "UDP", "SCTP")

FORMS = {
    "one address": ([f"{STORE}/32:443"], {(STORE, 443, "TCP")}),
    "another port": ([f"{STORE}/32:9000"], {(STORE, 9000, "TCP")}),
    "several": ([f"{STORE}/32:443", f"{SECOND}/32:9000"], {(STORE, 443, "TCP"), (SECOND, 9000, "TCP")}),
    "a network": (["10.0.0.4/30:443"], {("10.0.0.4", 443, "TCP"), (STORE, 443, "TCP"), (SECOND, 443, "TCP")}),
    "by name": (
        [f"{STORE}/32:443", f"{NAME_SERVER}/32:53"],
        {(STORE, 443, "TCP"), (NAME_SERVER, 53, "TCP"), (NAME_SERVER, 53, "UDP")},
    ),
    "IPv6": ([f"{STORE_6}/128:443"], {(STORE_6, 443, "TCP")}),
}
"""What is said of the object store, and everything of PLACES, PORTS and PROTOCOLS that a Run reaches then."""


def run_pod(number: int, address: str, labels: dict[str, str] | None = None, **more: str) -> Document:
    """Return a Run's pod as the data plane makes it, as it is once it has an address; `more` are labels added later."""
    run = Run.model_construct(
        id=UUID(int=number),
        project=NAMESPACE,
        environment="python/1",
        environment_kind=EnvironmentKind.IMAGE,
        environment_reference=f"registry/user@{DIGEST}",
        command=["python", "-c", "pass"],
        resources={"pod": {"metadata": {"labels": labels or {}}}},
        seal=DIGEST,
        fence=None,
    )
    pod = manifest_of(run, PodSettings(NAMESPACE, f"registry/agent@{DIGEST}"))
    pod["metadata"]["labels"].update(more)
    return {**pod, "status": {"podIP": address}}


def pod(namespace: str, name: str, address: str) -> Document:
    metadata = {"namespace": namespace, "name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"podIP": address}}


RUN, NEIGHBOUR, QUARANTINED = (f"{NAMESPACE}/run-{UUID(int=number)}" for number in (1, 2, 3))
STRANGER, POD_OF_NO_RUN = "web/front", f"{NAMESPACE}/miner"
AROUND = [
    run_pod(1, "10.244.1.1"),
    run_pod(2, "10.244.1.2", {"app": "front", "role": "trainer"}),
    run_pod(3, "10.244.2.3", **{QUARANTINED_LABEL: "true"}),
    pod(NAMESPACE, "miner", "10.244.2.4"),
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web", "labels": {"team": "web"}}},
    pod("web", "front", "10.244.2.5"),
]
PODS = (RUN, NEIGHBOUR, QUARANTINED, POD_OF_NO_RUN, STRANGER)
"""Two Runs, one in quarantine, a pod that is no Run's beside them, and one in a namespace without policies."""


@pytest.fixture(scope="module")
def manifests(settings: Settings) -> Iterator[Callable[..., list[Document]]]:
    """Return what `holdfast cluster manifests` prints for an object store."""
    platform = Platform.open(settings)
    request = ProjectRequest(name=NAMESPACE, owner="tests", data_plane="kubernetes", namespace=NAMESPACE)
    platform.governance(Caller("system:tests")).projects.create(request)
    with serve(platform) as url:
        cli = Cli({"HOLDFAST_API_URL": url, "HOLDFAST_PROJECT": NAMESPACE, "HOLDFAST_TOKEN": "system:tests"})

        def printed(*object_store: str) -> list[Document]:
            options = [word for store in object_store for word in ("--object-store", store)]
            items: list[Document] = cli.json("cluster", "manifests", *options)["items"]
            return items

        yield printed
    platform.close()


@pytest.fixture(scope="module")
def documents(manifests: Callable[..., list[Document]]) -> list[Document]:
    return manifests(*FORMS["one address"][0])


def traffic(sources: Iterable[str], destinations: Iterable[str]) -> list[Traffic]:
    """Return every connection between them by PORTS and PROTOCOLS."""
    return [Traffic(*one) for one in product(sources, destinations, PORTS, PROTOCOLS) if one[0] != one[1]]


def judged(documents: list[Document], sources: Iterable[str], destinations: Iterable[str]) -> dict[Traffic, Verdict]:
    found = verdicts([*documents, *AROUND], traffic(sources, destinations))
    assert found
    return found


def allowed(found: dict[Traffic, Verdict]) -> set[Traffic]:
    return {one for one, verdict in found.items() if verdict.is_allowed}


def changed(documents: list[Document], **changes: Any) -> list[Document]:
    """Return documents with something else in the policy for the object store."""
    made = copy.deepcopy(documents)
    [store] = [one for one in made if one["metadata"]["name"] == "holdfast-object-store"]
    store["spec"].update(changes)
    return made


def policy(**spec: Any) -> Document:
    metadata = {"name": "more", "namespace": NAMESPACE}
    spec = {"podSelector": {}, **spec}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("form", FORMS)
def test_a_run_reaches_its_object_store_and_nothing_else(manifests: Callable[..., list[Document]], form: str) -> None:
    object_store, reached = FORMS[form]
    found = judged(manifests(*object_store), (RUN, NEIGHBOUR), (*PLACES, *PODS))
    assert allowed(found) == {Traffic(source, *one) for source, one in product((RUN, NEIGHBOUR), reached)}
    # Nowhere is it only the other side's policy that holds a Run back.
    assert {one for one, verdict in found.items() if verdict.egress} == allowed(found)


def test_a_pod_that_is_no_runs_reaches_no_more_than_one_in_the_same_namespace(documents: list[Document]) -> None:
    assert allowed(judged(documents, [POD_OF_NO_RUN], (*PLACES, *PODS))) == {Traffic(POD_OF_NO_RUN, STORE, 443, "TCP")}


def test_a_pod_in_quarantine_reaches_not_even_the_object_store(documents: list[Document]) -> None:
    assert not any(verdict.egress for verdict in judged(documents, [QUARANTINED], (*PLACES, *PODS)).values())


def test_nobody_reaches_a_run(documents: list[Document]) -> None:
    found = judged(documents, (*PLACES, *PODS), (RUN, NEIGHBOUR, QUARANTINED))
    assert not any(verdict.ingress for verdict in found.values())
    # The pod of another namespace and the addresses outside are held back by nothing but the Runs' own namespace.
    assert all(found[Traffic(source, RUN, 443)].egress for source in (STRANGER, *PLACES))


def test_without_the_policies_everything_is_let_through(documents: list[Document]) -> None:
    rest = [document for document in documents if document["kind"] != "NetworkPolicy"]
    found = judged(rest, (*PLACES, *PODS), (*PLACES, *PODS))
    assert allowed(found) == set(found)


OPENINGS: dict[str, tuple[Document, set[tuple[str, str]]]] = {
    "all goes out": (
        policy(policyTypes=["Egress"], egress=[{}]),
        {(RUN, place) for place in (*PLACES, STRANGER)},
    ),
    "out to every namespace": (
        policy(policyTypes=["Egress"], egress=[{"to": [{"namespaceSelector": {}}]}]),
        {(RUN, STRANGER)},
    ),
    "out to the metadata address": (
        policy(policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": f"{METADATA}/32"}}]}]),
        {(RUN, METADATA)},
    ),
    "all of IPv6 goes out": (
        policy(policyTypes=["Egress"], egress=[{"to": [{"ipBlock": {"cidr": "::/0"}}]}]),
        {(RUN, STORE_6), (RUN, INTERNET_6)},
    ),
    "in from every namespace": (
        policy(policyTypes=["Ingress"], ingress=[{"from": [{"namespaceSelector": {}}]}]),
        {(STRANGER, RUN)},
    ),
    "in from one namespace": (
        policy(policyTypes=["Ingress"], ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "web"}}}]}]),
        {(STRANGER, RUN)},
    ),
    "among Runs": (
        policy(
            policyTypes=["Ingress", "Egress"],
            ingress=[{"from": [{"podSelector": {}}]}],
            egress=[{"to": [{"podSelector": {}}]}],
        ),
        {(RUN, NEIGHBOUR), (RUN, QUARANTINED), (RUN, POD_OF_NO_RUN)}
        | {(source, RUN) for source in (NEIGHBOUR, QUARANTINED, POD_OF_NO_RUN)},
    ),
}


@pytest.mark.parametrize("opening", OPENINGS)
def test_another_policy_that_opens_the_namespace_is_noticed(documents: list[Document], opening: str) -> None:
    more, opened = OPENINGS[opening]
    asked = [*traffic([RUN], (*PLACES, *PODS)), *traffic((*PLACES, *PODS), [RUN])]
    before, after = (allowed(verdicts([*made, *AROUND], asked)) for made in (documents, [*documents, more]))
    assert {(one.source, one.destination) for one in after - before} == opened


@pytest.mark.parametrize(
    ("rule", "opened"),
    [
        (
            {"to": [{"ipBlock": {"cidr": f"{STORE}/32"}}]},
            {(STORE, port, way) for port, way in product(PORTS, PROTOCOLS)},
        ),
        (
            {"to": [{"ipBlock": {"cidr": f"{STORE}/24"}}], "ports": [{"port": 443}]},
            {(place, 443, "TCP") for place in ("10.0.0.4", STORE, SECOND, "10.0.0.8")},
        ),
        ({"ports": [{"protocol": "TCP", "port": 443}]}, {(place, 443, "TCP") for place in (*PLACES, STRANGER)}),
    ],
    ids=["any port", "a wider network", "any address"],
)
def test_a_wider_rule_for_the_object_store_is_noticed(
    documents: list[Document], rule: Document, opened: set[tuple[str, int, str]]
) -> None:
    found = judged(changed(documents, egress=[rule]), [RUN], (*PLACES, *PODS))
    assert allowed(found) == {Traffic(RUN, *one) for one in opened}


def test_it_is_noticed_when_the_policy_that_closes_the_namespace_is_gone(documents: list[Document]) -> None:
    rest = [
        document
        for document in documents
        if (document["kind"], document["metadata"]["name"]) != ("NetworkPolicy", "holdfast")
    ]
    assert len(rest) == len(documents) - 1
    assert all(verdict.ingress for verdict in judged(rest, (*PLACES, STRANGER), [RUN]).values())
    assert allowed(judged(rest, [QUARANTINED], PLACES)) == set(traffic([QUARANTINED], PLACES))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (policy(policyTypes=["Egress"], egres=[{}]), 'unknown field "egres"'),
        (policy(egress=[{}]), "says no namespace or no policyTypes"),
        (
            policy(
                policyTypes=["Egress"],
                podSelector={"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["front"]}]},
            ),
            "selects by NotIn",
        ),
    ],
    ids=["misspelt", "left to be filled in", "read otherwise"],
)
def test_a_policy_that_the_analyser_might_misread_is_refused(
    documents: list[Document], more: Document, says: str
) -> None:
    with pytest.raises(RuntimeError, match=says):
        judged([*documents, more], [RUN], PLACES)


def test_a_pod_that_is_not_known_is_refused(documents: list[Document]) -> None:
    with pytest.raises(RuntimeError, match="oncology/nobody is no address, and no pod"):
        judged(documents, ["oncology/nobody"], PLACES)


def lets_through(rules: list[list[str]], asked: Traffic) -> bool:
    """Return what the first rule that fits a new connection says."""
    for rule in rules:
        match = dict(zip(rule[::2], rule[1::2], strict=True))
        target, place = match.pop("-j"), match.pop("-d", "0.0.0.0/0")
        wanted = {"-p": asked.protocol.lower(), "--dport": str(asked.port)}
        if ip_address(asked.destination) in ip_network(place) and match.items() <= wanted.items():
            return target == "ACCEPT"
    raise AssertionError("the last rule fits everything")


@given(
    st.lists(
        st.builds(
            Egress,
            st.sampled_from(
                (f"{STORE}/32", f"{SECOND}/32", "10.0.0.4/30", "10.0.0.0/24", "169.254.0.0/16", "0.0.0.0/0")
            ),
            st.sampled_from(PORTS),
        ),
        min_size=1,
        max_size=4,
    )
)
@hypothesis(max_examples=30, deadline=None)
def test_the_rules_that_nodes_get_in_tests_mean_what_the_policies_mean(egress: list[Egress]) -> None:
    documents = namespace_documents(NamespaceSettings(NAMESPACE, NAMESPACE, tuple(egress)))
    rules = filter_rules([document for document in documents if document["kind"] == "NetworkPolicy"])
    found = judged(documents, [RUN], [place for place in PLACES if ip_address(place).version == 4])
    assert allowed(found) == {one for one in found if lets_through(rules, one)}
