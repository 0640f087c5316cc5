"""What a Dag may say about a Run's pod: where it is placed, and what it is labelled with. Everything else is refused by name.

Who writes a Dag decides what runs and on which machines; not what a pod may do to them, and not what it may know.
"""

import re
from collections.abc import Set
from typing import Any

from holdfast.core.run import ErrorClass
from holdfast.dataplane.plane import StepFailed

_SPEC: dict[str, type] = {
    "affinity": dict,
    "imagePullSecrets": list,
    "nodeSelector": dict,
    "priorityClassName": str,
    "runtimeClassName": str,
    "schedulerName": str,
    "tolerations": list,
    "topologySpreadConstraints": list,
}
_IN_WORDS: dict[type, str] = {dict: "an object", list: "a list of objects", str: "text"}
_METADATA = frozenset({"annotations", "labels"})
_RESERVED = ("holdfast/", "app.kubernetes.io/managed-by")
# KubernetesPodOperator's own: it would set them again, and the pod would not be what was bound.
_AIRFLOWS = frozenset(
    {
        "airflow_kpo_in_cluster",
        "airflow_version",
        "already_checked",
        "dag_id",
        "kubernetes_pod_operator",
        "map_index",
        "run_id",
        "task_id",
        "try_number",
    }
)
# An annotation with a domain speaks to something in the cluster, which may do anything for it: give the pod a second network past the
# NetworkPolicy, or a cloud's credentials. These two say when a node may be taken away, which is placement.
_ANNOTATIONS = frozenset({"cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"})
_PREFIX = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def check_placement(override: Any) -> dict[str, Any]:
    """Return a pod override when it says nothing but where the pod is placed and how it is labelled.

    Raises:
        StepFailed: class policy; names the first field that a Run may not set. No pod is made.
    """
    document = _object(override, "the pod override")
    for field in _unknown(document, {"metadata", "spec"}):
        raise _refused(field)
    spec = _object(document.get("spec", {}), "spec")
    for field in _unknown(spec, _SPEC.keys()):
        raise _refused(_deepest(f"spec.{field}", spec[field]))
    for field, value in spec.items():
        _check_shape(f"spec.{field}", value, _SPEC[field])
    if str(spec.get("priorityClassName", "")).startswith("system-"):
        # What the cluster itself runs on has these: such a pod would push out whatever is in its way, of whatever Project.
        raise _refused(
            "spec.priorityClassName", "is one of the cluster's own, and no Run is as important as the cluster"
        )
    metadata = _object(document.get("metadata", {}), "metadata")
    for field in _unknown(metadata, _METADATA):
        raise _refused(f"metadata.{field}")
    for kind in sorted(_METADATA):
        _check_names(kind, _object(metadata.get(kind, {}), f"metadata.{kind}"))
    return document


def _check_shape(path: str, value: Any, shape: type) -> None:
    is_list_of_others = shape is list and isinstance(value, list) and not all(isinstance(each, dict) for each in value)
    if not isinstance(value, shape) or is_list_of_others:
        raise _refused(path, f"is not {_IN_WORDS[shape]}")


def _check_names(kind: str, named: dict[str, Any]) -> None:
    for name, value in named.items():
        path = f"metadata.{kind}[{name[:100]!r}]"
        if name.startswith(_RESERVED) or (kind == "labels" and name in _AIRFLOWS):
            raise _refused(path)
        if kind == "annotations" and "/" in name and name not in _ANNOTATIONS:
            raise _refused(path, "speaks to something in the cluster, by its domain, and is not for a Dag to set")
        if not isinstance(value, str):
            raise _refused(path, "is not text")
        prefix, separator, rest = name.rpartition("/")
        if not _LABEL.fullmatch(rest) or (separator and not _PREFIX.fullmatch(prefix)):
            raise _refused(path, "has a name that Kubernetes does not take")
        if kind == "labels" and value and not _LABEL.fullmatch(value):
            raise _refused(
                path, f"has the value {value[:80]!r}, which Kubernetes does not take: 63 letters, digits, '-', '_', '.'"
            )


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refused(path, "is not an object")
    return value


def _unknown(document: dict[str, Any], known: Set[str]) -> list[str]:
    return sorted(set(document) - known)


def _deepest(path: str, value: Any) -> str:
    """Return the path of the first thing that a refused field sets, so that the message names what was tried."""
    while isinstance(value, dict | list) and value:
        if isinstance(value, list):
            path, value = f"{path}[0]", value[0]
        else:
            # A container's name only says which one is meant.
            key = next((name for name in value if name != "name"), next(iter(value)))
            path, value = f"{path}.{key}", value[key]
    return path


def _refused(field: str, why: str = "is not for a Dag to set") -> StepFailed:
    return StepFailed(
        ErrorClass.POLICY,
        f"pod override: {field} {why} (rule run.pod-override)",
        f"A Dag may set metadata.labels, metadata.annotations and of spec {', '.join(sorted(_SPEC))}",
    )
