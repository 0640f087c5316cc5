"""After the user's command: what it wrote, checked against what was declared, hashed, and stored."""

import json
import stat
from pathlib import Path
from typing import Any

from holdfast.dataplane.agent.failure import AgentFailure
from holdfast.dataplane.agent.files import check_directory, check_name, digest_output, inside, walk
from holdfast.dataplane.agent.transfer import Transfers

_METRICS = "metrics"
_METRICS_LIMIT_BYTES = 64 << 10
# What the service takes at most; said here, where it can still be said to whom it concerns.
_MOST_FILES = 10_000
_MOST_METRICS = 1000
_LARGEST = 2**53 - 1
_LONGEST_NAME = 200


def collect(order: dict[str, Any]) -> dict[str, Any]:
    """Return every declared output's files with digest and size, and the metrics when an output has that name.

    Raises:
        AgentFailure: class user; an output is missing, was not declared, is a link, leaves the directory, or has an impossible name.
    """
    root, declared = Path(order["scratch"]) / "outputs", order["outputs"]
    check_name_of = {path.removesuffix("/"): name for name, path in declared.items()}
    files: list[dict[str, Any]] = []
    for relative, path in walk(root, "user"):
        name = _output_of(relative, declared)
        if name is None:
            known = ", ".join(sorted(check_name_of)) or "none"
            raise AgentFailure(
                "user", f"{relative!r} was written and not declared as an output", f"Declared are: {known}"
            )
        if len(files) == _MOST_FILES:
            raise AgentFailure(
                "user", f"more than {_MOST_FILES} files were written", "Put them into an archive, or write fewer"
            )
        digest, size, parts = digest_output(path)
        files.append({"name": name, "path": relative, "digest": digest, "size_bytes": size, "parts": parts})
    _check_complete(root, declared, files)
    metrics: dict[str, float] = {}
    if _METRICS in declared and not declared[_METRICS].endswith("/"):
        metrics = read_metrics(inside(root, declared[_METRICS], "output", "user"))
    return {"files": files, "metrics": metrics}


def publish(order: dict[str, Any]) -> dict[str, Any]:
    """Store collected files under their grants and return the version id of each; those stored in parts have none yet."""
    root = Path(order["scratch"]) / "outputs"
    check_directory(root, "user")
    with Transfers() as transfers:
        for grant in order["grants"]:
            transfers.upload(grant, inside(root, order["paths"][grant["name"]], "output", "user"))
        for grant in order.get("multipart", ()):
            transfers.upload_parts(grant, inside(root, order["paths"][grant["name"]], "output", "user"))
    return {"versions": transfers.versions}


def read_metrics(path: Path) -> dict[str, float]:
    """Return the metrics of a file that holds a JSON object of finite numbers; raises AgentFailure (user) that says what is wrong."""
    remedy = "Write a JSON object of numbers, at most 64 KiB"
    if path.stat().st_size > _METRICS_LIMIT_BYTES:
        raise AgentFailure("user", "the output 'metrics' is too large to be metrics", remedy)
    try:
        document = json.loads(path.read_text())
    except (ValueError, RecursionError):
        raise AgentFailure("user", "the output 'metrics' is not JSON", remedy) from None
    if not isinstance(document, dict) or len(document) > _MOST_METRICS:
        raise AgentFailure("user", f"the output 'metrics' is not a JSON object of at most {_MOST_METRICS}", remedy)
    for name, value in document.items():
        _check_metric(name, value, remedy)
    return {name: float(value) for name, value in document.items()}


def _check_metric(name: str, value: object, remedy: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
        raise AgentFailure("user", f"metric {name[:80]!r} is not a finite number", remedy)
    if abs(value) > _LARGEST:
        raise AgentFailure("user", f"metric {name[:80]!r} is not a finite number within ±(2^53 - 1)", remedy)
    if len(name) > _LONGEST_NAME or "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise AgentFailure("user", f"the metric's name {name[:80]!r} cannot be recorded", "Use at most 200 characters")


def _output_of(relative: str, declared: dict[str, str]) -> str | None:
    for name, path in declared.items():
        if path == relative:
            return name
        if path.endswith("/") and relative.startswith(path):
            return f"{name}/{relative.removeprefix(path)}"
    return None


def _check_complete(root: Path, declared: dict[str, str], files: list[dict[str, Any]]) -> None:
    found = {file["name"].partition("/")[0] for file in files}
    for name, path in declared.items():
        if name in found:
            continue
        target = inside(root, path.removesuffix("/"), "output", "user")
        check_name(path.encode("utf-8", "surrogateescape"), "user")
        if path.endswith("/") and target.exists() and not stat.S_ISDIR(target.lstat().st_mode):
            raise AgentFailure(
                "user", f"output {name!r} was declared as a directory and is a file", "Declare it without the slash"
            )
        if not path.endswith("/") and target.is_dir():
            raise AgentFailure(
                "user",
                f"output {name!r} was declared as a file and is a directory",
                "Declare it with a slash at the end",
            )
        if target.is_dir():
            raise AgentFailure(
                "user", f"output {name!r} is a directory without a file", "Write a file into it, or do not declare it"
            )
        raise AgentFailure(
            "user", f"output {name!r} was not written", f"Write $HOLDFAST_OUTPUTS/{path}, or do not declare it"
        )
