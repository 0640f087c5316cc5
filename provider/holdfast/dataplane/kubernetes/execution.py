"""A Run on a cluster: its pod found or made, laid out under its fence, and asked for its outputs."""

import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from holdfast.core.backoff import back_off
from holdfast.core.errors import Unavailable
from holdfast.core.run import ErrorClass
from holdfast.dataplane.kubernetes.cluster import Cluster, Pod
from holdfast.dataplane.kubernetes.dialogue import Dialogue
from holdfast.dataplane.kubernetes.likeness import differences, differences_from_all
from holdfast.dataplane.kubernetes.manifest import AGENT, STAGE, PodSettings, forms_of, pod_name
from holdfast.dataplane.kubernetes.status import (
    Broken,
    Progress,
    Waiting,
    progress_of,
    uid_of,
)
from holdfast.dataplane.plane import CodeSource, Collected, StepFailed, collected_of
from holdfast.dataplane.process import AgentProcess
from holdfast.wire.run import Grants, Run, Staging

Result = TypeVar("Result")
_ATTEMPTS = 4
_FIRST_DELAY = timedelta(seconds=0.5)
CODE_LIMIT_BYTES = 256 << 20


class PodExecution:
    """One Run on a cluster; every step may be repeated, by whoever comes after a process that broke off. A context manager.

    Args:
        run: the Run.
        cluster: where.
        settings: the Project's namespace and the agent's image.
        dress: gives the pod what the site gives every pod; it may not change what makes it the Run's.
    """

    def __init__(
        self, run: Run, cluster: Cluster, settings: PodSettings, dress: Callable[[Pod], Pod] = lambda pod: pod
    ) -> None:
        self._run, self._cluster, self._namespace = run, cluster, settings.namespace
        self._forms = list(forms_of(run, settings))
        self._name = pod_name(run)
        self._dress = dress
        self._collected: Collected | None = None
        self._archive: Path | None = None
        self._dialogues: dict[str, Dialogue] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def ensure_pod(self) -> Pod:
        """Return the Run's pod, made if there is none; raises StepFailed where another pod has its name, or none can be made."""
        made = self._forms[0]
        dressed = self._dress(made)
        if others := differences(made, dressed):
            raise StepFailed(
                ErrorClass.POLICY,
                f"the site's pod_mutation_hook changes the pod of Run {self._run.id}: {'; '.join(others[:3])} (rule run.pod-override)",
                "Let it set only where pods are placed and how they are labelled",
            )
        for _ in range(_ATTEMPTS):
            pod = self._cluster.create_pod(dressed) or self.find_pod()
            if pod is not None:
                return pod
        raise StepFailed(ErrorClass.PLATFORM, f"pod {self._name} is made and removed by somebody else all the time")

    def find_pod(self) -> Pod | None:
        """Return the Run's pod, None where there is none; raises StepFailed where it is another or is not what was made."""
        pod = self._cluster.find_pod(self._namespace, self._name)
        if pod is None:
            return None
        if self._run.fence not in (None, uid_of(pod)):
            raise StepFailed(
                ErrorClass.POLICY,
                f"pod {self._name} has UID {uid_of(pod)}, and Run {self._run.id} is held by {self._run.fence}",
                "Find out who makes pods in the Project's namespace",
            )
        if others := differences_from_all(self._forms, pod):
            raise StepFailed(
                ErrorClass.POLICY,
                f"pod {self._name} is not the Run's: {'; '.join(others[:3])}",
                "Find out who else makes or changes pods in the Project's namespace",
            )
        return pod

    def wait(self, is_done: Callable[[Progress], bool], timeout_s: float) -> tuple[Pod, Progress]:
        """Return the pod and its progress once that is done, is broken, or the time is over; raises StepFailed where it is gone."""
        progress: Progress = Waiting("the pod")
        pod: Pod | None = None
        for pod in self._cluster.watch_pod(self._namespace, self._name, timeout_s):
            if pod is None:
                raise self.gone()
            progress = progress_of(pod)
            if is_done(progress) or isinstance(progress, Broken):
                break
        if pod is None:
            raise self.gone()
        return pod, progress

    def gone(self) -> StepFailed:
        """Return the failure of a Run whose pod is not there any more."""
        return StepFailed(
            ErrorClass.PLATFORM,
            f"pod {self._name} is gone, and its outputs with it: its node was lost, or somebody removed it",
            "Start a new try",
        )

    def prepare(self, code: CodeSource) -> None:
        """Have the code packed, once, which takes as long as a part of a pod's start; raises StepFailed."""
        if self._archive is not None:
            return
        directory = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-code-"))
        archive = Path(directory) / "code.tar"
        packed = AgentProcess().ask("pack", {"code": asdict(code), "target": str(archive)})
        if packed["size_bytes"] > CODE_LIMIT_BYTES:
            raise StepFailed(
                ErrorClass.USER,
                f"the code is {packed['size_bytes']} bytes, and a Run takes {CODE_LIMIT_BYTES} at most",
                "Keep data out of the repository; register it as a DatasetVersion",
            )
        self._archive = archive

    def stage(self, code: CodeSource, staging: Staging) -> None:
        """Have code, inputs and parameters put in place, every digest checked; the command starts after that. Raises StepFailed."""
        self.prepare(code)
        order = {
            "parameters": self._run.parameters,
            "grants": [grant.model_dump(mode="json") for grant in staging.grants],
            "datasets": [dataset.model_dump(mode="json") for dataset in staging.datasets],
        }
        self._ask(STAGE, "stage", order, self._archive)

    def collect(self) -> Collected:
        """Return what was written; raises StepFailed."""
        report = self._ask(AGENT, "collect", {"outputs": self._run.outputs})
        self._collected = collected_of(report)
        return self._collected

    def publish(self, grants: Grants) -> dict[str, str]:
        """Have the outputs stored and return the version id of each that is not in parts; raises StepFailed."""
        if self._collected is None:
            raise RuntimeError("publish comes after collect")
        order = {**grants.model_dump(mode="json"), "paths": self._collected.paths}
        return dict(self._ask(AGENT, "publish", order)["versions"])

    def release(self) -> None:
        """Let the pod end; its outputs are stored and on record. Raises StepFailed, Unavailable."""
        self._ask(AGENT, "release")

    def _ask(
        self, container: str, command: str, order: dict[str, Any] | None = None, content: Path | None = None
    ) -> dict[str, Any]:
        if container not in self._dialogues:
            self._dialogues[container] = self._cluster.dialogue(self._namespace, self._name, container)
            self._opened.callback(self._dialogues[container].close)
        dialogue = self._dialogues[container]
        return _repeated(lambda: dialogue.ask(command, order, content))


def _repeated(call: Callable[[], Result]) -> Result:
    for number in range(1, _ATTEMPTS):
        try:
            return call()
        except Unavailable:
            time.sleep(back_off(number, random.random(), _FIRST_DELAY).total_seconds())  # noqa: S311 - jitter
    return call()
