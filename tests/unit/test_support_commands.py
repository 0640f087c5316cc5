"""The commands that start what the tests run on: they say how they are called, and start nothing when they are called wrongly."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["tests.support.kubernetes", "--help"], 0, "how many nodes"),
        (["tests.support.kubernetes", "two"], 2, "invalid int value: 'two'"),
        (["tests.support.s3", "--help"], 0, "throw-away S3 server"),
        (["tests.support.s3", "two"], 2, "unrecognized arguments: two"),
    ],
)
def test_a_command_says_how_it_is_called(arguments: list[str], exit_code: int, says: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == exit_code, done.stderr
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
