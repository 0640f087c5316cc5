"""The agent, as the process that it is: every bad input ends in one message with a class and a remedy."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import ask, failure, peak_of

PIECE = 1 << 20


SIGNED = "x-amz-meta-holdfast"


class Sink(BaseHTTPRequestHandler):
    """An object store of two verbs that keeps digests and forgets bytes."""

    received: dict[str, tuple[str, int]]
    content: dict[str, bytes]
    failures: list[int]

    def do_PUT(self) -> None:
        hashed, size = hashlib.sha256(), int(self.headers["Content-Length"])
        left = size
        while left and (piece := self.rfile.read(min(left, PIECE))):
            hashed.update(piece)
            left -= len(piece)
        if self.headers[SIGNED] != "as given":
            self.failures.append(403)
        if self.failures:
            self.send_response(self.failures.pop())
            self.end_headers()
            return
        if left == 0:
            self.received[self.path.split("?")[0]] = (hashed.hexdigest(), size)
        self.send_response(201)
        self.end_headers()
        self.wfile.write(b'{"version_id": "v1"}')

    def do_GET(self) -> None:
        body = self.content.get(self.path.split("?")[0])
        self.send_response(200 if body is not None and self.headers[SIGNED] == "as given" else 403)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[tuple[str, type[Sink]]]:
    handler = type("Sink", (Sink,), {"received": {}, "content": {}, "failures": []})
    for port in range(21000, 22000):
        try:
            server = ThreadingHTTPServer(("127.0.0.1", port), handler)
            break
        except OSError:
            continue
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}", handler
    server.shutdown()
    server.server_close()


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def grant(url: str, name: str, content: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "url": f"{url}/{name}?signature=canary",
        "headers": {SIGNED: "as given"},
        "digest": digest_of(content),
        "size_bytes": len(content),
        **changes,
    }


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "steps").mkdir(parents=True)
    (root / "steps" / "train.py").write_text("print('hi')\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)
    (root / "untracked.txt").write_text("beside the commit")
    return root


def commit_of(repository: Path) -> str:
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.strip()


def commit_all(repository: Path) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["add", "."], [*identity, "commit", "-qm", "more"]):
        subprocess.run(["git", *command], cwd=repository, check=True, capture_output=True)
    return commit_of(repository)


@pytest.fixture
def order(tmp_path: Path, repository: Path) -> dict[str, Any]:
    scratch, landing = tmp_path / "scratch", tmp_path / "landing"
    scratch.mkdir()
    landing.mkdir()
    (landing / "rows.csv").write_bytes(b"1,2\n")
    return {
        "scratch": str(scratch),
        "code": {"checkout": str(repository), "commit": commit_of(repository), "git_directory": None, "path": ""},
        "parameters": {"max_depth": 4},
        "grants": [],
        "datasets": [
            {
                "name": "data",
                "source": landing.as_uri(),
                "source_type": "file",
                "files": [{"path": "rows.csv", "digest": digest_of(b"1,2\n"), "size_bytes": 4}],
            }
        ],
        "data_roots": [str(landing)],
    }


def test_code_inputs_and_parameters_are_in_place_and_nothing_beside_the_commit(order, sink, tmp_path: Path) -> None:
    url, store = sink
    store.content["/model"] = b"a model"
    order["grants"] = [grant(url, "model", b"a model")]
    assert ask("stage", order) == {"result": {}}
    scratch = tmp_path / "scratch"
    assert (scratch / "inputs/data/rows.csv").read_bytes() == b"1,2\n"
    assert (scratch / "inputs/model").read_bytes() == b"a model"
    assert (scratch / "inputs/model").stat().st_mode & 0o777 == 0o400
    assert json.loads((scratch / "parameters.json").read_text()) == {"max_depth": 4}
    assert (scratch / "code/steps/train.py").exists()
    assert not (scratch / "code/untracked.txt").exists()
    assert list((scratch / "outputs").iterdir()) == []


def test_two_inputs_that_would_be_one_file_are_refused(order, sink) -> None:
    url, store = sink
    store.content["/model"] = b"a model"
    order["grants"] = [grant(url, "model", b"a model"), grant(url, "model", b"a model")]
    kind, message = failure("stage", order)
    assert (kind, "two inputs would be 'model'" in message) == ("user", True)


def test_granted_objects_are_hashed_and_nothing_of_them_is_kept(sink, tmp_path: Path) -> None:
    url, store = sink
    content = {"a": b"a" * (3 << 20), "b": b"", "c": b"c"}
    store.content.update({f"/{name}": body for name, body in content.items()})
    grants = [grant(url, name, body) for name, body in content.items()]
    digests = {name: digest_of(body) for name, body in content.items()}
    assert ask("hash", {"grants": grants}) == {"result": {"digests": digests}}
    store.content["/c"] = b"longer"
    kind, message = failure("hash", {"grants": grants})
    assert (kind, "'c' of the source has 6 bytes, and 1 were announced" in message) == ("data", True)


def test_a_dataset_file_with_another_digest_stops_the_run_and_shows_both(order, tmp_path: Path) -> None:
    (tmp_path / "landing/rows.csv").write_bytes(b"1,3\n")
    kind, message = failure("stage", order)
    assert kind == "data"
    assert digest_of(b"1,2\n") in message
    assert digest_of(b"1,3\n") in message


def test_a_dataset_file_that_is_gone_is_named(order, tmp_path: Path) -> None:
    (tmp_path / "landing/rows.csv").unlink()
    assert "rows.csv" in failure("stage", order)[1]


def test_an_artifact_with_another_digest_stops_the_run_and_is_not_left_behind(order, sink, tmp_path: Path) -> None:
    url, store = sink
    store.content["/model"] = b"b model"
    order["grants"] = [grant(url, "model", b"a model")]
    kind, message = failure("stage", order)
    assert (kind, "input 'model'" in message, "canary" in message) == ("data", True, False)
    assert not (tmp_path / "scratch/inputs/model").exists()


def test_a_refused_grant_is_a_platform_error_without_the_url(order, sink) -> None:
    order["grants"] = [grant(sink[0], "model", b"a model")]
    kind, message = failure("stage", order)
    assert (kind, "403" in message, "canary" in message, "http" in message) == ("platform", True, False, False)


@pytest.mark.parametrize(
    ("source", "kind"), [("file:///etc", "policy"), ("s3://bucket/x", "user"), ("file://host/x", "user")]
)
def test_a_source_beyond_the_data_roots_is_not_read(order, source: str, kind: str) -> None:
    assert failure("survey", {"source": source, "data_roots": order["data_roots"]})[0] == kind
    order["datasets"][0]["source"] = source
    assert failure("stage", order)[0] == kind


def test_without_data_roots_nothing_is_read(order) -> None:
    assert failure("survey", {"source": order["datasets"][0]["source"], "data_roots": []})[0] == "policy"


def test_a_root_is_not_left_through_a_link(order, tmp_path: Path) -> None:
    (tmp_path / "landing/out").symlink_to("/etc")
    source = (tmp_path / "landing/out").as_uri()
    assert failure("survey", {"source": source, "data_roots": order["data_roots"]})[0] == "policy"
    assert (
        "symbolic link"
        in failure("survey", {"source": (tmp_path / "landing").as_uri(), "data_roots": order["data_roots"]})[1]
    )


def test_an_empty_directory_is_not_a_dataset(order, tmp_path: Path) -> None:
    (tmp_path / "landing/rows.csv").unlink()
    assert (
        "holds no file"
        in failure("survey", {"source": (tmp_path / "landing").as_uri(), "data_roots": order["data_roots"]})[1]
    )


def test_a_commit_is_laid_out_with_its_directories_programs_and_inner_links(order, repository: Path, tmp_path) -> None:
    (repository / "steps" / "run.sh").write_text("#!/bin/sh\n")
    (repository / "steps" / "run.sh").chmod(0o755)
    (repository / "latest").symlink_to("steps/train.py")
    (repository / "steps" / "up").symlink_to("../latest")
    order["code"]["commit"] = commit_all(repository)
    assert ask("stage", order) == {"result": {}}
    code = tmp_path / "scratch/code"
    assert os.access(code / "steps/run.sh", os.X_OK)
    assert not os.access(code / "steps/train.py", os.X_OK)
    assert (code / "steps/up").read_text() == "print('hi')\n"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "steps/../../outside"])
def test_a_link_in_the_commit_that_leaves_it_is_refused(order, repository: Path, target: str) -> None:
    (repository / "link").symlink_to(target)
    order["code"]["commit"] = commit_all(repository)
    assert failure("stage", order) == ("user", "'link' in the commit is a link that leaves the repository")


def test_a_commit_that_is_not_there_is_named(order) -> None:
    order["code"]["commit"] = "d" * 40
    kind, message = failure("stage", order)
    assert (kind, "d" * 40 in message) == ("user", True)


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    path = tmp_path / "scratch" / "outputs"
    path.mkdir(parents=True)
    return path


def collect(outputs: Path, **declared: str) -> dict[str, Any]:
    return {"scratch": str(outputs.parent), "outputs": declared}


def test_outputs_are_hashed_and_metrics_read(outputs: Path) -> None:
    (outputs / "model.bin").write_bytes(b"m")
    (outputs / "empty").write_bytes(b"")
    (outputs / "metrics.json").write_text('{"accuracy": 0.5, "rows": 3}')
    (outputs / "plots/deep").mkdir(parents=True)
    (outputs / "plots/deep/a.svg").write_bytes(b"<svg/>")
    found = ask("collect", collect(outputs, model="model.bin", empty="empty", metrics="metrics.json", plots="plots/"))[
        "result"
    ]
    assert {f["name"]: f["digest"] for f in found["files"]} == {
        "model": digest_of(b"m"),
        "empty": digest_of(b""),
        "metrics": digest_of(b'{"accuracy": 0.5, "rows": 3}'),
        "plots/deep/a.svg": digest_of(b"<svg/>"),
    }
    assert found["metrics"] == {"accuracy": 0.5, "rows": 3.0}


def test_an_output_that_is_missing_is_named(outputs: Path) -> None:
    assert failure("collect", collect(outputs, model="model.bin")) == ("user", "output 'model' was not written")
    (outputs / "plots").mkdir()
    assert failure("collect", collect(outputs, plots="plots/"))[1] == "output 'plots' is a directory without a file"


def test_a_file_that_was_not_declared_is_named(outputs: Path) -> None:
    (outputs / "stray").write_bytes(b"x")
    assert "'stray' was written and not declared" in failure("collect", collect(outputs))[1]


def test_a_file_is_not_a_directory(outputs: Path) -> None:
    (outputs / "model").mkdir()
    assert "is a directory" in failure("collect", collect(outputs, model="model"))[1]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "model.bin"])
def test_a_link_is_never_followed(outputs: Path, target: str) -> None:
    (outputs / "model.bin").write_bytes(b"m")
    (outputs / "link").symlink_to(target)
    assert "'link' is a symbolic link" in failure("collect", collect(outputs, model="model.bin", link="link"))[1]


def test_a_link_in_the_place_of_the_outputs_is_not_followed(outputs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.bin").write_bytes(b"not made here")
    outputs.rmdir()
    outputs.symlink_to(elsewhere)
    assert failure("collect", collect(outputs, model="model.bin")) == (
        "user",
        "the directory 'outputs' has been replaced by a link or a file",
    )
    one = grant("http://127.0.0.1:1", "model", b"not made here")
    assert "replaced by a link" in failure("publish", publish(outputs, one, "model.bin"))[1]
    outputs.unlink()
    outputs.write_bytes(b"a file")
    assert "replaced by a link or a file" in failure("collect", collect(outputs))[1]


def test_a_fifo_does_not_hang_the_agent(outputs: Path) -> None:
    os.mkfifo(outputs / "pipe")
    assert "neither a file nor a directory" in failure("collect", collect(outputs, pipe="pipe"))[1]


def test_an_output_path_does_not_leave_the_directory(outputs: Path) -> None:
    (outputs.parent / "secret").write_bytes(b"s")
    assert "leaves its directory" in failure("collect", collect(outputs, model="../secret"))[1]


def test_a_file_name_that_is_not_utf8_is_refused(outputs: Path) -> None:
    Path(os.fsdecode(os.fsencode(outputs) + b"/\xff.bin")).write_bytes(b"x")
    kind, message = failure("collect", collect(outputs, model="model"))
    assert (kind, "is not UTF-8" in message) == ("user", True)


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": "b"}', '{"a": NaN}', '{"a": true}'])
def test_metrics_are_an_object_of_finite_numbers(outputs: Path, text: str) -> None:
    (outputs / "metrics.json").write_text(text)
    assert failure("collect", collect(outputs, metrics="metrics.json"))[0] == "user"


def publish(outputs: Path, one: dict[str, Any], path: str) -> dict[str, Any]:
    return {"scratch": str(outputs.parent), "grants": [one], "paths": {one["name"]: path}}


def test_an_output_is_stored_and_tried_again_when_the_store_hiccups(outputs: Path, sink) -> None:
    url, store = sink
    store.failures += [503, 500]
    (outputs / "model.bin").write_bytes(b"m")
    assert ask("publish", publish(outputs, grant(url, "model", b"m"), "model.bin")) == {
        "result": {"versions": {"model": "v1"}}
    }
    assert store.received["/model"] == (digest_of(b"m")[7:], 1)


def test_an_output_that_changed_after_it_was_hashed_is_not_stored(outputs: Path, sink) -> None:
    url, store = sink
    (outputs / "model.bin").write_bytes(b"other bytes")
    kind, message = failure("publish", publish(outputs, grant(url, "model", b"the bytes!!"), "model.bin"))
    assert (kind, "changed while it was stored" in message) == ("user", True)
    assert "/model" not in store.received


def test_a_store_that_does_not_answer_is_a_platform_error(outputs: Path) -> None:
    (outputs / "model.bin").write_bytes(b"m")
    kind, message = failure("publish", publish(outputs, grant("http://127.0.0.1:1", "model", b"m"), "model.bin"))
    assert (kind, "canary" in message) == ("platform", False)


@pytest.mark.timeout(300)
def test_a_file_of_five_gibibytes_streams_through_flat_memory(outputs: Path, sink) -> None:
    url, store = sink
    size = 5 << 30
    with (outputs / "model.bin").open("wb") as file:
        file.truncate(size)
    found, peak = peak_of("collect", collect(outputs, model="model.bin"))
    assert (found["files"][0]["size_bytes"], peak < 60) == (size, True), peak
    one = {
        "name": "model",
        "url": f"{url}/model?s",
        "headers": {SIGNED: "as given"},
        "digest": found["files"][0]["digest"],
        "size_bytes": size,
    }
    _, peak = peak_of("publish", publish(outputs, one, "model.bin"))
    assert peak < 60, peak
    assert store.received["/model"] == (one["digest"][7:], size)
