"""The ledger's commands, as processes: a key, a log that grows, a proof for a stranger, a verification."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from holdfast.service.governance import GovernanceService
from holdfast.wire.project import ProjectRequest
from tests.support.command_line import HOLDFAST, holdfast, said
from tests.support.postgres import PostgresServer


@pytest.fixture(scope="module")
def environment(platform_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("ledger")
    return {
        **platform_env,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOLDFAST_PROOF_AGE_LIMIT_S": "3600",
        "HOLDFAST_LEDGER_LOG": str(root / "log"),
        "HOLDFAST_LEDGER_KEY": str(root / "log.key"),
        "HOLDFAST_LEDGER_COPIES": f"{root / 'worm'}, {root / 'witness'}",
    }


@pytest.fixture(scope="module")
def key(environment: dict[str, str]) -> str:
    made = said(environment, "ledger", "key", "example.org/log", environment["HOLDFAST_LEDGER_KEY"])
    assert Path(made["place"]).stat().st_mode & 0o777 == 0o600
    return str(made["verifier_key"])


@pytest.fixture(scope="module")
def running(environment: dict[str, str], key: str, admin: GovernanceService) -> dict[str, Any]:
    """A log that a process has extended until nothing waited, and that has ended well when it was asked to."""
    for number in range(20):
        admin.projects.create(ProjectRequest(name=f"p{number}", owner="tests"))
    return extended(environment, 20)


def extended(environment: dict[str, str], published: int) -> dict[str, Any]:
    process = subprocess.Popen([*HOLDFAST, "ledger", "run"], env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while (status := said(environment, "ledger", "status"))["waiting"] or status["published"] < published:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, status
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    return status


def test_the_status_says_how_far_the_log_has_come(running: dict[str, Any]) -> None:
    assert running["size"] == running["published"] >= 20
    assert running["proof_age_s"] == 0
    assert running["checkpoint_at"]


def test_a_proof_is_checked_by_the_verifier_that_the_command_prints(
    environment: dict[str, str], running: dict[str, Any], key: str, tmp_path: Path
) -> None:
    event = said(environment, "audit", "list", "--platform", "--direct")["items"][0]["id"]
    proof, verifier = tmp_path / "event.tlog-proof", tmp_path / "verify_proof.py"
    verifier.write_text(holdfast(environment, "audit", "verifier").stdout)
    assert holdfast(environment, "audit", "prove", event, "--platform", "--direct", "--to", str(proof)).returncode == 0
    command = [sys.executable, "-I", "-S", str(verifier), "--key", key, str(proof)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert (done.returncode, event in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_whole_log_is_verified_and_what_was_changed_ends_with_exit_code_6(
    environment: dict[str, str], running: dict[str, Any], key: str
) -> None:
    root = Path(environment["HOLDFAST_LEDGER_LOG"])
    known = root.parent / "witness" / "checkpoint"
    found = said(environment, "audit", "verify", "--key", key, "--known", str(known))
    assert (found["size"], found["events"], found["findings"]) == (running["size"], running["size"], [])
    assert said(environment, "audit", "verify", "--key", key, "--without-database")["events"] == 0
    bundle = root / "tile" / "entries" / "000.p" / str(running["size"])
    content = bundle.read_bytes()
    bundle.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    done = holdfast(environment, "audit", "verify", "--key", key, "-o", "json")
    bundle.write_bytes(content)
    assert done.returncode == 6
    assert json.loads(done.stdout)["first_bad_index"] == running["size"] - 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("audit", "prove", "--platform", "--direct", "00000000-0000-0000-0000-000000000000"), 3, "no audit event"),
        (("audit", "verify", "--key", "nowhere.pub"), 2, "neither a verifier key nor a file"),
        (("audit", "verify", "--key", "example.org/log+00000000+AAAA"), 2, "no verifier key"),
        (("ledger", "key", "has space", "/tmp/none.key"), 2, "cannot name a key"),
    ],
)
def test_what_is_wrong_is_told_with_the_way_out(
    environment: dict[str, str], running: dict[str, Any], words: tuple[str, ...], code: int, message: str
) -> None:
    done = holdfast(environment, *words)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_a_key_that_others_may_read_and_a_key_that_is_there_already_are_refused(
    environment: dict[str, str], key: str
) -> None:
    path = Path(environment["HOLDFAST_LEDGER_KEY"])
    path.chmod(0o644)
    done = holdfast(environment, "ledger", "run")
    path.chmod(0o600)
    assert (done.returncode, "chmod 600" in done.stderr) == (2, True), done.stderr
    content = path.read_text()
    assert holdfast(environment, "ledger", "key", "example.org/other", str(path)).returncode == 2
    assert path.read_text() == content


def test_events_are_kept_as_long_as_it_was_said_and_one_is_erased(
    environment: dict[str, str], running: dict[str, Any], database: tuple[str, str], postgres: PostgresServer
) -> None:
    name = str(make_url(database[0]).database)
    login = postgres.create_login(f"{name}_disposer", member_of="holdfast_disposer")
    disposer = {**environment, "HOLDFAST_DISPOSER_URL": postgres.url(name, login)}
    rule = said(environment, "ledger", "keep", "login", "--days", "365", "--quota", "1000", "--reason", "the law")
    assert (rule["event_class"], rule["period_days"], rule["quota"]) == ("login", 365, 1000)
    found = said(environment, "ledger", "segments")
    assert [one["next"] for one in found["segments"]] == ["keep"] * 6
    assert found["retention"] == [rule]
    defined = said(environment, "audit", "list", "--platform", "--direct", "--action", "audit_retention.defined")[
        "items"
    ]
    assert [(one["target_id"], one["content"]) for one in defined] == [
        (
            "login",
            {
                "rule": one["content"]["rule"],
                "period_days": 365,
                "quota": 1000,
                "defined_at": one["content"]["defined_at"],
            },
        )
        for one in defined
    ]
    assert "it is open" in holdfast(environment, "ledger", "segments").stdout
    assert said(disposer, "ledger", "retain") == {"outcomes": []}
    event = said(environment, "audit", "list", "--platform", "--direct", "--action", "project.created")["items"][-1]
    refused = holdfast(disposer, "audit", "erase", event["id"], "--reason", "asked for")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    erased = said(disposer, "audit", "erase", event["id"], "--reason", "asked for", "--yes")
    assert erased["event"] == event["id"]
    shown = said(environment, "audit", "list", "--platform", "--direct", "--action", "project.created")["items"][-1]
    assert (shown["id"], shown["initiator"], shown["content"]) == (event["id"], "erased", {})
    assert shown["erased_at"]
    missing = holdfast(environment, "ledger", "retain")
    assert (missing.returncode, "HOLDFAST_DISPOSER_URL" in missing.stderr) == (2, True)


def test_a_log_that_nobody_extends_is_behind_and_the_exit_code_says_so(
    environment: dict[str, str], running: dict[str, Any], admin: GovernanceService
) -> None:
    admin.projects.create(ProjectRequest(name="waits", owner="tests"))
    impatient = {**environment, "HOLDFAST_PROOF_AGE_LIMIT_S": "1"}
    deadline = time.monotonic() + 60
    while (done := holdfast(impatient, "ledger", "status", "-o", "json")).returncode == 0:
        assert time.monotonic() < deadline, done.stdout
    status = json.loads(done.stdout)
    assert (done.returncode, status["is_behind"], status["limit_s"]) == (1, True, 1)
    assert status["waiting"] >= 1
    assert status["proof_age_s"] > 1
    assert said(environment, "ledger", "status")["is_behind"] is False


@pytest.mark.parametrize("words", ["ledger status", "ledger segments", "audit verify --key {key}"])
def test_a_database_that_is_away_is_said_to_be_so(
    environment: dict[str, str], running: dict[str, Any], key: str, words: str
) -> None:
    away = {**environment, "HOLDFAST_DATABASE_URL": "postgresql+psycopg://nobody@/none?host=/nonexistent"}
    done = holdfast(away, *words.format(key=key).split())
    assert done.returncode == 7, done.stderr
    assert "the governance database does not answer" in done.stderr


def test_a_log_that_is_not_there_is_named(environment: dict[str, str], running: dict[str, Any], key: str) -> None:
    done = holdfast({**environment, "HOLDFAST_LEDGER_LOG": "/nonexistent"}, "audit", "verify", "--key", key)
    assert (done.returncode, "there is no log in /nonexistent" in done.stderr) == (3, True), done.stderr


def test_verify_says_how_far_the_copies_go_and_misses_what_was_taken_away(
    environment: dict[str, str], running: dict[str, Any], key: str, tmp_path: Path
) -> None:
    said(environment, "ledger", "keep", "read", "--reason", "so that there is one more checkpoint")
    status = extended(environment, running["published"] + 1)
    [worm, _] = environment["HOLDFAST_LEDGER_COPIES"].split(", ")
    shutil.copytree(worm, tmp_path / "copy")
    own = {**environment, "HOLDFAST_LEDGER_COPIES": f"{tmp_path / 'copy'},{tmp_path / 'empty'}"}
    whole, empty = said(own, "audit", "verify", "--key", key)["copies"]
    assert (whole["newest"], whole["checkpoints"] > 1) == (status["published"], True)
    assert empty == {"place": str(tmp_path / "empty"), "checkpoints": 0, "newest": 0}
    (tmp_path / "copy" / "checkpoint").unlink()
    min((tmp_path / "copy" / "checkpoints").iterdir()).unlink()
    done = holdfast(own, "audit", "verify", "--key", key)
    assert (done.returncode, "checkpoints up to" in done.stdout) == (6, True), done.stdout
    assert "none of them is about an event" in done.stderr
