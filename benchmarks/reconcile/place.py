"""Pods and Runs in any number: Runs as rows that are copied inside the database, pods as bare objects that no scheduler takes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from kubernetes.client import CoreV1Api
from sqlalchemy import Connection, create_engine, text
from tests.support.kubernetes import Cluster, throw_away_cluster
from tests.support.postgres import PostgresServer, throw_away_server
from tests.support.rows import multiply
from tests.support.server import serve

from holdfast.core.access import Caller
from holdfast.dataplane.kubernetes.manifest import PodSettings, manifest_of
from holdfast.dataplane.kubernetes.namespace import (
    Egress,
    NamespaceSettings,
    Quota,
    admission_documents,
    namespace_documents,
)
from holdfast.settings import Platform, Settings
from holdfast.store import migrate
from holdfast.wire.project import ProjectRequest
from holdfast.wire.run import EnvironmentRequest, Run, RunRequest

AGENT = "registry.example/agent@sha256:" + "a" * 64
IMAGE = "registry.example/python@sha256:" + "b" * 64
_BESIDE = 16
ODD = 3
"""Of each Project, so many pods of no Run, so many Runs without a pod, and so many pods of Runs that have ended."""


@dataclass(frozen=True)
class Place:
    """An installation and its cluster.

    Attributes:
        cluster: where the pods are.
        platform: the governance functions.
        environment: of a process that opens the same platform.
        url: of its API.
        owner_url: of the database's owner.
    """

    cluster: Cluster
    platform: Platform
    environment: dict[str, str]
    url: str
    owner_url: str

    def fill(self, count: int, projects: int) -> None:
        """Make Projects that hold so many Runs, and as many pods, in all."""
        for _ in range(projects):
            self._fill_project(count // projects)

    def _fill_project(self, count: int) -> None:
        name = f"p{secrets.token_hex(5)}"
        governance = self.platform.governance(Caller("system:benchmark"))
        governance.projects.create(
            ProjectRequest(name=name, owner="benchmark", data_plane="kubernetes", namespace=name)
        )
        governance.runs.lock_environment(name, EnvironmentRequest(name="python", kind="image", reference=IMAGE))
        request = RunRequest(
            idempotency_key=secrets.token_hex(32),
            task_id="step",
            environment="python",
            command=["python", "steps/train.py"],
            parameters={"max_depth": 4},
            outputs={"model": "model.bin"},
        )
        run = governance.runs.create(name, request)
        engine = create_engine(self.owner_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            ids = _copies(connection, run, count)
        engine.dispose()
        settings = NamespaceSettings(
            name, name, (Egress("10.0.0.5/32", 443),), quota=Quota(pods=100_000, cpu="1M", memory="1P", storage="1E")
        )
        documents = {
            "apiVersion": "v1",
            "kind": "List",
            "items": [*admission_documents(), *namespace_documents(settings)],
        }
        self.cluster.kubectl("apply", "-f", "-", input=json.dumps(documents))
        self._make_pods(run, [*ids[ODD:], *(uuid4() for _ in range(ODD))], PodSettings(name, AGENT))

    def _make_pods(self, run: Run, ids: list[UUID], settings: PodSettings) -> None:
        core = CoreV1Api(self.cluster.api())

        def make(identity: UUID) -> None:
            manifest = manifest_of(run.model_copy(update={"id": identity}), settings)
            manifest["spec"]["schedulerName"] = "nobody"
            core.create_namespaced_pod(settings.namespace, manifest, _preload_content=False)

        with ThreadPoolExecutor(_BESIDE) as beside:
            list(beside.map(make, ids))


def _copies(connection: Connection, run: Run, count: int) -> list[UUID]:
    """Return the ids of so many Runs like this one; the last few of them have ended."""
    connection.execute(text("SET search_path = holdfast"))
    multiply(connection, "run", count - 1, f"id = '{run.id}'")
    ids = [
        row.id
        for row in connection.execute(
            text("SELECT id FROM run WHERE project_id = (SELECT project_id FROM run WHERE id = :run)"), {"run": run.id}
        )
    ]
    connection.execute(text("ALTER TABLE run DISABLE TRIGGER USER"))
    connection.execute(
        text("UPDATE run SET state = 'canceled', ended_at = now() WHERE id = ANY(:ids)"), {"ids": ids[-ODD:]}
    )
    connection.execute(text("ALTER TABLE run ENABLE TRIGGER USER"))
    return ids


@contextmanager
def place(root: Path) -> Iterator[Place]:
    """Yield an installation that has nothing in it."""
    with throw_away_cluster() as cluster, throw_away_server() as postgres:
        owner_url, service_url = _database(postgres)
        settings = {
            "HOLDFAST_DATABASE_URL": service_url,
            "HOLDFAST_OBJECTS_ROOT": str(root),
            "HOLDFAST_GRANT_KEY": secrets.token_hex(32),
            "HOLDFAST_API_URL": "http://127.0.0.1:1/holdfast/api/v1",
        }
        platform = Platform.open(
            Settings(**{name.removeprefix("HOLDFAST_").lower(): value for name, value in settings.items()})
        )
        with serve(platform) as url:
            yield Place(cluster, platform, settings, url, owner_url)
        platform.close()


def _database(postgres: PostgresServer) -> tuple[str, str]:
    owner_url = postgres.create_database("benchmark")
    migrate.upgrade(owner_url)
    return owner_url, postgres.url("benchmark", postgres.create_login("benchmark_app", member_of="holdfast_service"))
