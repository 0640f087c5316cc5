"""The command line against the API inside Airflow's api-server, as a person uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from demo.platform import PROJECT

if TYPE_CHECKING:
    from tests.support.airflow import Installation


def holdfast(
    place: Installation, *arguments: str, stdin: str = "", token: str = ""
) -> subprocess.CompletedProcess[bytes]:
    environment = {"HOLDFAST_API_URL": place.api_url, "HOLDFAST_PROJECT": PROJECT, "HOLDFAST_TOKEN": token}
    return subprocess.run(
        [Path(sys.executable).parent / "holdfast", *arguments],
        input=stdin.encode(),
        capture_output=True,
        check=False,
        timeout=120,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
    )


@pytest.fixture(scope="module")
def token(place: Installation) -> str:
    done = holdfast(
        place, "login", "--user", "maintainer", "--password-stdin", stdin=place.passwords["maintainer"] + "\n"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def test_a_wrong_password_is_one_sentence_that_does_not_repeat_it(place: Installation) -> None:
    done = holdfast(place, "login", "--user", "maintainer", "--password-stdin", stdin="canary-password\n")
    assert (done.returncode, b"with this password" in done.stderr, b"canary" in done.stderr) == (5, True, False), (
        done.stderr
    )


def test_a_person_acts_under_their_own_name(place: Installation, token: str) -> None:
    assert holdfast(place, "project", "show", token=token).returncode == 0
    made = holdfast(place, "environment", "lock", "typed", "--interpreter", sys.executable, "-o", "json", token=token)
    assert b'"created_by": "user:maintainer"' in made.stdout, made.stderr


def test_bytes_are_verified_and_fetched_and_their_grants_are_in_no_log(
    place: Installation, begun: dict[str, str], token: str, tmp_path: Path
) -> None:
    """Airflow's api-server compresses what it is not told to leave alone, and writes an access log."""
    place.check_end("nosy", begun["nosy"])
    [run] = place.runs("nosy", begun["nosy"])
    for artifact in place.governance.artifacts.list(PROJECT, run=run.id).items:
        verified = holdfast(place, "artifact", "verify", str(artifact.id), token=token)
        assert verified.returncode == 0, verified.stderr
        target = tmp_path / str(artifact.id)
        fetched = holdfast(place, "artifact", "get", str(artifact.id), "--to", str(target), token=token)
        assert (fetched.returncode, target.stat().st_size) == (0, artifact.size_bytes), fetched.stderr
    log = (place.state.root / "logs" / "api-server.log").read_text()
    assert "/holdfast/api/v1/objects/" in log
    grants = [line for line in log.splitlines() if "grant_token" in line]
    assert grants
    assert [line for line in grants if "grant_token=%2A%2A%2A" not in line and "grant_token=***" not in line] == []
