"""A Project on the Kubernetes data plane, and its Runs, begun and ended without Airflow."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from holdfast.core.access import Caller
from holdfast.core.run import RunState, idempotency_key
from holdfast.dataplane.kubernetes.cluster import Cluster as ClusterApi
from holdfast.dataplane.kubernetes.execution import PodExecution
from holdfast.dataplane.kubernetes.manifest import PodSettings
from holdfast.dataplane.kubernetes.run import PodRun
from holdfast.dataplane.kubernetes.status import Broken, Ended, Progress
from holdfast.dataplane.plane import CodeSource
from holdfast.wire.project import ProjectRequest
from holdfast.wire.run import EnvironmentRequest, PipelineRunRequest, Run, RunRequest

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.ports import Governance
    from holdfast.settings import Platform
    from tests.support.kubernetes.data_plane import DataPlane


@dataclass
class KubernetesProject:
    """One Project with a namespace of its name.

    Attributes:
        name: the Project's and the namespace's.
        plane: where its Runs are executed.
        governance: its record, with all rights.
        code: a directory that is executed as it lies there.
    """

    name: str
    plane: DataPlane
    governance: Governance
    code: Path
    said: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, platform: Platform, plane: DataPlane, code: Path, **more: Any) -> KubernetesProject:
        name = f"p{secrets.token_hex(4)}"
        governance = platform.governance(Caller("system:tests"))
        governance.projects.create(ProjectRequest(name=name, owner="tests", data_plane="kubernetes", namespace=name))
        made = cls(name, plane, governance, code)
        made.lock("python", plane.user)
        plane.prepare(name, **more)
        return made

    @property
    def settings(self) -> PodSettings:
        return PodSettings(self.name, self.plane.agent)

    @property
    def cluster(self) -> ClusterApi:
        return ClusterApi(self.plane.cluster.api())

    def lock(self, name: str, image: str) -> None:
        self.governance.runs.lock_environment(self.name, EnvironmentRequest(name=name, kind="image", reference=image))

    def create(self, *command: str, environment: str = "python", **more: Any) -> Run:
        """Create a Run of a fresh DagRun."""
        run_id = secrets.token_hex(6)
        pipeline_run = self.governance.runs.create_pipeline_run(
            self.name, PipelineRunRequest(dag_id="tests", run_id=run_id)
        )
        request = RunRequest(
            idempotency_key=idempotency_key("tests", run_id, "step", -1, 1),
            pipeline_run=pipeline_run.id,
            task_id="step",
            environment=environment,
            command=list(command),
            **more,
        )
        return self.governance.runs.create(self.name, request)

    def pod_run(self, run: Run, try_number: int = 1) -> PodRun:
        """Return what brings a Run further, as a process of a try that has just come knows it."""
        found = self.found(run)
        return PodRun(
            self.governance,
            self.name,
            found,
            self.cluster,
            self.settings,
            self.said.append,
            try_number=try_number,
        )

    def found(self, run: Run) -> Run:
        return self.governance.runs.get(self.name, run.id)

    def begin(self, run: Run) -> PodRun:
        pod_run = self.pod_run(run)
        _, is_staged = pod_run.begin(CodeSource(str(self.code)))
        assert is_staged
        return pod_run

    def until_moved(self, run: Run, timeout_s: float = 60) -> None:
        """Return once the Run's command has ended, one way or the other."""
        self.until(run, timeout_s, Ended, Broken)

    def until(self, run: Run, timeout_s: float, *kinds: type[Progress]) -> Progress:
        """Return how far a Run is once that is of one of the kinds."""
        execution = PodExecution(self.found(run), self.cluster, self.settings)
        _, progress = execution.wait(lambda progress: isinstance(progress, kinds), timeout_s)
        assert isinstance(progress, kinds), progress
        return progress

    def succeed(self, run: Run) -> Run:
        """Bring a Run to its end and return it as it then is."""
        pod_run = self.begin(run)
        self.until_moved(run)
        ended = pod_run.end()
        assert ended.state is RunState.SUCCEEDED
        return ended

    def pod(self, run: Run) -> dict[str, Any] | None:
        return self.cluster.find_pod(self.name, f"run-{run.id}")
