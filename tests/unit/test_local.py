"""The local data plane's processes: the command ends as it ended, and nothing that it started is left, however it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from holdfast.core.policy import EnvironmentKind
from holdfast.core.run import ErrorClass
from holdfast.dataplane.local import LocalDataPlane, LocalExecution
from holdfast.dataplane.plane import StepCanceled, StepFailed
from holdfast.dataplane.process import AgentProcess
from holdfast.wire.run import Run

# Leaves the group and the tree: a session of its own, and a parent that ends at once. Tells its pid, and would live for five minutes.
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], 'w').write(str(os.getpid()))
        time.sleep(300)
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1]) or not open(sys.argv[1]).read():
    time.sleep(0.01)
"""
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    + DAEMON
    + "print('ready', flush=True); time.sleep(300)"
)


def run(*command: str, directory: Path, log: list[str] | None = None) -> int:
    environment = {"PATH": os.environ["PATH"]}
    return AgentProcess().execute(list(command), directory, environment, (log if log is not None else []).append)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, deadline_s: float = 10) -> None:
    deadline = time.monotonic() + deadline_s
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


def test_the_command_ends_as_it_ended(tmp_path: Path) -> None:
    log: list[str] = []
    assert run(sys.executable, "-c", "print('said'); raise SystemExit(3)", directory=tmp_path, log=log) == 3
    assert log == ["said"]
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT):
        code = f"import os, signal; signal.signal({int(number)}, signal.SIG_DFL) if {number != signal.SIGKILL} else 0; os.kill(os.getpid(), {int(number)})"
        assert run(sys.executable, "-c", code, directory=tmp_path) == -number


def test_a_command_that_cannot_be_started_is_the_users_error_and_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no program")
    for command, reason in (("no-such-program", "No such file"), ("./data", "Permission denied")):
        with pytest.raises(StepFailed, match=reason) as failed:
            run(command, directory=tmp_path)
        assert failed.value.error_class is ErrorClass.USER
        assert repr(command) in str(failed.value)


def test_what_the_command_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    assert run(sys.executable, "-c", DAEMON, str(tmp_path / "pid"), directory=tmp_path) == 0
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_cancel_ends_a_command_that_ignores_it_and_all_that_it_started(tmp_path: Path) -> None:
    process, said = AgentProcess(), threading.Event()
    threading.Thread(target=lambda: said.wait(30) and process.cancel(), daemon=True).start()
    began = time.monotonic()
    with pytest.raises(StepCanceled):
        process.execute([sys.executable, "-c", STUBBORN, str(tmp_path / "pid")], tmp_path, {}, lambda _: said.set())
    # Airflow kills the task's process five seconds after it has asked; what remains of them is for recording the end.
    assert time.monotonic() - began < 4.5
    assert not is_running(int((tmp_path / "pid").read_text()))
    with pytest.raises(StepCanceled):
        process.ask("survey", {})


def test_a_killed_task_process_takes_the_command_with_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from holdfast.dataplane.process import AgentProcess\n"
        "AgentProcess().execute([sys.executable, '-c', *sys.argv[1:]], Path('.'), {}, lambda line: print(line, flush=True))"
    )
    command = [sys.executable, "-c", code, STUBBORN, str(tmp_path / "pid")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as task:
        assert task.stdout is not None
        assert task.stdout.readline() == "ready\n"
        pid = int((tmp_path / "pid").read_text())
        assert is_running(pid)
        task.kill()
    wait_until_gone(pid)


def a_run(**changes: object) -> Run:
    values = {
        "id": "0",
        "command": [sys.executable, "-c", "import os; print(sorted(os.environ)); print(os.environ['HOME'])"],
        "resources": {},
        "environment": "sklearn/1",
        "environment_kind": EnvironmentKind.INTERPRETER,
        "environment_reference": sys.executable,
    }
    return Run.model_construct(**{**values, **changes})


def test_the_commands_environment_is_exactly_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HOLDFAST_DEFAULT", "canary")
    log: list[str] = []
    with LocalDataPlane([], tmp_path).execution(a_run()) as execution:
        assert isinstance(execution, LocalExecution)
        (next(tmp_path.iterdir()) / "code").mkdir()
        assert execution.execute(log.append) == 0
    names = ["HOLDFAST_INPUTS", "HOLDFAST_OUTPUTS", "HOLDFAST_PARAMETERS", "HOME", "LANG", "PATH"]
    assert log[0] == str([*names, "PYTHONHASHSEED", "PYTHONUNBUFFERED", "TMPDIR"])
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_not_an_interpreter(tmp_path: Path) -> None:
    image = a_run(environment_kind=EnvironmentKind.IMAGE, environment_reference="registry/x@sha256:" + "0" * 64)
    with pytest.raises(StepFailed, match="is an image, and the local data plane starts interpreters only") as failed:
        LocalDataPlane([], tmp_path).execution(image)
    assert failed.value.error_class is ErrorClass.USER


def test_a_run_that_reads_secrets_is_refused_where_there_are_none_to_give() -> None:
    with pytest.raises(StepFailed, match="has none to give") as failure:
        LocalDataPlane([]).execution(a_run(resources={"secrets": {"KEY": "bank/key"}}))
    assert failure.value.error_class == "user"
