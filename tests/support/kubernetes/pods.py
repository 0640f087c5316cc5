"""Pods for tests: what they say is what the restricted Pod Security level asks for, and waiting for them has an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kubernetes import client

from tests.support.kubernetes.images import USER

_DEADLINE_S = 60


def pod(name: str, image: str, *command: str, resources: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a pod with one container, which the restricted level lets in.

    Args:
        name: of the pod.
        image: the reference that `load` returned.
        command: what it runs.
        resources: of its container.
        spec: what is added to the pod's own specification.
    """
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "resources": resources or {},
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            **spec,
        },
    }


def wait_for_pod(
    core: client.CoreV1Api,
    namespace: str,
    name: str,
    is_so: Callable[[client.V1Pod], object],
    deadline_s: float = _DEADLINE_S,
) -> client.V1Pod:
    """Return a pod once something holds of it; raises AssertionError with its state when the time is over."""
    deadline = time.monotonic() + deadline_s
    while not is_so(found := core.read_namespaced_pod(name, namespace)):
        assert time.monotonic() < deadline, f"{name} is still so after {deadline_s:.0f} s: {found.status}"
        time.sleep(0.1)
    return found


def has_ended(found: client.V1Pod) -> bool:
    """Say whether a pod has succeeded or failed."""
    return found.status.phase in ("Succeeded", "Failed")


def is_ready(found: client.V1Pod) -> bool:
    """Say whether the containers of a pod run."""
    return any(each.type == "Ready" and each.status == "True" for each in found.status.conditions or ())


def waits_for(reason: str) -> Callable[[client.V1Pod], bool]:
    """Return the question whether a pod's container waits for a reason, such as ErrImagePull."""

    def ask(found: client.V1Pod) -> bool:
        states = [each.state.waiting for each in found.status.container_statuses or ()]
        return any(state is not None and state.reason == reason for state in states)

    return ask
