"""Process 1 of a step's container, compiled and run: it ends as the command ends, and what the command prints holds no secret."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.debian import require
from tests.support.secret_forms import written_forms

SOURCE = Path(__file__).parents[2] / "provider" / "holdfast" / "dataplane" / "agent" / "launch.c"
SECRET = 'canary/of a "step\'s" secret+é🙂'
# Writes pieces as they come, each by itself.
WRITE = "import os, sys, json\nfor piece in json.loads(sys.argv[1]): os.write(1, bytes.fromhex(piece))"

Launch = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require({"gcc": "gcc", "ld": "binutils"})
    made = tmp_path_factory.mktemp("launch") / "launch"
    subprocess.run(["gcc", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o", made, SOURCE], check=True)
    return made


@pytest.fixture(scope="module")
def launch(program: Path) -> Launch:
    def run(*command: str, **secrets: str) -> subprocess.CompletedProcess[bytes]:
        environment = {"PATH": os.environ["PATH"], "HOLDFAST_SECRETS": ",".join(secrets), **secrets}
        return subprocess.run([program, *command], env=environment, capture_output=True, check=False, timeout=60)

    return run


def said(launch: Launch, content: bytes, *cuts: int, **secrets: str) -> bytes:
    """Return what comes of something that is printed in pieces."""
    bounds = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    pieces = [content[begin:end].hex() for begin, end in pairwise(bounds)]
    done = launch(sys.executable, "-c", WRITE, json.dumps(pieces), **secrets)
    assert done.returncode == 0, done.stderr
    return done.stdout


def forms(secret: str) -> list[bytes]:
    """Return a secret as it may be written."""
    return [form.encode() for form in written_forms(secret)]


@pytest.mark.parametrize("number", range(7))
def test_a_secret_is_masked_in_every_form(launch: Launch, number: int) -> None:
    form = forms(SECRET)[number]
    assert said(launch, b"before " + form + b" after\n", A=SECRET) == b"before *** after\n"


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode], ids=lambda encode: encode.__name__)
def test_a_secret_inside_base64_is_masked(launch: Launch, before: int, encode: Callable[[bytes], bytes]) -> None:
    content = encode(b"x" * before + SECRET.encode() + b"and more")
    found = said(launch, content, A=SECRET)
    assert b"***" in found
    assert encode(b"\0" * 3 + SECRET.encode()[(3 - before % 3) % 3 :])[4:20] not in found


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0", min_codepoint=33), min_size=6, max_size=40),
    st.lists(st.binary(max_size=30), min_size=2, max_size=4),
    st.lists(st.integers(0, 1000), max_size=6),
)
def test_wherever_output_is_cut_no_secret_passes_and_nothing_else_is_lost(
    launch: Launch, secret: str, around: list[bytes], cuts: list[int]
) -> None:
    secret = secret.strip()
    if len(secret.encode()) < 6 or any(form in b"".join(around) for form in forms(secret)):
        return
    for form in (forms(secret)[0], forms(secret)[1], forms(secret)[3]):
        content = form.join(around)
        found = said(launch, content, *cuts, A=secret)
        assert not any(each in found for each in forms(secret) if len(each) >= 6)
        if not any(piece in b"".join(around) for piece in (form[:3], form[-3:])):
            assert found.count(b"***") >= len(around) - 1


def test_process_1_says_its_end_on_a_line_of_its_own_on_both_streams(program: Path) -> None:
    command = [program, "sh", "-c", "printf said; printf complained >&2; exit 3"]
    first = subprocess.run(["unshare", "--pid", "--fork", *command], capture_output=True, check=False, timeout=60)
    other = subprocess.run(command, capture_output=True, check=False, timeout=60)

    assert (first.returncode, first.stdout, first.stderr) == (3, b"said\n\x04\n", b"complained\n\x04\n")
    assert (other.returncode, other.stdout, other.stderr) == (3, b"said", b"complained")


def test_several_secrets_the_lines_of_one_and_the_files_of_a_directory_are_masked(
    launch: Launch, program: Path, tmp_path: Path
) -> None:
    key = "-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG9w0BAQEF\nAASCAUAwggE8AgEAAkEAq7BFUpkGp3\n-----END KEY-----\n"
    content = f"one {key.splitlines()[1]} two other-secret three {key.strip()} four"
    found = said(launch, content.encode(), A=key, B="other-secret")
    assert found == b"one *** two *** three *** four"
    directory = tmp_path / "secrets"
    directory.mkdir()
    (directory / "password").write_text("a-mounted-secret\n")
    (directory / "..data").mkdir()
    moved = tmp_path / "launch"
    elsewhere = f'-DDIRECTORIES="{tmp_path}/"'
    subprocess.run(["gcc", "-static", elsewhere, "-o", moved, SOURCE], check=True)
    environment = {"PATH": os.environ["PATH"], "HOLDFAST_SECRETS": "C", "C": str(directory)}
    command = [moved, "sh", "-c", 'cat "$C/password"']
    assert subprocess.run(command, env=environment, capture_output=True, check=True).stdout == b"***\n"


def test_what_is_no_secret_comes_at_once_and_as_it_was(program: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOLDFAST_SECRETS": "A", "A": SECRET}
    command = [program, "sh", "-c", 'printf "can you wait? cana"; sleep 5; printf "ry"']
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        begin, first = time.monotonic(), b""
        while len(first) < len("can you wait? "):
            first += os.read(process.stdout.fileno(), 100)
        assert time.monotonic() - begin < 4
        assert first == b"can you wait? "
        assert process.stdout.read() == b"canary"


def test_a_short_value_is_left_and_its_name_is_not_for_the_command(launch: Launch) -> None:
    assert said(launch, b"abc is abc\n", A="abc") == b"abc is abc\n"
    assert launch("sh", "-c", "env", A=SECRET).stdout.count(b"HOLDFAST_SECRETS") == 0


def test_a_command_ends_as_it_ends_whatever_its_children_go_on_saying(launch: Launch, tmp_path: Path) -> None:
    assert launch("sh", "-c", "exit 7", A=SECRET).returncode == 7
    assert launch("sh", "-c", "kill -TERM $$", A=SECRET).returncode == 128 + signal.SIGTERM
    assert launch("/nowhere/at/all", A=SECRET).returncode == 126
    child = tmp_path / "child"
    done = launch("sh", "-c", f'yes "$A" & echo $! > "{child}"; exit 3', A=SECRET)
    os.kill(int(child.read_text()), signal.SIGKILL)
    assert done.returncode == 3
    assert SECRET.encode() not in done.stdout


def test_a_signal_reaches_the_command(program: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOLDFAST_SECRETS": "A", "A": SECRET}
    command = [program, "sh", "-c", "trap 'echo ended; exit 5' TERM; echo ready; while :; do sleep 0.05; done"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"ended\n"
    assert process.returncode == 5


def test_much_output_passes_whole(launch: Launch) -> None:
    program = "import os, sys\nfor n in range(20000): print(n, os.environ['A'], flush=n % 97 == 0)\nprint('end', file=sys.stderr)"
    done = launch(sys.executable, "-c", program, A=SECRET, PYTHONIOENCODING="utf-8")
    assert done.stdout.decode().splitlines() == [f"{n} ***" for n in range(20000)]
    assert done.stderr == b"end\n"
