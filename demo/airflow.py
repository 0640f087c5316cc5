"""Airflow on this machine: its configuration, by environment (each process gets what it needs and no more), and its start."""

import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from demo.failure import DemoFailure
from demo.postgres import PostgresServer
from demo.repository import BRANCH
from demo.state import LOG_PORTS, State
from demo.supervise import Supervisor

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
_BIN = Path(sys.executable).parent
_REPOSITORY = Path(__file__).parents[1]


def git_bundle(name: str, repository: Path, refresh_interval_s: int = 10) -> dict[str, Any]:
    """Return the Dag bundle of a git repository on this machine."""
    return {
        "name": name,
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {"repo_url": str(repository), "tracking_ref": BRANCH, "refresh_interval": refresh_interval_s},
    }


def environment(state: State, postgres: PostgresServer, port: int, bundles: list[dict[str, Any]]) -> dict[str, str]:
    """Return the environment that all of Airflow's processes share; none of it opens the governance database."""
    home = state.root / "airflow"
    url = f"http://127.0.0.1:{port}"
    return {
        "PATH": f"{_BIN}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url("airflow", driver="postgresql+psycopg2"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__FERNET_KEY": state.secret("fernet", lambda: urlsafe_b64encode(os.urandom(32)).decode()),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": state.secret("api"),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": state.secret("jwt"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(state.root / "bundles"),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(state.root / "logs" / "tasks"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(state.root / "logs" / "dag-files"),
        # Whoever reads a log finds it on this machine; the ports only have to be free of another Airflow's.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(state.port("worker-log-port", LOG_PORTS[::2])),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(state.port("trigger-log-port", LOG_PORTS[1::2])),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # The Dag bundle looks for it before it takes the repository's path.
        "AIRFLOW_CONN_GIT_DEFAULT": json.dumps({"conn_type": "git"}),
    }


def connection(
    url: str, token: str, data_root: Path, *, project: str, conn_id: str = "holdfast_default"
) -> dict[str, str]:
    """Return a Holdfast connection, for the processes whose tasks use it."""
    extra = {"project": project, "data_roots": str(data_root)}
    document = {"conn_type": "holdfast", "host": url, "password": token, "extra": extra}
    return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(document)}


def prepare(state: State, environment: Mapping[str, str], users: Mapping[str, Any]) -> None:
    """Migrate Airflow's database and create roles and users, as `demo.users` takes them; not again, unless something else is asked for."""
    wanted = {
        "versions": {package: version(package) for package in ("apache-airflow", "apache-airflow-providers-fab")},
        "roles": users["roles"],
        "users": {name: role for name, (role, _) in users["users"].items()},
    }
    if state.recall("prepared") == wanted:
        return
    environment = {**environment, "PYTHONPATH": str(_REPOSITORY)}
    _run(state, [sys.executable, "-m", "demo.prepare"], environment, json.dumps(users))
    state.remember("prepared", wanted)


def start(group: Supervisor, shared: Mapping[str, str], service: Mapping[str, str], worker: Mapping[str, str]) -> None:
    """Start Airflow's four processes; the api-server opens the governance database, the others have the connections."""
    for name in COMPONENTS:
        more = service if name == "api-server" else worker
        group.start(name, [str(_BIN / "airflow"), name], {**shared, **more})


def _run(state: State, command: list[str], environment: Mapping[str, str], stdin: str) -> None:
    log = state.root / "logs" / "migrate.log"
    done = subprocess.run(  # noqa: S603 - our own commands
        command,
        env=dict(environment),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd=state.root,
    )
    with log.open("a") as file:
        file.write(done.stdout + done.stderr)
    if done.returncode != 0:
        raise DemoFailure(f"{' '.join(command[-2:])} failed; its log is {log}. `make demo-reset` starts over")
