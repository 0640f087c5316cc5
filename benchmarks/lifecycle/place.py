"""The servers that are measured: one PostgreSQL, and on it the service and the floor, each in a process of its own."""

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.postgres import PostgresServer
from sqlalchemy import create_engine

from benchmarks.lifecycle import service
from benchmarks.lifecycle.floor import app as floor
from benchmarks.lifecycle.floor.tables import furnish as furnish_floor
from benchmarks.lifecycle.journey import COMMIT, ENVIRONMENT, POLICY, Place
from benchmarks.lifecycle.wire import Connection
from holdfast.core.access import TOKEN_PERMISSIONS, Caller, Role
from holdfast.settings import Platform, Settings
from holdfast.store import migrate
from holdfast.wire.dataset import DatasetVersionRequest, FileEntry
from holdfast.wire.model import ApprovalGateSpec, MetricGateSpec, PolicyRequest
from holdfast.wire.project import ProjectRequest, RoleBindingRequest, TokenRequest
from holdfast.wire.run import EnvironmentRequest, PipelineRunRequest
from holdfast_plugins.app import MOUNT, VERSION

ROOT = Path(__file__).parents[2]
PROJECT = "oncology"
_DEADLINE_S = 60
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is being measured."""

    name: str
    pid: int
    place: Place


@contextmanager
def both(directory: Path, clients: int) -> Iterator[tuple[Server, Server, int]]:
    """Start everything below a directory and yield (service, floor, PostgreSQL's process id); stop it all at the end.

    Args:
        directory: an empty one, on the disk that is to be measured.
        clients: how many clients there will be at most.
    """
    directory.chmod(0o711)  # PostgreSQL, which does not run as root, has to get to its own directory below
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer.start(directory / "postgres"))
        ports = _free_ports(2)
        ours, its_environment = _service_place(postgres, directory, ports[0], clients)
        theirs, floor_environment = _floor_place(postgres, directory, ports[1], clients)
        servers = [
            Server(name, stack.enter_context(_serve(app, place, environment, directory)), place)
            for name, app, place, environment in (
                ("holdfast", f"{service.__name__}:app", ours, its_environment),
                ("floor", f"{floor.__name__}:app", theirs, floor_environment),
            )
        ]
        yield servers[0], servers[1], postgres.pid


def _service_place(postgres: PostgresServer, directory: Path, port: int, clients: int) -> tuple[Place, dict[str, str]]:
    migrate.upgrade(postgres.create_database("holdfast"))
    login = postgres.create_login("holdfast_app", member_of="holdfast_service")
    key = secrets.token_hex(64)
    environment = {
        "HOLDFAST_DATABASE_URL": postgres.url("holdfast", login),
        "HOLDFAST_OBJECTS_ROOT": str(directory / "holdfast-objects"),
        "HOLDFAST_GRANT_KEY": secrets.token_hex(32),
        "HOLDFAST_API_URL": f"http://127.0.0.1:{port}{MOUNT}{VERSION}",
    }
    values = {name.removeprefix("HOLDFAST_").lower(): value for name, value in environment.items()}
    platform = Platform.open(Settings.model_validate(values))
    governed = platform.governance(Caller("system:benchmark"))
    governed.projects.create(ProjectRequest(name=PROJECT, owner="a benchmark"))
    governed.projects.bind_role(PROJECT, RoleBindingRequest(subject="user:olaf", role=Role.SECURITY_OFFICER))
    governed.runs.lock_environment(
        PROJECT, EnvironmentRequest(name=ENVIRONMENT, kind="interpreter", reference="/usr/bin/python3")
    )
    gates = [
        MetricGateSpec(metric="accuracy", comparison=">=", bound=0.9),
        ApprovalGateSpec(roles=[Role.SECURITY_OFFICER]),
    ]
    governed.promotions.define_policy(PROJECT, PolicyRequest(name=POLICY, gates=gates))
    files = [FileEntry(path="data.csv", digest="sha256:" + "0" * 64, size_bytes=1)]
    data = governed.datasets.register(
        PROJECT, "tumours", DatasetVersionRequest(source="file:///landing", source_type="file", files=files)
    )
    pipelines = [
        governed.runs.create_pipeline_run(
            PROJECT, PipelineRunRequest(dag_id="train", run_id=f"manual__{number}", bundle="dags", commit=COMMIT)
        )
        for number in range(clients)
    ]
    token = governed.projects.create_token(PROJECT, TokenRequest(name="worker", scope=sorted(TOKEN_PERMISSIONS)))
    platform.close()
    place = Place(
        port=port,
        prefix=MOUNT + VERSION,
        project=PROJECT,
        dataset_version=str(data.id),
        pipeline_runs=tuple(str(pipeline.id) for pipeline in pipelines),
        worker=_bearer(token.secret),
        approver=_bearer(service.approver_token(key, "olaf")),
    )
    return place, {**environment, service.APPROVER_KEY: key}


def _floor_place(postgres: PostgresServer, directory: Path, port: int, clients: int) -> tuple[Place, dict[str, str]]:
    url = postgres.create_database("floor")
    engine = create_engine(url)
    furniture = furnish_floor(engine, PROJECT, ENVIRONMENT, clients)
    engine.dispose()
    place = Place(
        port=port,
        prefix=floor.PREFIX,
        project=PROJECT,
        dataset_version=furniture.dataset_version,
        pipeline_runs=furniture.pipeline_runs,
        worker=b"",
        approver=b"",
    )
    return place, {
        floor.DATABASE_URL: url,
        floor.OBJECTS_ROOT: str(directory / "floor-objects"),
        floor.API_URL: f"http://127.0.0.1:{port}{floor.PREFIX}",
    }


def _bearer(token: str) -> bytes:
    return f"authorization: Bearer {token}\r\n".encode()


@contextmanager
def _serve(app: str, place: Place, environment: Mapping[str, str], directory: Path) -> Iterator[int]:
    """Serve an application with one worker and yield the process id once it answers."""
    command = [sys.executable, "-m", "uvicorn", "--factory", app, "--host", "127.0.0.1", "--port", str(place.port)]
    log = directory / f"{app}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--workers", "1", "--no-access-log", "--log-level", "warning"],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509 - takes no lock
        )
    try:
        _wait(process, place, log)
        yield process.pid
    except RuntimeError as error:
        error.add_note(f"{app} said at the end: {log.read_text()[-2000:]}")
        raise
    finally:
        process.terminate()
        process.wait(_DEADLINE_S)


def _wait(process: "subprocess.Popen[bytes]", place: Place, log: Path) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        try:
            connection = Connection(place.port)
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
            continue
        connection.call(b"GET", f"{place.prefix}/health".encode(), b"")
        connection.close()
        return


def _free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface, below the ephemeral ones, that nobody listens on."""
    with ExitStack() as held:
        found: list[int] = []
        for port in range(21000, 32000):
            candidate = held.enter_context(socket.socket())
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise RuntimeError("no ports between 21000 and 32000 are free")
