"""Whether a pod that exists is the pod that was to be made: a label can be forged, a specification can be compared."""

from collections.abc import Iterable, Iterator
from typing import Any

from kubernetes.utils.quantity import parse_quantity

# Lists that the API server and its admission plugins add to, in every cluster.
_ADDED_TO = frozenset({"tolerations", "imagePullSecrets"})


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return where a pod is not what was wanted; nothing where the server has only filled in defaults.

    Every field that was wanted must be as it was wanted, and every list must have exactly those members: a container, a volume, a
    mount, a variable more is a difference. Fields that nobody asked for are defaults, but for those that give a pod rights.
    """
    spec = found.get("spec", {})
    more = [f"spec.{field} is set" for field in _RIGHTS if field not in wanted["spec"] and spec.get(field)]
    labels = {"metadata": {kind: wanted["metadata"][kind] for kind in ("labels", "annotations")}}
    return more + list(_compare("", {**labels, "spec": wanted["spec"]}, found))


def differences_from_all(forms: Iterable[dict[str, Any]], found: dict[str, Any]) -> list[str]:
    """Return where a pod is not as the first of some forms, or nothing where it is as any of them."""
    first: list[str] | None = None
    for wanted in forms:
        if not (others := differences(wanted, found)):
            return []
        first = first or others
    return first or []


_RIGHTS = ("ephemeralContainers", "hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostAliases")
_CONTAINER_RIGHTS = (
    *("args", "envFrom", "lifecycle", "livenessProbe", "readinessProbe", "restartPolicy", "startupProbe"),
    "volumeDevices",
)


def _compare(path: str, wanted: Any, found: Any) -> Iterator[str]:
    """Yield where two values that are not equal differ in what matters."""
    match wanted:
        case dict():
            yield from _compare_objects(path, wanted, found)
        case list():
            yield from _compare_lists(path, wanted, found)
        case str() if path.endswith(".sizeLimit") and isinstance(found, str):
            yield from _compare_quantities(path, {path: wanted}, {path: found})
        case _:
            if not (wanted is False and found is None):
                yield f"{path} is {found!r}, not {wanted!r}"


def _compare_objects(path: str, wanted: dict[str, Any], found: Any) -> Iterator[str]:
    if not isinstance(found, dict):
        yield f"{path} is missing"
        return
    if path.endswith((".requests", ".limits")):
        yield from _compare_quantities(path, wanted, found)
        return
    if path.endswith("securityContext"):
        closed = set(found) - set(wanted)
    elif "image" in wanted:
        closed = {field for field in _CONTAINER_RIGHTS if field not in wanted and found.get(field)}
    else:
        closed = set()
    for field in sorted(closed):
        yield f"{path}.{field} is set"
    for name, value in wanted.items():
        # Most parts of most pods: there is nothing more in what is equal, and nothing less.
        if value != (other := found.get(name)):
            yield from _compare(f"{path}.{name}".removeprefix("."), value, other)


def _compare_lists(path: str, wanted: list[Any], found: Any) -> Iterator[str]:
    found = found if isinstance(found, list) else []
    if path.rpartition(".")[2] in _ADDED_TO:
        for member in wanted:
            if member not in found:
                yield f"{path} lacks {member!r}"
        return
    if len(wanted) != len(found):
        names = [member.get("name", "?") if isinstance(member, dict) else str(member) for member in found]
        yield f"{path} has {len(found)} members ({', '.join(names)}), not {len(wanted)}"
        return
    for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
        if one != other:
            yield from _compare(f"{path}[{number}]", one, other)


def _compare_quantities(path: str, wanted: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    """The API server writes a quantity its own way: 1024Mi as 1Gi."""
    if {name: parse_quantity(value) for name, value in wanted.items()} != {
        name: parse_quantity(value) for name, value in found.items()
    }:
        yield f"{path} is {found!r}, not {wanted!r}"
