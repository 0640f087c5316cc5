"""Where a service token must not be: with the user's code, in what it says, in what Airflow keeps, in the record."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from demo.platform import PROJECT

from tests.support.airflow import VAULT

if TYPE_CHECKING:
    from tests.support.airflow import Installation


def forms(secret: str) -> set[str]:
    """Return how a text may hold a secret: plain, percent-encoded, and by base64 at each of its three offsets."""
    found = {secret, quote(secret, safe="")}
    for before in range(3):
        text = base64.b64encode(b"=" * before + secret.encode()).decode()
        found.add(text[4:-4])  # without what depends on the neighbours
        found.add(text[4:-4].translate(str.maketrans("+/", "-_")))
    return found


@pytest.fixture(scope="module")
def nosy(place: Installation, begun: dict[str, str]) -> str:
    place.check_end("nosy", begun["nosy"])
    return begun["nosy"]


def test_user_code_gets_three_variables_of_ours_and_none_of_airflows(place: Installation, nosy: str) -> None:
    [run] = place.runs("nosy", nosy)
    [artifact] = place.governance.artifacts.list(PROJECT, run=run.id).items
    content = place.platform.objects.read(artifact.object_key, artifact.version_id, bytes.fromhex(artifact.digest[7:]))
    environment = json.loads(b"".join(content))
    assert {name for name in environment if name.startswith("HOLDFAST")} == {
        "HOLDFAST_INPUTS",
        "HOLDFAST_PARAMETERS",
        "HOLDFAST_OUTPUTS",
    }
    assert sorted(set(environment) - {name for name in environment if name.startswith("HOLDFAST")}) == [
        "HOME",
        "LANG",
        "PATH",
        "PYTHONHASHSEED",
        "PYTHONUNBUFFERED",
        "TMPDIR",
    ]
    assert not any(form in value for value in environment.values() for form in forms(place.tokens[PROJECT]))


def test_tokens_that_user_code_finds_and_prints_are_masked(place: Installation, nosy: str) -> None:
    """The local data plane has no isolation, so they are found; the log must not keep them."""
    log = place.log("nosy", nosy, "look")
    assert "tokens found: 2" in log
    assert "*** ***" in log
    assert not [form for form in forms(place.tokens[PROJECT]) if form in log]
    assert place.tokens[VAULT] not in log  # nobody in this process has been told of this one; it is known by its shape


def test_no_log_and_no_table_holds_the_token(place: Installation, nosy: str, begun: dict[str, str]) -> None:
    for dag, end in (("again", "success"), ("failures", "failed"), ("heard", "success")):
        place.check_end(dag, begun[dag], end)
    secret = forms(place.tokens[PROJECT])
    logs = [path for path in (place.state.root / "logs").rglob("*") if path.is_file()]
    for part in ("task_id=look", "dag-files", "scheduler.log", "triggerer.log"):
        assert any(part in str(path) for path in logs), part
    assert not [(path, form) for path in logs for form in secret if form in path.read_text(errors="replace")]
    for database, kept in (("airflow", "steps/nosy.py"), ("holdfast", "steps/nosy.py")):
        command = [place.postgres.binaries / "pg_dump", "-h", place.postgres.directory, "-U", "postgres", database]
        dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert kept in dump  # rendered templates, XComs, Runs are in it
        assert not [form for form in secret if form in dump], database
