"""What a pod says about its Run: where it is, how it ended, and whose failure that is. Pure: a pod in, an answer out.

Source: Kubernetes, pod life cycle; the reasons are the kubelet's and the scheduler's.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from holdfast.core.canonical import MAX_INTEGER
from holdfast.core.run import ErrorClass
from holdfast.dataplane.kubernetes.manifest import AGENT, COLLECTION_S, STAGE, USER
from holdfast.dataplane.plane import StepFailed
from holdfast.wire.run import Observed

Pod = dict[str, Any]
_NOT_STARTED = 126
_HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError"})
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff"})
# Source: Kubernetes, pkg/kubelet/eviction: of a volume, of a pod, of a container. A node that is full says something else.
_TOO_MUCH_WRITTEN = (
    "exceeds the limit",
    "exceeds the total limit of containers",
    "exceeded its local ephemeral storage limit",
)
_NOT_THERE = ("not found", "does not exist", "manifest unknown")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing of the user's has run; `cause` says what is waited for."""

    cause: str


@dataclass(frozen=True, slots=True)
class Stageable:
    """The agent waits for its order."""


@dataclass(frozen=True, slots=True)
class Running:
    """The user's command runs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The user's command ended by itself with exit code 0, and the agent holds its outputs."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The Run cannot succeed any more."""

    failure: StepFailed


Progress = Waiting | Stageable | Running | Ended | Broken


def uid_of(pod: Pod) -> str:
    """Return the pod's UID."""
    return str(pod["metadata"]["uid"])


def image_digest_of(pod: Pod) -> str | None:
    """Return the digest of the user's image as the node resolved it, None where none was started."""
    digest = str(_container(pod, USER).get("imageID") or "").rpartition("@")[2]
    return digest if digest.startswith("sha256:") else None


def observe(pod: Pod) -> Observed:
    """Return what is recorded of a pod: where it ran and on which image, and, as its launcher has said, what it used."""
    used = _message(pod)
    memory = _amount(used, "peak_memory_bytes")
    return Observed(
        node=pod["spec"].get("nodeName"),
        image_digest=image_digest_of(pod),
        peak_memory_bytes=int(memory) if memory is not None else None,
        cpu_seconds=_amount(used, "cpu_seconds"),
    )


def _message(pod: Pod) -> dict[str, Any]:
    """Return what the launcher has left; anything else that stands there is the user's and says nothing."""
    text = _state(pod, USER).get("terminated", {}).get("message") or ""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _printable(said: object) -> str:
    """Return what the user's side says as text that can be recorded: U+0000 and lone surrogates cannot."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(said)[:200])


def _amount(used: dict[str, Any], name: str) -> float | None:
    value = used.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= MAX_INTEGER else None


def progress_of(pod: Pod) -> Progress:
    """Return where a pod's Run is."""
    status = pod.get("status", {})
    if (lost := _lost(pod)) is not None:
        return Broken(lost)
    user, stage = _state(pod, USER), _state(pod, STAGE)
    if "terminated" in user:
        return _ended(pod, user["terminated"])
    if (staged := stage.get("terminated")) and staged.get("exitCode") != 0:
        return Broken(_staging_failed(staged))
    if status.get("phase") in ("Failed", "Succeeded"):
        why = status.get("message") or status.get("reason") or "no reason given"
        return Broken(StepFailed(ErrorClass.PLATFORM, f"the pod ended without the command: {why}", "Start a new try"))
    if "running" in user:
        return Running()
    for name in (STAGE, USER, AGENT):
        if (hopeless := _cannot_start(pod, name)) is not None:
            return Broken(hopeless)
    if "running" in stage:
        return Stageable()
    return Waiting(_waiting_for(pod))


def not_started(pod: Pod, waited_s: float) -> StepFailed:
    """Return the failure of a pod that has waited too long."""
    cause = _waiting_for(pod)
    kind = ErrorClass.ENVIRONMENT if any(reason in cause for reason in _PULLING) else ErrorClass.PLATFORM
    return StepFailed(kind, f"the pod did not start within {waited_s:.0f} s: {cause}", "Mend that, or wait longer")


def _lost(pod: Pod) -> StepFailed | None:
    """Return why a pod that may still say it runs is lost."""
    status, metadata = pod.get("status", {}), pod["metadata"]
    if status.get("reason") == "Evicted":
        message = status.get("message") or "no reason given"
        if any(said in message for said in _TOO_MUCH_WRITTEN):
            remedy = 'Give the Run more: resources={"ephemeral-storage": …}'
            return StepFailed(
                ErrorClass.ENVIRONMENT, f"the Run needed more scratch space than it has: {message}", remedy
            )
        return StepFailed(ErrorClass.PLATFORM, f"the pod was evicted: {message}", "Ask for what the command needs")
    if status.get("reason") == "NodeLost" or (metadata.get("deletionTimestamp") and _node_is_gone(pod)):
        node = pod["spec"].get("nodeName")
        return StepFailed(ErrorClass.PLATFORM, f"node {node} was lost", "Start a new try")
    if disruption := _condition(pod, "DisruptionTarget", "True"):
        message = disruption.get("message") or disruption.get("reason")
        return StepFailed(ErrorClass.PLATFORM, f"the pod was disrupted: {message}", "Start a new try")
    if metadata.get("deletionTimestamp"):
        return StepFailed(ErrorClass.PLATFORM, "the pod was deleted", "Find out who deletes pods; start a new try")
    return None


def _node_is_gone(pod: Pod) -> bool:
    ready = _condition(pod, "Ready", "False") or _condition(pod, "Ready", "Unknown")
    return bool(ready and ready.get("reason") in ("NodeStatusUnknown", "NodeNotReady"))


def _ended(pod: Pod, ending: dict[str, Any]) -> Progress:
    code, reason = int(ending.get("exitCode", -1)), ending.get("reason") or ""
    if code == 0:
        if "running" in _state(pod, AGENT):
            return Ended()
        agent = _state(pod, AGENT).get("terminated")
        if agent is None:
            return Running()
        why = agent.get("reason") or f"exit code {agent.get('exitCode')}"
        return Broken(
            StepFailed(
                ErrorClass.PLATFORM, f"the agent ended before the outputs were stored ({why})", "Start a new try"
            )
        )
    if reason == "OOMKilled":
        limit = _limit(pod, USER, "memory")
        return Broken(
            StepFailed(
                ErrorClass.ENVIRONMENT,
                f"the command needed more memory than its limit of {limit}",
                'Give the Run more: resources={"memory": …}',
                exit_code=code,
            )
        )
    if pod["status"].get("reason") == "DeadlineExceeded":
        return Broken(
            StepFailed(
                ErrorClass.ENVIRONMENT, "the command ran longer than its deadline", "Give it more", exit_code=code
            )
        )
    if (why := _message(pod).get("not_started")) and code == _NOT_STARTED:
        command = pod["spec"]["containers"][0]["command"][1]
        return Broken(
            StepFailed(
                ErrorClass.USER,
                f"the command {command[:200]!r} could not be started: {_printable(why)}",
                "Write it as it is called in the image",
            )
        )
    return Broken(
        StepFailed(ErrorClass.USER, f"the command ended with exit code {code}", "See the task's log", exit_code=code)
    )


def _staging_failed(ending: dict[str, Any]) -> StepFailed:
    if ending.get("reason") == "OOMKilled":
        return StepFailed(ErrorClass.PLATFORM, "the agent needed more memory than it has", "Report it")
    return StepFailed(ErrorClass.PLATFORM, "the Run could not be laid out in its pod", "See the log of its agent")


def _cannot_start(pod: Pod, name: str) -> StepFailed | None:
    waiting = _state(pod, name).get("waiting") or {}
    reason, message = waiting.get("reason") or "", waiting.get("message") or ""
    what = f"container {name!r} cannot start: {reason}: {message[:500]}"
    if reason in _HOPELESS or (reason in _PULLING and any(said in message for said in _NOT_THERE)):
        return StepFailed(ErrorClass.ENVIRONMENT, what, "Check that the image and what it refers to are there")
    return None


def _waiting_for(pod: Pod) -> str:
    unscheduled = _condition(pod, "PodScheduled", "False")
    if unscheduled:
        return f"{unscheduled.get('reason')}: {unscheduled.get('message')}"
    for name in (STAGE, USER, AGENT):
        if (waiting := _state(pod, name).get("waiting")) and waiting.get("reason") not in (None, "PodInitializing"):
            return f"container {name!r}: {waiting['reason']} {waiting.get('message') or ''}".strip()
    return str(pod.get("status", {}).get("phase", "unknown")).lower()


def _container(pod: Pod, name: str) -> dict[str, Any]:
    status = pod.get("status", {})
    for found in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        if found["name"] == name:
            return dict(found)
    return {}


def _state(pod: Pod, name: str) -> dict[str, Any]:
    return dict(_container(pod, name).get("state") or {})


def _condition(pod: Pod, kind: str, value: str) -> dict[str, Any] | None:
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition["type"] == kind and condition["status"] == value:
            return dict(condition)
    return None


def _limit(pod: Pod, name: str, resource: str) -> str:
    for container in pod["spec"]["containers"]:
        if container["name"] == name:
            return str(container.get("resources", {}).get("limits", {}).get(resource, "the node"))
    return "the node"


def is_staged(pod: Pod) -> bool:
    """Whether the Run has been laid out, whoever has done it."""
    staged = _state(pod, STAGE).get("terminated")
    return staged is not None and staged.get("exitCode") == 0


def takes_room(pod: Pod) -> bool:
    """Whether a pod counts against its namespace's quota, and will until somebody ends it."""
    is_ending = "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in ("Succeeded", "Failed")
    # Where it was not laid out, the kubelet ends it.
    staged = _state(pod, STAGE).get("terminated")
    return not is_ending and (staged is None or staged.get("exitCode") == 0)


def has_run(pod: Pod) -> bool:
    """Whether the user's command has been started and has ended."""
    return "terminated" in _state(pod, USER)


def running_since(pod: Pod) -> datetime | None:
    """Return since when the user's command runs, None while it does not."""
    running = _state(pod, USER).get("running")
    return datetime.fromisoformat(running["startedAt"]) if running else None


def kept_until(pod: Pod) -> datetime:
    """Return until when a pod keeps what its command has made: an hour after that has ended, unless its own time is over before."""
    ended = datetime.fromisoformat(_state(pod, USER)["terminated"]["finishedAt"])
    began = datetime.fromisoformat(pod["status"]["startTime"])
    return min(ended + timedelta(seconds=COLLECTION_S), began + timedelta(seconds=pod["spec"]["activeDeadlineSeconds"]))


def made_at(pod: Pod) -> datetime:
    """Return when the pod was made."""
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
