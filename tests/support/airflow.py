"""A whole Airflow with Holdfast on this machine: PostgreSQL, the four processes, users by role, Dags in git. Started as the demo's is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from demo.journey import Airflow
from demo.plane import Plane, local_plane
from demo.platform import PROJECT, bring_data, furnish, open_platform, passwords
from demo.postgres import PostgresServer
from demo.repository import publish
from demo.state import State
from demo.supervise import Supervisor
from demo.users import described

from demo import airflow as configuration
from holdfast.client import GovernanceClient
from holdfast.core.access import TOKEN_PERMISSIONS, Caller, Role
from holdfast.wire.model import ApprovalGateSpec, PolicyRequest
from holdfast.wire.project import ProjectRequest, RoleBindingRequest, TokenRequest
from holdfast.wire.run import EnvironmentRequest
from tests.support.forward import Forwarder
from tests.support.server import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.service.governance import GovernanceService
    from holdfast.settings import Platform
    from holdfast.wire.run import PipelineRun, Run

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "tests" / "airflow" / "dags"
VAULT = "vault"
# Beyond the demo's people: one whose role Holdfast does not know, one who is let in and bound nowhere, one who is bound by a role.
ROLES = {"Oncology Reader": "Viewer"}
USERS = {"stranger": "User", "guest": "Viewer", "reader": "Oncology Reader", "admin": "Admin"}
ENDED = ("success", "failed")


@dataclass
class Installation:
    """What a test knows about the installation.

    Attributes:
        url: Airflow's.
        state: directories and secrets.
        postgres: the server of both databases.
        platform: the governance database, opened as a service process opens it.
        flaky: the way to the API of the connection `holdfast_flaky`.
        tokens: service tokens by Project.
        plane: where Runs are executed.
        work: a directory below the data roots, for markers and data.
        shared: environment of the processes whose tasks use the connections.
        service: environment of the process that opens the governance database.
        passwords: by user.
    """

    url: str
    state: State
    postgres: PostgresServer
    group: Supervisor
    platform: Platform
    flaky: Forwarder
    tokens: dict[str, str]
    plane: Plane
    work: Path
    shared: dict[str, str]
    service: dict[str, str]
    passwords: dict[str, str]
    _clients: dict[str, Airflow] = field(default_factory=dict)

    @property
    def api_url(self) -> str:
        """URL of API v1."""
        return f"{self.url}/holdfast/api/v1"

    @cached_property
    def governance(self) -> GovernanceClient:
        """The record of the Project, read as its Maintainer reads it."""
        return GovernanceClient(self.api_url, self.airflow().token)

    @cached_property
    def admin(self) -> GovernanceService:
        """All rights, in this process."""
        return self.platform.governance(Caller("system:tests"))

    def airflow(self, user: str = "maintainer") -> Airflow:
        """Return Airflow's REST API on behalf of a user."""
        if user not in self._clients:
            self._clients[user] = Airflow(self.url, user, self.passwords[user])
        return self._clients[user]

    def directory(self, name: str) -> Path:
        """Return a fresh directory below the data roots."""
        path = self.work / name
        path.mkdir()
        return path

    def trigger(self, dag: str, **conf: Any) -> str:
        """Trigger a Dag and return the run id."""
        self.group.wait_until(f"reading the Dag {dag}", lambda: self.airflow().knows(dag), 90)
        body = {"logical_date": None, "conf": conf}
        return str(self.airflow().call("POST", f"/dags/{dag}/dagRuns", body)["dag_run_id"])

    def until(self, what: str, is_done: Callable[[], Any], deadline_s: float = 90) -> None:
        """Return once something holds; fails when a component ends or the time is over."""
        self.group.wait_until(what, lambda: bool(is_done()), deadline_s)

    def check_end(self, dag: str, run_id: str, state: str = "success", deadline_s: float = 200) -> None:
        """Return when a DagRun has ended in a state; fails with what its tasks and Runs say when it is another."""
        path = f"/dags/{dag}/dagRuns/{run_id}"
        self.until(
            f"the end of {run_id} of {dag}", lambda: self.airflow().call("GET", path)["state"] in ENDED, deadline_s
        )
        found = self.airflow().call("GET", path)["state"]
        assert found == state, self._story(dag, run_id)

    def check_recorded_end(self, dag: str, run_id: str, state: str) -> None:
        """Return when a PipelineRun has ended in a state."""
        # Airflow calls back when its dag-processor comes to the Dag's file again, after all others that wait.
        self.until(f"the record of {run_id}", lambda: self.pipeline_run(dag, run_id).ended_at is not None, 180)
        assert self.pipeline_run(dag, run_id).state == state

    def _story(self, dag: str, run_id: str) -> str:
        tasks = [f"{name} {ti['state']} ({ti['try_number']})" for name, ti in self.tasks(dag, run_id).items()]
        runs = [f"{run.task_id} {run.try_number} {run.state}: {run.cause}" for run in self.runs(dag, run_id)]
        return "\n".join([f"{dag} {run_id}", *tasks, *runs])

    def tasks(self, dag: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return Airflow's task instances by task id; mapped ones by `id/map index`."""
        found = self.airflow().call("GET", f"/dags/{dag}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {f"{ti['task_id']}/{ti['map_index']}" if ti["map_index"] >= 0 else ti["task_id"]: ti for ti in found}

    def until_task(self, dag: str, run_id: str, task: str, *states: str, deadline_s: float = 90) -> None:
        """Return once a task instance is in one of the states."""
        self.until(
            f"{task} of {dag} being {' or '.join(states)}",
            lambda: self.tasks(dag, run_id).get(task, {}).get("state") in states,
            deadline_s,
        )

    def clear(self, dag: str, run_id: str, *tasks: str, **more: Any) -> None:
        """Clear task instances of a DagRun."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(tasks), "only_failed": False, **more}
        self.airflow().call("POST", f"/dags/{dag}/clearTaskInstances", body)

    def pipeline_run(self, dag: str, run_id: str, project: str = PROJECT) -> PipelineRun:
        """Return the PipelineRun of a DagRun."""
        [found] = self.admin.runs.list_pipeline_runs(project, dag_id=dag, run_id=run_id).items
        return found

    def runs(self, dag: str, run_id: str, task: str | None = None) -> list[Run]:
        """Return the Runs of a DagRun, oldest first, read over the API."""
        found = self.governance.runs.list_pipeline_runs(PROJECT, dag_id=dag, run_id=run_id).items
        if not found:
            return []
        runs = self.governance.runs.list(PROJECT, pipeline_run=found[0].id, limit=500).items[::-1]
        return [run for run in runs if task in (None, run.task_id)]

    def log(self, dag: str, run_id: str, task: str, try_number: int = 1) -> str:
        """Return a try's log, as Airflow's REST API gives it."""
        path = f"/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/logs/{try_number}"
        return str(self.airflow().call("GET", path))

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run code in a process with the environment of Airflow's workers."""
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=self.shared, capture_output=True, text=True, check=False)

    def publish(self, **steps: str) -> str:
        """Commit the versioned Dags with some of their steps replaced, and return the commit once Airflow would run `again` on it."""
        root = self.state.root / "versioned"
        for name, content in steps.items():
            (root / "steps" / f"{name}.py").write_text(content)
        # Airflow reads a Dag again at once when its own file has changed, and else when its turn comes.
        with (root / "again.py").open("a") as file:
            file.write(f"# with {', '.join(steps)}\n")
        commit = publish(root, self.state.root / "versioned.git")
        self.until(
            f"Airflow's reading of commit {commit}",
            lambda: self.airflow().call("GET", "/dags/again")["bundle_version"] == commit,
        )
        return commit


@contextmanager
def installation(
    root: Path, place: Callable[[State], Plane] = local_plane, dags: Path = DAGS
) -> Iterator[Installation]:
    """Start everything on free ports, and stop it by process id at the end.

    Args:
        root: for everything that it keeps.
        place: where its Runs are executed.
        dags: directory of Dags, those of a versioned bundle and loose ones.
    """
    state = State(root)
    try:
        with ExitStack() as stack:
            stack.enter_context(state.locked())
            state.pair()
            postgres = stack.enter_context(PostgresServer.start(state.database))
            group = stack.enter_context(Supervisor(state.root / "logs"))
            yield _start(state, postgres, group, place(state), dags)
    finally:
        state.remove()


def _start(state: State, postgres: PostgresServer, group: Supervisor, plane: Plane, dags: Path) -> Installation:
    for name in ("port", "worker-log-port", "trigger-log-port"):
        state.remember(name, free_ports(1)[0])
    port = state.port()
    url, flaky = f"http://127.0.0.1:{port}", Forwarder(free_ports(1)[0], port)
    api_url = f"{url}/holdfast/api/v1"
    for name in ("versioned", "loose"):
        shutil.copytree(dags / name, state.root / name, ignore=shutil.ignore_patterns("__pycache__"))
    publish(state.root / "versioned", state.root / "versioned.git")
    publish(ROOT / "dags" / "examples", state.root / "examples.git")
    postgres.create_database("airflow")
    shared = {**configuration.environment(state, postgres, port, _bundles(state)), **_QUICK, **plane.shared}
    platform, service = open_platform(state, postgres, api_url, plane)
    tokens = {PROJECT: furnish(state, platform, plane), VAULT: _furnish_more(platform)}
    landing = bring_data(state.root / "landing").parent
    secrets = {**passwords(state), **{user: state.secret(f"password-{user}") for user in USERS}}
    people = described(secrets)
    people["roles"] |= ROLES
    people["users"] |= {user: [role, secrets[user]] for user, role in USERS.items()}
    configuration.prepare(state, {**shared, **service}, people)
    worker = {
        **configuration.connection(api_url, tokens[PROJECT], landing, project=PROJECT),
        **configuration.connection(api_url, tokens[VAULT], landing, project=VAULT, conn_id="holdfast_vault"),
        **configuration.connection(
            f"http://127.0.0.1:{flaky.port}/holdfast/api/v1",
            tokens[PROJECT],
            landing,
            project=PROJECT,
            conn_id="holdfast_flaky",
        ),
        **plane.worker,
    }
    configuration.start(group, shared, service, worker)
    group.wait_until("the api-server's answer", lambda: _answers(f"{api_url}/health"), 120)
    made = Installation(
        url,
        state,
        postgres,
        group,
        platform,
        flaky,
        tokens,
        plane,
        landing / "work",
        {**shared, **worker},
        {**shared, **service},
        secrets,
    )
    made.work.mkdir()
    made.airflow("owner").call(
        "POST",
        "/connections",
        {
            "connection_id": "holdfast_stored",
            "conn_type": "holdfast",
            "host": api_url,
            "password": tokens[PROJECT],
            "extra": f'{{"project": "{PROJECT}"}}',
        },
    )
    return made


_QUICK = {
    "AIRFLOW__CORE__PARALLELISM": "6",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__HOLDFAST__PRODUCTION_PROJECTS": f"{VAULT}, another",
}


def _bundles(state: State) -> list[dict[str, Any]]:
    loose = {
        "name": "loose",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(state.root / "loose"), "refresh_interval": 30},
    }
    return [
        configuration.git_bundle("examples", state.root / "examples.git", 60),
        configuration.git_bundle("versioned", state.root / "versioned.git", 3),
        loose,
    ]


def _furnish_more(platform: Platform) -> str:
    """Make what the test Dags need beyond the demo's, and return the token of the production Project."""
    install = platform.governance(Caller("system:install"))
    install.projects.create(
        ProjectRequest(name=VAULT, owner="tests", project_class="production", data_plane="kubernetes", namespace=VAULT)
    )
    plain = EnvironmentRequest(name="plain", kind="interpreter", reference=sys.executable)
    image = EnvironmentRequest(name="image", kind="image", reference=f"registry/plain@sha256:{'0' * 64}")
    for project, environment in ((PROJECT, plain), (PROJECT, image), (VAULT, plain), (VAULT, image)):
        install.runs.lock_environment(project, environment)
    install.promotions.define_policy(
        PROJECT,
        PolicyRequest(name="brief", gates=[ApprovalGateSpec(roles=[Role.SECURITY_OFFICER])], expires_after_s=60),
    )
    install.projects.bind_role(PROJECT, RoleBindingRequest(subject="group:Oncology Reader", role=Role.VIEWER))
    return install.projects.create_token(VAULT, TokenRequest(name="vault", scope=sorted(TOKEN_PERMISSIONS))).secret


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(pid: int) -> None:
    """Kill a process as a machine that runs out of memory does."""
    os.kill(pid, 9)


def poll(what: str, is_done: Callable[[], Any], deadline_s: float = 10) -> None:
    """Return once something holds."""
    deadline = time.monotonic() + deadline_s
    while not is_done():
        assert time.monotonic() < deadline, f"{what} did not happen within {deadline_s} s"
        time.sleep(0.05)
