"""What a Project's namespace holds, and what the whole cluster refuses in such namespaces: documents to be applied. Pure.

Source: Kubernetes, Pod Security Standards (restricted), NetworkPolicy, ValidatingAdmissionPolicy.
"""

import re
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from holdfast.core.errors import InvalidRequest
from holdfast.core.names import NAMESPACE
from holdfast.dataplane.kubernetes.manifest import MANAGED_BY, PROJECT_LABEL, QUANTITY, QUARANTINED_LABEL
from holdfast.dataplane.kubernetes.secrets import CSI_DRIVER

Document = dict[str, Any]
WORKER_ROLE, RECONCILER_ROLE = "holdfast-worker", "holdfast-reconciler"
ADMISSION_POLICY = "holdfast-pods"
# Source: RFC 1123, DNS subdomains, as Kubernetes has them for service accounts.
_ACCOUNT = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NEVER_OPEN = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128")))
RIGHTS: dict[str, tuple[str, ...]] = {
    "pods": ("get", "list", "watch", "create", "delete"),
    "pods/log": ("get",),
    "pods/exec": ("get", "create"),
    "events": ("list", "watch"),
}
"""Everything that a worker and a triggerer may do in a Project's namespace."""
RECONCILER_RIGHTS: dict[str, tuple[str, ...]] = {
    "namespaces": ("get",),
    "pods": ("get", "list", "patch", "delete"),
    "pods/exec": ("get", "create"),
}
"""Everything that the reconciler may do there: it makes no pod, and of the namespace it sees its own alone."""


@dataclass(frozen=True, slots=True)
class Egress:
    """The one thing that pods may reach.

    Attributes:
        cidr: the object store's addresses.
        port: its TCP port.
    """

    cidr: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Egress":
        """Return what `10.0.0.5/32:443` means; raises InvalidRequest."""
        network, _, port = text.rpartition(":")
        try:
            found = cls(str(ip_network(network)), int(port))
        except ValueError:
            found = cls("", 0)
        if not 0 < found.port < 65536:
            raise InvalidRequest(
                f"{text[:80]!r} is no network with a port",
                remedy="Write it as 10.0.0.5/32:443; names are not enough here",
            )
        for closed in _NEVER_OPEN:
            if ip_network(found.cidr).version == closed.version and ip_network(found.cidr).overlaps(closed):
                raise InvalidRequest(
                    f"{text[:80]!r} would open {closed}, where clouds give out their machines' credentials",
                    remedy="Name the object store's own addresses",
                )
        return found


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of the cluster a Project may take at one time; raises InvalidRequest for what Kubernetes does not count in."""

    pods: int = 50
    cpu: str = "32"
    memory: str = "128Gi"
    storage: str = "512Gi"

    def __post_init__(self) -> None:
        for name, given, example in (("cpu", self.cpu, "32"), ("memory", self.memory, "128Gi")):
            if not QUANTITY.fullmatch(given):
                raise InvalidRequest(f"{name} {given[:40]!r} is no amount", remedy=f"Write it as {example}")
        if self.pods < 1:
            raise InvalidRequest(f"with {self.pods} pods no Run could start", remedy="Give the Project one at least")


@dataclass(frozen=True, slots=True)
class NamespaceSettings:
    """What differs between Projects.

    Attributes:
        project: the Project's name.
        namespace: its namespace.
        egress: the object store, and a name server where the object store is known by name.
        workers: subjects, `namespace/serviceaccount` or `user:name`, that run Airflow's workers and triggerer.
        quota: how much it may take.
        reconcilers: subjects that run the reconciler.
    """

    project: str
    namespace: str
    egress: tuple[Egress, ...]
    workers: tuple[str, ...] = ()
    quota: Quota = field(default_factory=Quota)
    reconcilers: tuple[str, ...] = ()


def namespace_documents(settings: NamespaceSettings) -> list[Document]:
    """Return the documents of one Project's namespace, in the order in which they are applied."""
    labels = {**MANAGED_BY, PROJECT_LABEL: settings.project}
    namespace = _document("v1", "Namespace", settings.namespace, None, labels)
    for mode in ("enforce", "audit", "warn"):
        namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] = "restricted"
    quota = _document("v1", "ResourceQuota", "holdfast", settings.namespace, labels)
    quota["spec"] = {
        "hard": {
            "pods": str(settings.quota.pods),
            "limits.cpu": settings.quota.cpu,
            "limits.memory": settings.quota.memory,
            "limits.ephemeral-storage": settings.quota.storage,
        }
    }
    closed = _document("networking.k8s.io/v1", "NetworkPolicy", "holdfast", settings.namespace, labels)
    closed["spec"] = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}
    store = _document("networking.k8s.io/v1", "NetworkPolicy", "holdfast-object-store", settings.namespace, labels)
    store["spec"] = {
        # A pod that is quarantined reaches nothing.
        "podSelector": {"matchExpressions": [{"key": QUARANTINED_LABEL, "operator": "DoesNotExist"}]},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [{"ipBlock": {"cidr": egress.cidr}}],
                "ports": [{"protocol": protocol, "port": egress.port} for protocol in _protocols(egress.port)],
            }
            for egress in settings.egress
        ],
    }
    return [
        namespace,
        quota,
        closed,
        store,
        *_access(WORKER_ROLE, RIGHTS, settings.workers, settings.namespace, labels),
        *_access(RECONCILER_ROLE, RECONCILER_RIGHTS, settings.reconcilers, settings.namespace, labels),
    ]


def admission_documents() -> list[Document]:
    """Return what the cluster refuses in every Project's namespace, whoever asks: once for the cluster."""
    api = "admissionregistration.k8s.io/v1"
    policy = _document(api, "ValidatingAdmissionPolicy", ADMISSION_POLICY, None, MANAGED_BY)
    containers = "(object.spec.containers + object.spec.?initContainers.orValue([]))"
    policy["spec"] = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]},
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["UPDATE"],
                    "resources": ["pods/ephemeralcontainers"],
                },
            ]
        },
        "validations": [
            {
                "expression": f"{containers}.all(c, c.image.matches('^[^@]+@sha256:[0-9a-f]{{64}}$'))",
                "message": "every image is named by digest (rule run.image-digest)",
            },
            {
                "expression": "has(object.spec.automountServiceAccountToken) && !object.spec.automountServiceAccountToken",
                "message": "a Run has no service account token (rule run.no-token)",
            },
            {
                "expression": "object.spec.?volumes.orValue([]).all(v, has(v.emptyDir)"
                f" || (has(v.csi) && v.csi.driver == '{CSI_DRIVER}'))",
                "message": "a Run mounts its own scratch space and secrets by reference, nothing else (rule run.volumes)",
            },
            {
                "expression": f"{containers}.all(c, !has(c.envFrom))",
                "message": "a Run takes no variables wholesale (rule run.env-from)",
            },
            {
                "expression": "!has(object.spec.ephemeralContainers) || object.spec.ephemeralContainers.size() == 0",
                "message": "nobody joins a Run (rule run.no-debug)",
            },
        ],
    }
    binding = _document(api, "ValidatingAdmissionPolicyBinding", ADMISSION_POLICY, None, MANAGED_BY)
    binding["spec"] = {
        "policyName": ADMISSION_POLICY,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchExpressions": [{"key": PROJECT_LABEL, "operator": "Exists"}]}},
    }
    return [policy, binding]


def _access(
    name: str, rights: dict[str, tuple[str, ...]], subjects: tuple[str, ...], namespace: str, labels: dict[str, str]
) -> list[Document]:
    role = _document("rbac.authorization.k8s.io/v1", "Role", name, namespace, labels)
    role["rules"] = [
        {"apiGroups": [""], "resources": [resource], "verbs": list(verbs)} for resource, verbs in rights.items()
    ]
    if not subjects:
        return [role]
    binding = _document("rbac.authorization.k8s.io/v1", "RoleBinding", name, namespace, labels)
    binding["roleRef"] = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    binding["subjects"] = [_subject(subject) for subject in subjects]
    return [role, binding]


def _subject(worker: str) -> Document:
    if user := worker.removeprefix("user:") if worker.startswith("user:") else "":
        return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    namespace, _, name = worker.partition("/")
    if not NAMESPACE.fullmatch(namespace) or not _ACCOUNT.fullmatch(name):
        raise InvalidRequest(f"{worker[:80]!r} is no subject", remedy="Write namespace/serviceaccount, or user:name")
    return {"kind": "ServiceAccount", "namespace": namespace, "name": name}


def _protocols(port: int) -> tuple[str, ...]:
    return ("UDP", "TCP") if port == 53 else ("TCP",)


def _document(api: str, kind: str, name: str, namespace: str | None, labels: dict[str, str]) -> Document:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, **place, "labels": dict(labels)}}
