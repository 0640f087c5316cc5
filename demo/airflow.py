"""Airflow's configuration for the demo, by environment; each process gets what it needs and no more."""

import json
import os
import sys
from base64 import urlsafe_b64encode
from pathlib import Path

from demo.postgres import PostgresServer
from demo.repository import BRANCH
from demo.state import State

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
CONNECTION = "AIRFLOW_CONN_HOLDFAST_DEFAULT"


def environment(state: State, postgres: PostgresServer, port: int) -> dict[str, str]:
    """Return the environment that all of Airflow's processes share; none of it opens the governance database."""
    home = state.root / "airflow"
    bundle = {
        "name": "examples",
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {"repo_url": str(state.root / "dags.git"), "tracking_ref": BRANCH, "refresh_interval": 10},
    }
    url = f"http://127.0.0.1:{port}"
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
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
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(state.root / "bundles"),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(state.root / "logs" / "tasks"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def connection(url: str, token: str, data_root: Path) -> dict[str, str]:
    """Return the Holdfast connection, for the processes whose tasks use it."""
    extra = {"project": "oncology", "data_roots": str(data_root)}
    return {CONNECTION: json.dumps({"conn_type": "holdfast", "host": url, "password": token, "extra": extra})}
