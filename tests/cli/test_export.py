"""The export's commands, as processes: an exporter that runs and ends well, what it says of itself, and a replay."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.settings import Platform
from tests.support import receivers
from tests.support.command_line import HOLDFAST, holdfast, said
from tests.support.export import ExportPlace
from tests.support.tls import Authority


@pytest.fixture(scope="module")
def place(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> ExportPlace:
    return ExportPlace.make(platform.engine, tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def environment(platform_env: dict[str, str], place: ExportPlace) -> dict[str, str]:
    return {
        "HOLDFAST_DATABASE_URL": platform_env["HOLDFAST_DATABASE_URL"],
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOLDFAST_LEDGER_LOG": str(place.root / "log"),
        "HOLDFAST_EXPORT_SINKS": str(place.root / "sinks.toml"),
    }


def sinks_of(environment: dict[str, str]) -> dict[str, Any]:
    return {sink["name"]: sink for sink in said(environment, "export", "status")["sinks"]}


def test_an_exporter_runs_to_every_sink_and_says_how_far_it_is_and_what_was_refused(
    place: ExportPlace, environment: dict[str, str], tmp_path: Path
) -> None:
    authority = Authority.make(tmp_path / "authority")
    size = place.publish(30)
    with receivers.webhook(authority, lambda number: "400" if number == 1 else "take") as hook:
        (place.root / "sinks.toml").write_text(
            f'[sinks.archive]\nkind = "files"\ndirectory = "{tmp_path / "out"}"\nlinger_s = 0\n'
            f'[sinks.siem]\nkind = "webhook"\nurl = "{hook.url}"\nkey_file = "{place.root / "hook.key"}"\nbatch = 10\n'
            f'ca_file = "{authority.ca_file}"\nformat = "ocsf"\n'
        )
        process = subprocess.Popen([*HOLDFAST, "export", "run"], env=environment, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        found: list[dict[str, Any]] = []
        while [sink["cursor"] for sink in found] != [size, size]:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline, found
            found = list(sinks_of(environment).values())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert [(sink["name"], sink["dead_letters"], sink["behind"]) for sink in found] == [
            ("archive", 0, 0),
            ("siem", 1, 0),
        ]

        # The two events that say that the sinks were added are not exported yet; they are behind once they are published.
        place.publish()
        assert sinks_of(environment)["archive"]["behind"] == 2
        assert sinks_of(environment)["archive"]["behind_s"] > 0

        letters = said(environment, "export", "dead-letters")["items"]
        assert [(letter["sink"], letter["first"], letter["last"]) for letter in letters] == [("siem", 10, 19)]
        assert "10" in holdfast(environment, "export", "dead-letters", "siem").stdout
        assert said(environment, "export", "dead-letters", "siem", "--replay")["ranges"] == [[10, 19]]
        assert said(environment, "export", "dead-letters", "siem")["items"] == []
        assert len(said(environment, "export", "dead-letters", "--all")["items"]) == 1
        assert said(environment, "export", "dead-letters", "siem", "--replay")["events"] == 0
        assert said(environment, "export", "replay", "siem", "--from", "3", "--to", "5")["events"] == 3

    received = tmp_path / "received.ndjson"
    received.write_text("\n".join(hook.taken) + "\n")
    program = tmp_path / "receiver.py"
    program.write_text(holdfast(environment, "export", "receiver").stdout)
    for files in ([received], sorted((tmp_path / "out").glob("*.ndjson"))):
        command = [sys.executable, "-I", "-S", str(program), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["events"] == size


def test_pausing_and_resuming_say_where_the_sink_is(place: ExportPlace, environment: dict[str, str]) -> None:
    cursor = sinks_of(environment)["archive"]["cursor"]
    assert said(environment, "export", "pause", "archive", "--reason", "moved")["cursor"] == cursor
    assert sinks_of(environment)["archive"]["paused_at"] is not None
    assert said(environment, "export", "resume", "archive")["cursor"] == cursor
    assert sinks_of(environment)["archive"]["paused_at"] is None


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("export", "run", "nobody"), 3, "no sink 'nobody'"),
        (("export", "replay", "nobody", "--from", "0", "--to", "1"), 3, "no sink 'nobody'"),
        (("export", "replay", "archive", "--from", "5", "--to", "100000"), 2, "there are no events 5 to 100000"),
        (("export", "pause", "nobody"), 3, "no exporter has begun with a sink 'nobody'"),
        (("export", "dead-letters", "--replay"), 2, "no sink is named"),
    ],
)
def test_what_is_wrong_is_told_with_the_way_out(
    place: ExportPlace, environment: dict[str, str], words: tuple[str, ...], code: int, message: str
) -> None:
    done = holdfast(environment, *words)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_settings_that_are_missing_and_a_file_that_is_wrong_are_named(
    place: ExportPlace, environment: dict[str, str], tmp_path: Path
) -> None:
    without = {name: value for name, value in environment.items() if name != "HOLDFAST_EXPORT_SINKS"}
    done = holdfast(without, "export", "run")
    assert (done.returncode, "HOLDFAST_EXPORT_SINKS" in done.stderr) == (2, True), done.stderr
    file = tmp_path / "sinks.toml"
    file.write_text('[sinks.siem]\nkind = "webhook"\nurl = "https://siem.example.org/s3cret"\n')
    done = holdfast({**environment, "HOLDFAST_EXPORT_SINKS": str(file)}, "export", "run")
    assert (done.returncode, "'siem'" in done.stderr, str(file) in done.stderr) == (2, True, True), done.stderr
    assert "key_file (Field required)" in done.stderr
    assert "s3cret" not in done.stderr
