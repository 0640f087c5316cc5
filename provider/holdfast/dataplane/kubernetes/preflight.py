"""Whether a cluster is what Runs need: asked of the cluster itself, by what it answers to dry runs, before any Run is.

Nothing is made: a dry run goes through authorisation, quota and admission, and ends there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.dataplane.kubernetes.cluster import Cluster
from holdfast.dataplane.kubernetes.manifest import MANAGED_BY, PROJECT_LABEL, USER_ID
from holdfast.dataplane.kubernetes.namespace import ADMISSION_POLICY, RIGHTS
from holdfast.dataplane.plane import StepFailed

SKEW_LIMIT_S = 60.0
_DIGEST = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    Attributes:
        check: what was looked at.
        ok: whether it is as it must be.
        says: what was found, and what to do where it is not.
    """

    check: str
    ok: bool
    says: str


def preflight(cluster: Cluster, project: str, namespace: str, now: datetime) -> Iterator[Finding]:
    """Yield what is found, in the order in which it would keep a Run from starting; ends where nothing more can be asked.

    Args:
        cluster: as the one who will run Runs reaches it.
        project: the Project's name.
        namespace: its namespace.
        now: this machine's time.
    """
    try:
        there = cluster.time()
    except (HoldfastError, StepFailed) as error:
        yield Finding("cluster answers", False, str(error))
        return
    yield Finding("cluster answers", True, "it does")
    skew_s = abs((there - now).total_seconds())
    yield Finding(
        "clocks agree",
        skew_s <= SKEW_LIMIT_S,
        f"they differ by {skew_s:.0f} s"
        + ("" if skew_s <= SKEW_LIMIT_S else "; grants and deadlines depend on it: start time synchronisation on both"),
    )
    missing = [
        f"{verb} {resource}"
        for resource, verbs in RIGHTS.items()
        for verb in verbs
        if not cluster.may(verb, resource, namespace)
    ]
    says = f"missing in {namespace!r}: {', '.join(missing)}; apply what `holdfast cluster manifests` prints"
    yield Finding("rights", not missing, says if missing else "all are there")
    if "create pods" in missing:
        return
    accepted = cluster.dry_run(_pod(project, namespace))
    yield Finding(
        "namespace takes Runs",
        accepted is None,
        "it does" if accepted is None else str(accepted),
    )
    if accepted is not None and "no namespace" in str(accepted):
        return
    yield _refused(
        cluster, project, namespace, "image by tag", {"image": "localhost/holdfast:latest"}, ADMISSION_POLICY
    )
    # Nothing but Pod Security minds this one: many clusters allow no privileged containers at all.
    escalating = {"securityContext": {"allowPrivilegeEscalation": True, "capabilities": {"drop": ["ALL"]}}}
    yield _refused(cluster, project, namespace, "escalation of rights", escalating, "PodSecurity")


def _refused(cluster: Cluster, project: str, namespace: str, what: str, change: dict[str, Any], by: str) -> Finding:
    refusal = cluster.dry_run(_pod(project, namespace, **change))
    if refusal is not None and by in str(refusal):
        return Finding(f"{what} is refused", True, f"by {by}")
    found = f"it is not refused by {by}" + (f", but: {refusal}" if refusal is not None else "")
    return Finding(f"{what} is refused", False, f"{found}; apply what `holdfast cluster manifests` prints")


def _pod(project: str, namespace: str, **change: Any) -> dict[str, Any]:
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "holdfast-preflight-",
            "namespace": namespace,
            "labels": {**MANAGED_BY, PROJECT_LABEL: project},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "user",
                    "image": f"localhost/holdfast@{_DIGEST}",
                    "resources": {"limits": {"cpu": "10m", "memory": "16Mi", "ephemeral-storage": "16Mi"}},
                    "securityContext": confined,
                    **change,
                }
            ],
        },
    }
