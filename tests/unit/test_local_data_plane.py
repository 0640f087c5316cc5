"""User code that does not behave, on the local data plane: it ends, it is named, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.core.run import ErrorClass
from holdfast.dataplane.local import LocalDataPlane, LocalExecution
from holdfast.dataplane.plane import CodeSource, StepFailed
from holdfast.wire.run import Grant, Grants, Staging

NOTHING = Staging(grants=[], datasets=[])


def execution(
    tmp_path: Path, code: str | None = None, *, command: list[str] | None = None, **outputs: str
) -> LocalExecution:
    """Return an execution of a Run whose command is a Python program, staged."""
    checkout = tmp_path / "checkout"
    checkout.mkdir(exist_ok=True)
    (checkout / "step.py").write_text(code or "")
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    run: Any = SimpleNamespace(
        id="run",
        command=command or ["python", "step.py"],
        parameters={},
        resources={},
        outputs=outputs or {"model": "model"},
        environment_kind="interpreter",
        environment_reference=sys.executable,
    )
    made = LocalDataPlane([], scratch).execution(run)
    made.__enter__()
    made.stage(CodeSource(str(checkout)), NOTHING)
    return made


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list((tmp_path / "scratch").iterdir())
    assert not _processes_of(tmp_path)


def _processes_of(tmp_path: Path) -> list[str]:
    """Return the processes that work below a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(tmp_path) in str((process / "cwd").readlink()):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def run(made: LocalExecution, lines: list[str]) -> int:
    try:
        return made.execute(lines.append)
    finally:
        made.__exit__()


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {closing}
        open(os.environ["HOLDFAST_OUTPUTS"] + "/alive", "w").close()
        time.sleep(600)
    os._exit(0)
while not os.path.exists(os.environ["HOLDFAST_OUTPUTS"] + "/alive"):
    time.sleep(0.01)
print("over")
"""


@pytest.mark.parametrize(
    "closing", ["pass", "[os.close(n) for n in (0, 1, 2)]"], ids=["holds the output", "has let go of the output"]
)
def test_a_process_that_stays_behind_is_ended_with_the_command(closing: str, tmp_path: Path, lines: list[str]) -> None:
    assert run(execution(tmp_path, DAEMON.format(closing=closing)), lines) == 0
    assert lines == ["over"]


def test_binary_garbage_and_a_line_without_end_are_logged_in_pieces(tmp_path: Path, lines: list[str]) -> None:
    code = "import os\nos.write(1, bytes(range(256)))\nfor _ in range(100): os.write(1, b'x' * (1 << 20))\nprint()\nprint('end')"
    assert run(execution(tmp_path, code), lines) == 0
    assert lines[-1] == "end"
    assert max(map(len, lines)) <= 16 << 10
    assert sum(line.count("x") for line in lines) >= 100 << 20
    assert any("\\xff" in line for line in lines)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["no-such-program"], "could not be started"),
        (["/etc/hostname"], "could not be started"),
        (["python", "a\0b"], "could not be started"),
        (["a\0b"], "could not be started"),
        (["python", "x" * (1 << 20)], "could not be started"),
    ],
)
def test_a_command_that_cannot_start_is_the_users(
    command: list[str], said: str, tmp_path: Path, lines: list[str]
) -> None:
    with pytest.raises(StepFailed, match=said) as failed:
        run(execution(tmp_path, command=command), lines)
    assert failed.value.error_class is ErrorClass.USER


def test_the_environment_holds_nothing_of_ours(
    tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "canary")
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", "postgresql://canary")
    secret = tmp_path / "secret"
    secret.write_text("canary")
    with secret.open() as held:
        os.set_inheritable(held.fileno(), True)
        code = (
            "import os\nprint(sorted(os.environ))\nprint(sorted(os.listdir('/proc/self/fd')))\nprint(dict(os.environ))"
        )
        assert run(execution(tmp_path, code), lines) == 0
    assert "canary" not in "".join(lines)
    assert {name.strip("' []") for name in lines[0].split(",")} <= {
        "HOLDFAST_INPUTS",
        "HOLDFAST_OUTPUTS",
        "HOLDFAST_PARAMETERS",
        "HOME",
        "LANG",
        "LC_CTYPE",
        "PATH",
        "PYTHONHASHSEED",
        "PYTHONUNBUFFERED",
        "TMPDIR",
    }
    assert lines[1] == "['0', '1', '2', '3']"  # 3 is the listing itself


def collected(tmp_path: Path, code: str, lines: list[str], **outputs: str):
    made = execution(tmp_path, code, **outputs)
    try:
        made.execute(lines.append)
        return made.collect()
    finally:
        made.__exit__()


def test_directories_nested_beyond_measure_are_collected_or_named(tmp_path: Path, lines: list[str]) -> None:
    code = "import os\nos.chdir(os.environ['HOLDFAST_OUTPUTS'])\nos.mkdir('d')\nos.chdir('d')\nfor _ in range({}):\n os.mkdir('d')\n os.chdir('d')\nopen('f', 'w').close()"
    assert len(collected(tmp_path, code.format(100), lines, deep="d/").files) == 1
    for depth in (600, 1500):
        with pytest.raises(StepFailed, match="longer than 1024") as failed:
            collected(tmp_path, code.format(depth), lines, deep="d/")
        assert failed.value.error_class is ErrorClass.USER


def test_many_files_are_collected(tmp_path: Path, lines: list[str]) -> None:
    code = "import os\nd = os.environ['HOLDFAST_OUTPUTS'] + '/d'\nos.mkdir(d)\nfor n in range(5000): open(f'{d}/{n}', 'w').close()"
    assert len(collected(tmp_path, code, lines, many="d/").files) == 5000
    with pytest.raises(StepFailed, match="10000") as failed:
        collected(tmp_path, code.replace("5000", "10_001"), lines, many="d/")
    assert failed.value.error_class is ErrorClass.USER


def test_a_socket_or_device_is_no_output(tmp_path: Path, lines: list[str]) -> None:
    code = "import os, socket\nos.chdir(os.environ['HOLDFAST_OUTPUTS'])\nsocket.socket(socket.AF_UNIX).bind('model')"
    with pytest.raises(StepFailed, match="neither a file nor a directory"):
        collected(tmp_path, code, lines)


def test_read_only_directories_are_removed(tmp_path: Path, lines: list[str]) -> None:
    code = "import os\nd = os.environ['HOLDFAST_OUTPUTS'] + '/a/b'\nos.makedirs(d)\nopen(d + '/f', 'w').close()\nos.chmod(d, 0)\nos.chmod(os.path.dirname(d), 0)"
    assert run(execution(tmp_path, code), lines) == 0


@pytest.mark.parametrize(
    "text",
    [
        "1" + "0" * 400,
        '{"n": ' + "1" + "0" * 400 + "}",
        '{"n": 1e300}',
        '{"n": 9007199254740993}',
        "[" * 20000,
        '{"' + "x" * 300 + '": 1}',
        '{"\\ud800": 1}',
        "\\xff",
    ],
)
def test_metrics_that_cannot_be_recorded_are_the_users(text: str, tmp_path: Path, lines: list[str]) -> None:
    code = f"import os\nopen(os.environ['HOLDFAST_OUTPUTS'] + '/m', 'w').write({text!r})"
    with pytest.raises(StepFailed, match="metric") as failed:
        collected(tmp_path, code, lines, metrics="m")
    assert failed.value.error_class is ErrorClass.USER


def test_a_file_that_becomes_a_link_after_it_was_hashed_is_not_stored(tmp_path: Path, lines: list[str]) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    code = "import os\nopen(os.environ['HOLDFAST_OUTPUTS'] + '/model', 'w').write('canary')"
    made = execution(tmp_path, code)
    try:
        made.execute(lines.append)
        file = made.collect().files[0]
        place = made._scratch / "outputs" / "model"
        with socket.create_server(("127.0.0.1", 0)) as sink:
            url = f"http://127.0.0.1:{sink.getsockname()[1]}/x?y"
            more = {"object_key": "k", "expires_at": "2100-01-01T00:00:00Z"}
            grants = Grants(grants=[Grant(**file.model_dump(exclude={"parts"}), method="PUT", url=url, **more)])
            for target in (secret, made._scratch / "outputs" / "beside"):
                place.unlink()
                (made._scratch / "outputs" / "beside").write_text("canary")
                place.symlink_to(target)
                with pytest.raises(StepFailed, match="link") as failed:
                    made.publish(grants)
                assert failed.value.error_class is ErrorClass.USER
    finally:
        made.__exit__()


def test_the_agent_and_the_command_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from types import SimpleNamespace as N\n"
        "from holdfast.dataplane.local import LocalDataPlane; from holdfast.dataplane.plane import CodeSource\n"
        "from holdfast.wire.run import Staging\n"
        "e = LocalDataPlane([], Path(sys.argv[1])).execution(N(id='r', command=['python', 's.py'], parameters={}, resources={}, outputs={}, environment_kind='interpreter', environment_reference=sys.executable))\n"
        "e.__enter__(); e.stage(CodeSource(sys.argv[2]), Staging(grants=[], datasets=[])); e.execute(lambda line: print(line, flush=True))"
    )
    scratch, checkout = tmp_path / "other", tmp_path / "code"
    scratch.mkdir()
    checkout.mkdir()
    (tmp_path / "scratch").mkdir()
    (checkout / "s.py").write_text("import time, os\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-c", program, scratch, checkout], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while (left := _processes_of(tmp_path)) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert not left
    assert not Path(f"/proc/{child}").exists()
