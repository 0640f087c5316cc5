"""A Project's NetworkPolicies as packet filter rules of a node, for network plug-ins that enforce none. Pure."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def filter_rules(policies: list[Document]) -> list[list[str]]:
    """Return the iptables rules, first match wins, that let out of a pod what its namespace's two policies let out.

    Each rule is options with one value each. They are for IPv4 and for pods that are not in quarantine.
    """
    closed, store = (policy["spec"] for policy in sorted(policies, key=lambda policy: policy["metadata"]["name"]))
    # The API server leaves out lists that are empty.
    given = {name: value for name, value in closed.items() if value != []}
    assert given == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    # What policies allow is added up; this one is for every pod that is not in quarantine.
    assert store["policyTypes"] == ["Egress"]
    rules = [["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"]]
    for egress in store["egress"]:
        for place in egress["to"]:
            for port in egress["ports"]:
                match = ["-p", port["protocol"].lower(), "--dport", str(port["port"])]
                rules.append(["-d", place["ipBlock"]["cidr"], *match, "-j", "ACCEPT"])
    return [*rules, ["-j", "DROP"]]
