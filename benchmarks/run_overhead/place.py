"""Airflow outside a cluster, and what a round needs: a Project's namespace, a plain one, a small input, and a count of what has run."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.airflow import ENDED, Installation, installation
from tests.support.kubernetes import throw_away_cluster
from tests.support.kubernetes.airflow import WORKER, on_cluster
from tests.support.kubernetes.data_plane import DataPlane, data_plane
from tests.support.markers import Markers
from tests.support.s3 import throw_away_s3

WAYS = ("recorded", "plain")
"""The Dags: the command as a Run, and in a pod of Airflow's own operator."""
_DAGS = Path(__file__).parents[2] / "tests" / "kubernetes" / "dags"
_PLAIN = "plain"
_DEADLINE_S = 900
_WRITE = "import os, pathlib; pathlib.Path(os.environ['HOLDFAST_OUTPUTS'], 'out.txt').write_text('x' * 4096)"


@dataclass
class Ended:
    """One DagRun.

    Attributes:
        name: what its command counted itself as.
        run_id: Airflow's.
        began: when Airflow queued it.
        ended: when its task ended.
        is_lost: whether Airflow has failed it; a Run never is, or there is an error.
    """

    name: str
    run_id: str
    began: datetime
    ended: datetime
    is_lost: bool

    @property
    def took_s(self) -> float:
        return (self.ended - self.began).total_seconds()


@dataclass
class Place:
    """What is measured: both ways have the same Airflow, image, nodes and command."""

    airflow: Installation
    markers: Markers
    image: str
    data: dict[str, str]

    @classmethod
    def of(cls, plane: DataPlane, airflow: Installation, markers: Markers) -> Place:
        """Return the place on what runs already."""
        _let_in(plane)
        return cls(airflow, markers, airflow.plane.environment.reference, _input(airflow))

    def run(self, way: str, count: int = 1, seconds: float = 0) -> list[Ended]:
        """Trigger so many DagRuns at once, whose commands work for so long, and return them, once all have ended."""
        names = [f"{way}-{secrets.token_hex(6)}" for _ in range(count)]
        begun = [(name, self.airflow.trigger(way, **self._conf(way, name, seconds))) for name in names]
        deadline = time.monotonic() + _DEADLINE_S
        return [self._ended(way, name, run_id, deadline) for name, run_id in begun]

    def _conf(self, way: str, name: str, seconds: float) -> dict[str, Any]:
        writes = way == "recorded"
        command = self.markers.command(name, seconds, writes=writes)
        return {"command": command, **({"data": self.data} if writes else {"image": self.image})}

    def _ended(self, way: str, name: str, run_id: str, deadline: float) -> Ended:
        call, path = self.airflow.airflow().call, f"/dags/{way}/dagRuns/{run_id}"
        left = max(1, deadline - time.monotonic())
        if way == "recorded":
            self.airflow.check_end(way, run_id, deadline_s=left)
        else:
            self.airflow.until(f"the end of {run_id}", lambda: call("GET", path)["state"] in ENDED, left)
        found, task = call("GET", path), self.airflow.tasks(way, run_id)["step"]
        moments = (datetime.fromisoformat(text) for text in (found["queued_at"], task["end_date"]))
        return Ended(name, run_id, *moments, found["state"] != "success")

    def check_counted(self, way: str, ended: list[Ended]) -> None:
        """Check that each command ran once and that each Run is recorded once, with its output; raises AssertionError."""
        for one in (each for each in ended if not each.is_lost):
            assert self.markers.count(one.name) == 1, f"{one.name} ran {self.markers.count(one.name)} times"
            if way == "recorded":
                [run] = self.airflow.runs(way, one.run_id)
                assert run.state == "succeeded", run
                artifacts = self.airflow.governance.artifacts.list(run.project, run=run.id).items
                assert [artifact.name for artifact in artifacts] == ["out"], artifacts


@contextmanager
def place(root: Path) -> Iterator[Place]:
    """Yield a place that has run each way once, so that every image is on a node and every module compiled."""
    with (
        throw_away_cluster() as cluster,
        throw_away_s3(host=cluster.host) as s3,
        Markers(cluster.host) as markers,
    ):
        plane = data_plane(cluster, s3)
        with installation(root / "state", lambda _: on_cluster(plane, plane.user), _DAGS) as airflow:
            made = Place.of(plane, airflow, markers)
            for way in WAYS:
                made.check_counted(way, made.run(way))
            yield made


def _input(airflow: Installation) -> dict[str, str]:
    """Return a small Artifact, as a Run binds it."""
    run_id = airflow.trigger("made", command=["python", "-c", _WRITE])
    airflow.check_end("made", run_id)
    [run] = airflow.runs("made", run_id)
    [artifact] = airflow.governance.artifacts.list(run.project, run=run.id).items
    return {"artifact": str(artifact.id), "digest": artifact.digest}


def _let_in(plane: DataPlane) -> None:
    """Make the namespace in which Airflow's own operator may make pods, which asks for more rights than a Run."""
    rights = [{"apiGroups": [""], "resources": ["pods", "pods/log", "pods/exec", "events"], "verbs": ["*"]}]
    place = {"name": _PLAIN, "namespace": _PLAIN}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _PLAIN}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": WORKER}
    items = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _PLAIN}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": place, "rules": rights},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": place,
            "roleRef": role,
            "subjects": [subject],
        },
    ]
    plane.cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
