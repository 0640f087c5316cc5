"""What pods may reach: only what is a network with a port, and never the address at which clouds give out credentials."""

from __future__ import annotations

import pytest

from holdfast.core.errors import InvalidRequest
from holdfast.dataplane.kubernetes.namespace import Egress, NamespaceSettings, Quota, namespace_documents


@pytest.mark.parametrize("text", ["10.0.0.5/32:443", "10.0.0.0/24:9000", "2001:db8::5/128:443"])
def test_a_network_with_a_port_is_understood(text: str) -> None:
    egress = Egress.parse(text)
    assert f"{egress.cidr}:{egress.port}" == text


@pytest.mark.parametrize(
    "text", ["", "store.example:443", "10.0.0.5/32", "10.0.0.5/32:0", "10.0.0.5/32:65536", "10.0.0.5/24:443"]
)
def test_what_is_no_network_with_a_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no network with a port"):
        Egress.parse(text)


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0/0:443", "169.254.169.254/32:80", "160.0.0.0/4:80", "::/0:443", "fd00:ec2::/64:80", "fe80::1/128:80"],
)
def test_what_would_open_the_metadata_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="would open"):
        Egress.parse(text)


@pytest.mark.parametrize("worker", ["", "user:", "airflow", "/worker", "airflow/", "a/b/c", "Airflow/worker", "a_b/c"])
def test_who_can_be_nobody_in_a_cluster_is_given_no_rights(worker: str) -> None:
    settings = NamespaceSettings("oncology", "oncology", (Egress("10.0.0.5/32", 443),), workers=(worker,))
    with pytest.raises(InvalidRequest, match="is no subject"):
        namespace_documents(settings)


@pytest.mark.parametrize(("quota", "what"), [({"cpu": "lots"}, "cpu 'lots'"), ({"memory": "1 GiB"}, "memory '1 GiB'")])
def test_what_no_cluster_counts_in_is_no_quota(quota: dict[str, str], what: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{what} is no amount"):
        Quota(**quota)


def test_a_quota_without_a_pod_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no Run could start"):
        Quota(pods=0)
