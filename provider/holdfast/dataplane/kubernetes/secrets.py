"""Secrets of a step, by reference: the cluster puts them into the user's container, and nobody of ours reads them. Pure.

A reference is `secret/key` of a Kubernetes Secret in the Project's namespace, which becomes an environment variable, or
`csi:class`, a SecretProviderClass of the Secrets Store CSI driver, which becomes a directory of files.
"""

import re
from typing import Any

from holdfast.core.run import ErrorClass
from holdfast.dataplane.plane import StepFailed

MOUNTS = "/holdfast/secrets"
MASKED = "HOLDFAST_SECRETS"
"""Names the variables whose secrets the launcher, agent/launch.c, takes out of what the command prints; the command does not have it."""
CSI_DRIVER = "secrets-store.csi.k8s.io"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_SECRET = re.compile(r"(?P<secret>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)/(?P<key>[A-Za-z0-9._-]{1,253})")
_CLASS = re.compile(r"csi:(?P<provider>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)")
# Who sets these decides what is executed, or where Holdfast's own inputs are.
_RESERVED = re.compile(r"HOLDFAST_.*|LD_.*|PATH|HOME|TMPDIR|PYTHONPATH|PYTHONHOME|PYTHONSTARTUP")


def secret_variables(references: Any) -> list[dict[str, Any]]:
    """Return the variables of the user's container; raises StepFailed (user) for what is no reference. No pod is made."""
    variables: list[dict[str, Any]] = [{"name": MASKED, "value": ",".join(sorted(references))}] if references else []
    for name, reference in sorted(_checked(references).items()):
        if found := _SECRET.fullmatch(reference):
            source = {"secretKeyRef": {"name": found["secret"], "key": found["key"]}}
            variables.append({"name": name, "valueFrom": source})
        else:
            variables.append({"name": name, "value": f"{MOUNTS}/{name}"})
    return variables


def secret_volumes(references: Any) -> list[dict[str, Any]]:
    """Return the volumes of the providers that are mounted."""
    return [
        {
            "name": volume_name(name),
            "csi": {
                "driver": CSI_DRIVER,
                "readOnly": True,
                "volumeAttributes": {"secretProviderClass": found["provider"]},
            },
        }
        for name, reference in sorted(_checked(references).items())
        if (found := _CLASS.fullmatch(reference))
    ]


def secret_mounts(references: Any) -> list[dict[str, Any]]:
    """Return where the user's container finds them."""
    return [
        {"name": volume_name(name), "mountPath": f"{MOUNTS}/{name}", "readOnly": True}
        for name, reference in sorted(_checked(references).items())
        if _CLASS.fullmatch(reference)
    ]


def volume_name(variable: str) -> str:
    """Return the name of the volume behind a variable: DNS labels know neither capitals nor underscores."""
    return f"secret-{variable.lower().replace('_', '-').strip('-')}"[:63].rstrip("-")


def _checked(references: Any) -> dict[str, str]:
    if not isinstance(references, dict):
        raise _refused("secrets", "is not an object")
    for name, reference in references.items():
        if not _VARIABLE.fullmatch(name):
            raise _refused(name, "is no name of an environment variable")
        if _RESERVED.fullmatch(name):
            raise _refused(name, "is a variable that a secret may not set")
        if not isinstance(reference, str) or not (_SECRET.fullmatch(reference) or _CLASS.fullmatch(reference)):
            # What stands here by mistake may be the secret itself.
            raise _refused(name, "is no reference")
    return references


def _refused(name: str, why: str) -> StepFailed:
    return StepFailed(
        ErrorClass.USER,
        f"secret {name[:100]!r} {why} (rule run.secret-reference)",
        "Write NAME: 'secret/key' for a Kubernetes Secret, or NAME: 'csi:class' for a mounted provider; never the value",
    )
