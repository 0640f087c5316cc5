"""What a Dag may say about a Run's pod: where it is placed, and what it is labelled with. Everything else is refused by name.

Who writes a Dag decides what runs and on which machines; not what a pod may do to them, and not what it may know.
"""

from typing import Any

from holdfast.core.run import ErrorClass
from holdfast.dataplane.plane import StepFailed

_SPEC = frozenset(
    {
        "affinity",
        "imagePullSecrets",
        "nodeSelector",
        "priorityClassName",
        "runtimeClassName",
        "schedulerName",
        "tolerations",
        "topologySpreadConstraints",
    }
)
_METADATA = frozenset({"annotations", "labels"})
_RESERVED = ("holdfast/", "app.kubernetes.io/managed-by")


def check_placement(override: Any) -> dict[str, Any]:
    """Return a pod override when it says nothing but where the pod is placed and how it is labelled.

    Raises:
        StepFailed: class policy; names the first field that a Run may not set. No pod is made.
    """
    document = _object(override, "the pod override")
    for field in _unknown(document, {"metadata", "spec"}):
        raise _refused(field)
    spec = _object(document.get("spec", {}), "spec")
    for field in _unknown(spec, _SPEC):
        raise _refused(_deepest(f"spec.{field}", spec[field]))
    metadata = _object(document.get("metadata", {}), "metadata")
    for field in _unknown(metadata, _METADATA):
        raise _refused(f"metadata.{field}")
    for kind in sorted(_METADATA):
        _check_names(kind, _object(metadata.get(kind, {}), f"metadata.{kind}"))
    return document


def _check_names(kind: str, named: dict[str, Any]) -> None:
    for name, value in named.items():
        if name.startswith(_RESERVED):
            raise _refused(f"metadata.{kind}[{name!r}]")
        if not isinstance(value, str):
            raise _refused(f"metadata.{kind}[{name!r}]", "is not text")


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refused(path, "is not an object")
    return value


def _unknown(document: dict[str, Any], known: frozenset[str] | set[str]) -> list[str]:
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
