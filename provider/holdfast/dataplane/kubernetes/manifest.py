"""The pod of a Run, as a pure function of the Run: whoever computes it gets the same one.

It holds no secret: grants, code and parameters reach the agent's containers through exec, and nothing of it reaches the user's.
Source: Pod Security Standards, profile restricted.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from holdfast.core.canonical import Json
from holdfast.core.names import check_image
from holdfast.core.policy import EnvironmentKind
from holdfast.core.run import ErrorClass
from holdfast.dataplane.kubernetes.placement import check_placement
from holdfast.dataplane.kubernetes.secrets import MASKED, secret_mounts, secret_variables, secret_volumes
from holdfast.dataplane.plane import StepFailed
from holdfast.wire.run import Run

STAGE, USER, AGENT = "stage", "user", "agent"
"""The pod's three containers: the agent before the user's command, the user's command, the agent after it."""

RUN_LABEL, PROJECT_LABEL, SEAL_ANNOTATION = "holdfast/run", "holdfast/project", "holdfast/seal"
QUARANTINED_LABEL, QUARANTINED_ANNOTATION = "holdfast/quarantined", "holdfast/quarantined-at"
MANAGED_BY = {"app.kubernetes.io/managed-by": "holdfast"}
SCRATCH, CONTROL = "/holdfast/run", "/holdfast/control"
USER_ID = 65532
DEFAULT_DEADLINE_S = 24 * 3600
COLLECTION_S = 3600
"""How long a pod keeps its outputs for somebody to fetch them, beyond its Run's deadline."""

Document = dict[str, Any]
_AGENT = ["python", "-I", "-m", "holdfast.dataplane.agent.pod"]
_STORAGE = "ephemeral-storage"
_AGENT_RESOURCES = {
    "requests": {"cpu": "50m", "memory": "64Mi", _STORAGE: "16Mi"},
    "limits": {"cpu": "1", "memory": "192Mi", _STORAGE: "256Mi"},
}
_AGENT_VOLUMES, _AGENT_VOLUME_LIMIT = frozenset({"control", "agent-tmp"}), "64Mi"
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_DEFAULT_REQUESTS = {"cpu": "100m", "memory": "256Mi", _STORAGE: "256Mi"}
_DEFAULT_LIMITS = {"cpu": "1", "memory": "1Gi", _STORAGE: "10Gi"}
_OURS = frozenset({"pod", "deadline_s", "secrets"})
_KNOWN = frozenset({"cpu", "memory", _STORAGE})


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What is the same for every Run of a Project.

    Attributes:
        namespace: the Project's.
        agent_image: the agent's, by digest.
    """

    namespace: str
    agent_image: str


def pod_name(run: Run) -> str:
    """Return the name of a Run's pod; the API server itself refuses a second one."""
    return f"run-{run.id}"


def agent_command(name: str) -> list[str]:
    """Return the command line of one of the agent's commands in a pod."""
    return [*_AGENT, name]


def manifest_of(run: Run, settings: PodSettings) -> Document:
    """Return the pod of a Run.

    Raises:
        StepFailed: the Run's environment is no image, or its resources ask for what a Run may not have; no pod is made.
        InvalidRequest: the agent's image is not named by digest.
    """
    if run.environment_kind is not EnvironmentKind.IMAGE:
        raise StepFailed(
            ErrorClass.USER,
            f"EnvironmentLock {run.environment} is an {run.environment_kind}, and the Kubernetes data plane starts images only",
            "Lock an image by digest, or let the Project use the local data plane",
        )
    check_image(settings.agent_image)
    placement = check_placement(run.resources.get("pod") or {})
    metadata, user = placement.get("metadata", {}), _user_container(run)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(run),
            "namespace": settings.namespace,
            "labels": {
                **metadata.get("labels", {}),
                **MANAGED_BY,
                RUN_LABEL: str(run.id),
                PROJECT_LABEL: run.project,
            },
            "annotations": {**metadata.get("annotations", {}), SEAL_ANNOTATION: run.seal},
        },
        "spec": {
            **placement.get("spec", {}),
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 5,
            "activeDeadlineSeconds": deadline_s(run) + COLLECTION_S,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [_agent_container(STAGE, "wait", settings.agent_image, [_mount("run", SCRATCH)])],
            "containers": [
                user,
                _agent_container(
                    AGENT, "hold", settings.agent_image, [_mount("outputs", f"{SCRATCH}/outputs", read_only=True)]
                ),
            ],
            "volumes": [
                *(
                    _scratch(name, user["resources"]["limits"][_STORAGE])
                    for name in ("run", "outputs", "control", "tmp", "agent-tmp")
                ),
                *secret_volumes(run.resources.get("secrets") or {}),
            ],
        },
    }


def forms_of(run: Run, settings: PodSettings) -> Iterator[Document]:
    """Yield the pod of a Run as it is made, and then as the version before has made it, whose pods may still go on; raises as `manifest_of`.

    That one bounded no scratch space and masked no secret. Its form goes with the version after this one.
    """
    made = manifest_of(run, settings)
    yield made
    unbounded = copy.deepcopy(made["spec"])
    for volume in unbounded["volumes"]:
        if "emptyDir" in volume:
            volume["emptyDir"] = {}
    for container in (*unbounded["initContainers"], *unbounded["containers"]):
        if container["name"] == USER:
            container["env"] = [each for each in container["env"] if each["name"] != MASKED]
        if container["name"] != USER or _STORAGE not in run.resources:
            container["resources"] = {
                kind: {name: amount for name, amount in amounts.items() if name != _STORAGE}
                for kind, amounts in container["resources"].items()
            }
    yield {**made, "spec": unbounded}


def deadline_s(run: Run) -> int:
    """Return after how many seconds the Run's command is ended; raises StepFailed (user) where that is no number."""
    asked = run.resources.get("deadline_s", DEFAULT_DEADLINE_S)
    if not isinstance(asked, int) or isinstance(asked, bool) or not 0 < asked < 2**31 - COLLECTION_S:
        raise StepFailed(ErrorClass.USER, f"deadline_s is {str(asked)[:50]!r}", "Give whole seconds, more than none")
    return asked


def _user_container(run: Run) -> Document:
    secrets = run.resources.get("secrets") or {}
    return {
        "name": USER,
        "image": run.environment_reference,
        "imagePullPolicy": "IfNotPresent",
        "command": [f"{SCRATCH}/bin/launch", *run.command],
        "workingDir": f"{SCRATCH}/code",
        "env": [
            *({"name": name, "value": value} for name, value in _ENVIRONMENT.items()),
            *secret_variables(secrets),
        ],
        "resources": _resources(run.resources),
        "securityContext": _confined(),
        "volumeMounts": [
            _mount("run", SCRATCH, read_only=True),
            _mount("outputs", f"{SCRATCH}/outputs"),
            _mount("tmp", "/tmp"),  # noqa: S108 - the container's own
            *secret_mounts(secrets),
        ],
        "terminationMessagePolicy": "File",
    }


# The whole of it: nothing of Airflow's, and of ours nothing but where things are.
_ENVIRONMENT = {
    "HOLDFAST_INPUTS": f"{SCRATCH}/inputs",
    "HOLDFAST_PARAMETERS": f"{SCRATCH}/parameters.json",
    "HOLDFAST_OUTPUTS": f"{SCRATCH}/outputs",
    "HOME": "/tmp",  # noqa: S108 - the container's own
    "TMPDIR": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def _agent_container(name: str, command: str, image: str, mounts: list[Document]) -> Document:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": agent_command(command),
        "resources": _AGENT_RESOURCES,
        "securityContext": _confined(),
        "volumeMounts": [*mounts, _mount("control", CONTROL), _mount("agent-tmp", "/tmp")],  # noqa: S108
    }


def _confined() -> Document:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _scratch(name: str, step_limit: str) -> Document:
    return {"name": name, "emptyDir": {"sizeLimit": _AGENT_VOLUME_LIMIT if name in _AGENT_VOLUMES else step_limit}}


def _mount(volume: str, path: str, *, read_only: bool = False) -> Document:
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}


def _resources(asked: dict[str, Json]) -> Document:
    """Return what the user's container gets: exactly what was asked for; of what was not asked for, a little.

    Raises:
        StepFailed: class user; something is asked for that no cluster gives.
    """
    given = {name: str(amount) for name, amount in asked.items() if name not in _OURS}
    for name, amount in given.items():
        # Devices have names with a slash, nvidia.com/gpu for one.
        if (name not in _KNOWN and "/" not in name) or not QUANTITY.fullmatch(amount):
            raise StepFailed(
                ErrorClass.USER,
                f"resource {name[:100]!r}: {amount[:100]!r} is nothing that a pod can be given",
                'Write {"cpu": "500m", "memory": "2Gi"}, or the full name of a device',
            )
    return {"requests": {**_DEFAULT_REQUESTS, **given}, "limits": {**_DEFAULT_LIMITS, **given}}
