"""What the agent's image is made of is checked before it is made, and laid out where the base's Python finds it."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tools import agent_image

CHECKOUT = Path(__file__).parents[2]
PINNED = {"COMPILER_IMAGE": f"compiler@sha256:{'a' * 64}", "PYTHON_IMAGE": f"python@sha256:{'b' * 64}"}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_build_is_sent_what_the_dockerfile_copies_and_nothing_else() -> None:
    ignored = [line for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert ignored[0] == "*"
    assert sorted(ignored[1:]) == sorted(f"!{source}" for source in copied)


def test_pinned_bases_with_python_alone_are_taken(tmp_path: Path) -> None:
    agent_image.check(PINNED, (3, 11), tmp_path)


@pytest.mark.parametrize("name", PINNED)
@pytest.mark.parametrize("reference", ["", "python", "python:3.12", "python:3.12@sha256:abc", f"@sha256:{'b' * 64}"])
def test_a_base_that_is_not_pinned_is_refused(name: str, reference: str, tmp_path: Path) -> None:
    with pytest.raises(agent_image.Refused, match=rf"^{name} is '.*', and a tag can move: give NAME@sha256:DIGEST$"):
        agent_image.check(PINNED | {name: reference}, (3, 11), tmp_path)


def test_a_python_that_is_too_old_for_the_agent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(agent_image.Refused, match=r"has Python 3\.9: give one with 3.11 or newer"):
        agent_image.check(PINNED, (3, 9), tmp_path)


def test_a_base_that_has_a_holdfast_already_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holdfast").mkdir()
    with pytest.raises(agent_image.Refused, match=r"has a Holdfast in .*: give one with Python alone"):
        agent_image.check(PINNED, (3, 11), tmp_path)


def test_files_can_be_read_and_not_written_and_directories_of_the_base_stay_as_they_are(tmp_path: Path) -> None:
    packages, package, launcher, image = (tmp_path / name for name in ("packages", "holdfast", "launch", "image"))
    packages.mkdir()
    packages.chmod(0o2775)
    (package / "agent").mkdir(parents=True, mode=0o700)
    (package / "agent" / "pod.py").write_text("POD = 1\n")
    (package / "agent" / "pod.py").chmod(0o600)
    launcher.write_text("launch")

    agent_image.lay_out(package, launcher, packages, image)

    laid_out = image / packages.relative_to("/")
    assert (laid_out / "holdfast" / "agent" / "pod.py").read_text() == "POD = 1\n"
    assert mode_of(laid_out / "holdfast" / "agent" / "pod.py") == 0o444
    assert mode_of(laid_out / "holdfast" / "agent") == 0o755
    assert mode_of(laid_out) == 0o2775
    assert mode_of(image / agent_image.LAUNCHER) == 0o555
    assert {path.stat().st_mtime for path in image.rglob("*")} == {0}


def test_a_refusal_ends_the_build_with_its_reason(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", agent_image.__file__],
        env={**os.environ, **PINNED, "PYTHON_IMAGE": "python:3.12"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "PYTHON_IMAGE is 'python:3.12', and a tag can move: give NAME@sha256:DIGEST\n",
    )
    assert list(tmp_path.iterdir()) == []
