"""The command line as a process: settings, files, signals, and the API that it serves."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from holdfast.wire.project import TokenRequest
from tests.cli.conftest import Cli
from tests.support.postgres import PostgresServer
from tests.support.server import free_socket
from tests.support.story import Story

HOLDFAST = str(Path(sys.executable).parent / "holdfast")


def holdfast(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOLDFAST, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
    )


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    name = f"c_{secrets.token_hex(6)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


def test_a_database_goes_up_is_checked_and_goes_down(empty: str) -> None:
    given = {"HOLDFAST_OWNER_URL": empty}
    behind = holdfast("db", "check", **given)
    assert (behind.returncode, "holdfast db upgrade" in behind.stderr) == (4, True)
    up = holdfast("db", "upgrade", "--output", "json", **given)
    assert (up.returncode, json.loads(up.stdout)["before"]) == (0, None)
    assert "already" in holdfast("db", "upgrade", **given).stdout
    assert holdfast("db", "check", **given).returncode == 0
    unasked = holdfast("db", "downgrade", "0001", **given)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)
    assert holdfast("db", "check", **given).returncode == 0
    assert "to 0001" in holdfast("db", "downgrade", "0001", "--yes", **given).stdout
    assert holdfast("db", "upgrade", "no-such", **given).returncode == 2


def test_a_missing_setting_is_named_and_no_value_is_shown(tmp_path: Path) -> None:
    done = holdfast("db", "upgrade")
    assert (done.returncode, "HOLDFAST_OWNER_URL" in done.stderr) == (2, True)
    done = holdfast("serve", HOLDFAST_GRANT_KEY="canary-too-short")
    assert (done.returncode, "HOLDFAST_DATABASE_URL" in done.stderr, "canary" in done.stderr) == (2, True, False)
    done = holdfast("db", "check", HOLDFAST_OWNER_URL="mysql://root:canary@localhost/x")
    assert (done.returncode, "postgresql+psycopg://" in done.stderr, "canary" in done.stderr) == (2, True, False)
    given = {
        "HOLDFAST_DATABASE_URL": "postgresql://u@h/d",
        "HOLDFAST_GRANT_KEY": "k" * 32,
        "HOLDFAST_API_URL": "http://x",
    }
    done = holdfast("serve", **given, HOLDFAST_OBJECTS_ROOT="objects")
    assert (done.returncode, "HOLDFAST_OBJECTS_ROOT" in done.stderr, "absolute" in done.stderr) == (2, True, True)
    done = holdfast("db", "upgrade", HOLDFAST_OWNER_URL_FILE=str(tmp_path / "gone"))
    assert (done.returncode, "HOLDFAST_OWNER_URL_FILE cannot be read" in done.stderr) == (2, True)
    done = holdfast("db", "upgrade", HOLDFAST_OWNER_URL="postgresql+psycopg://owner:canary@127.0.0.1:1/nothing")
    assert (done.returncode, "does not answer" in done.stderr, "canary" in done.stderr) == (7, True, False)


@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({}, 2, "no API is named"),
        ({"HOLDFAST_API_URL": "http://127.0.0.1:1/holdfast/api/v1"}, 2, "there is no token"),
        (
            {"HOLDFAST_API_URL": "http://127.0.0.1:1/holdfast/api/v1", "HOLDFAST_TOKEN_FILE": "/nowhere"},
            2,
            "cannot be read",
        ),
        ({"HOLDFAST_API_URL": "http://127.0.0.1:1/holdfast/api/v1", "HOLDFAST_TOKEN": "hft_\u00e9"}, 2, "no token has"),
        ({"HOLDFAST_API_URL": "http://127.0.0.1:1/holdfast/api/v1", "HOLDFAST_TOKEN": "hft_x"}, 7, "does not answer"),
        ({"HOLDFAST_API_URL": "not a url", "HOLDFAST_TOKEN": "hft_x"}, 2, "not a URL of the Holdfast API"),
        (
            {"HOLDFAST_API_URL": "https://127.0.0.1:1/x", "HOLDFAST_TOKEN": "hft_x", "HOLDFAST_CA_FILE": "/nowhere"},
            2,
            "certificate authorities",
        ),
    ],
)
def test_what_is_missing_is_said_with_its_remedy(environment: dict[str, str], code: int, said: str) -> None:
    done = holdfast("run", "list", "-p", "oncology", **environment)
    assert (done.returncode, said in done.stderr, done.stdout) == (code, True, ""), done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_is_json_too_when_json_is_asked_for(url: str) -> None:
    done = holdfast("run", "list", "-p", "nowhere", "-o", "json", HOLDFAST_API_URL=url, HOLDFAST_TOKEN="user:mia")
    assert (done.returncode, done.stdout) == (3, "")
    error = json.loads(done.stderr)["error"]
    assert (error["title"], bool(error["remedy"])) == ("not found", True)


def test_a_token_comes_from_a_file(url: str, story: Story, tmp_path: Path) -> None:
    made = story.mia.projects.create_token(story.project, TokenRequest(name="file", scope=["project.read"]))
    path = tmp_path / "token"
    path.write_text(made.secret + "\n")
    done = holdfast("project", "list", HOLDFAST_API_URL=url, HOLDFAST_TOKEN_FILE=str(path))
    assert (done.returncode, story.project in done.stdout) == (0, True)


def test_a_reader_that_goes_away_ends_it_quietly(url: str, story: Story) -> None:
    story.succeed()
    environment = {"PATH": os.environ["PATH"], "HOLDFAST_API_URL": url, "HOLDFAST_TOKEN": "user:mia"}
    command = f"{HOLDFAST} audit list --limit 500 -o json -p {story.project} | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" not in done.stderr


def test_direct_opens_the_database_and_names_who_did_it(platform_env: dict[str, str]) -> None:
    name = f"p{secrets.token_hex(5)}"
    given = {**platform_env, "USER": "installer", "LOGNAME": "installer"}
    assert holdfast("--direct", "project", "create", name, "--owner", "o", **given).returncode == 0
    listed = holdfast("--direct", "audit", "list", "-p", name, "-o", "json", **given)
    assert json.loads(listed.stdout)["items"][0]["initiator"] == "system:installer"


@contextmanager
def serving(environment: dict[str, str], *arguments: str) -> Iterator[str]:
    with free_socket() as found:
        port = found.getsockname()[1]
    process = subprocess.Popen(
        [HOLDFAST, "serve", "--port", str(port), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{port}/holdfast/api/v1"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"{url}/health", trust_env=False).is_success:
                    break
            except httpx.HTTPError:
                assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert process.returncode in (0, 130)
    assert "grant_token=" not in said


def test_the_api_alone_answers_to_service_tokens_and_logs_no_grant(
    platform_env: dict[str, str], story: Story, cli: Cli
) -> None:
    made = story.mia.projects.create_token(
        story.project, TokenRequest(name="alone", scope=["project.read", "artifact.content"])
    )
    artifact = story.artifact(story.succeed(), "model")
    with free_socket() as found:
        port = found.getsockname()[1]
    with serving({**platform_env, "HOLDFAST_API_URL": f"http://127.0.0.1:{port}/holdfast/api/v1"}) as url:
        given = {"HOLDFAST_API_URL": url, "HOLDFAST_PROJECT": story.project}
        assert holdfast("run", "list", **given, HOLDFAST_TOKEN=made.secret).returncode == 0
        refused = holdfast("run", "list", **given, HOLDFAST_TOKEN="user:mia")
        assert (refused.returncode, "not a service token" in refused.stderr) == (5, True)
        grant = httpx.get(
            f"{url}/projects/{story.project}/artifacts/{artifact}/grant",
            headers={"Authorization": f"Bearer {made.secret}"},
        ).json()
        assert (
            httpx.get(grant["url"].replace(f":{port}/", f":{url.split(':')[2].split('/')[0]}/")).content == b"a model"
        )


def test_a_port_that_is_taken_is_one_message(platform_env: dict[str, str]) -> None:
    with free_socket() as taken:
        done = holdfast("serve", "--port", str(taken.getsockname()[1]), **platform_env)
    assert (done.returncode, "cannot be listened on" in done.stderr) == (7, True)


def test_a_url_that_leads_elsewhere_is_not_the_apis(url: str) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    with free_socket() as found:
        port = found.getsockname()[1]
    server = HTTPServer(("127.0.0.1", port), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    done = holdfast("project", "list", HOLDFAST_API_URL=f"http://127.0.0.1:{port}", HOLDFAST_TOKEN="hft_x")
    server.shutdown()
    server.server_close()
    assert (done.returncode, "ends in /holdfast/api/v1" in done.stderr) == (2, True), done.stderr


def test_login_needs_an_airflow(url: str) -> None:
    done = holdfast(
        "login", "--user", "mia", "--password-stdin", stdin="pw\n", HOLDFAST_API_URL="http://127.0.0.1:1/v1"
    )
    assert (done.returncode, "not the API inside an Airflow" in done.stderr) == (2, True)
    done = holdfast("login", "--user", "mia", "--password-stdin", stdin="pw\n", HOLDFAST_API_URL=url)
    assert (done.returncode, "answered 404" in done.stderr) == (7, True)
