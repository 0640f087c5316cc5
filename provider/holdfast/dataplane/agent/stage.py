"""Before the user's command: code, inputs and parameters in place, every digest checked."""

import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from holdfast.dataplane.agent.failure import AgentFailure
from holdfast.dataplane.agent.files import digest_file, inside, pieces_of, walk
from holdfast.dataplane.agent.transfer import Transfers, check_content


def stage(order: dict[str, Any]) -> dict[str, Any]:
    """Lay out a Run below its scratch directory: code/, inputs/, parameters.json and an empty outputs/.

    Raises:
        AgentFailure: the user's command must not start; nothing of the scratch directory may be used.
    """
    scratch = Path(order["scratch"])
    inputs = scratch / "inputs"
    inputs.mkdir(mode=0o700)
    (scratch / "outputs").mkdir(mode=0o700)
    (scratch / "parameters.json").write_text(json.dumps(order["parameters"], sort_keys=True))
    _stage_code(order["code"], scratch / "code")
    with Transfers() as transfers:
        for grant in order["grants"]:
            target = inside(inputs, grant["name"], "input", "data")
            target.parent.mkdir(parents=True, exist_ok=True)
            transfers.download(grant, target)
    for dataset in order["datasets"]:
        _stage_dataset(dataset, inputs, order["data_roots"])
    for path in inputs.rglob("*"):
        path.chmod(0o500 if path.is_dir() else 0o400)
    return {}


def survey(order: dict[str, Any]) -> dict[str, Any]:
    """Return path, digest and size of every file of a source."""
    root = source_path(order["source"], order["data_roots"])
    found = [("", root)] if root.is_file() else list(walk(root, "data")) if root.is_dir() else []
    if not root.exists():
        raise AgentFailure(
            "data", f"source {order['source']!r} does not exist", "Check the path, and that it is mounted here"
        )
    if not found:
        raise AgentFailure(
            "data",
            f"source {order['source']!r} holds no file",
            "Check the path; an empty directory is not a DatasetVersion",
        )
    files = []
    for relative, path in found:
        digest, size = digest_file(path)
        files.append({"path": relative or root.name, "digest": digest, "size_bytes": size})
    return {"files": files}


def source_path(source: str, data_roots: list[str]) -> Path:
    """Return the path of a `file:` source.

    Raises:
        AgentFailure: it is another kind of source, or lies below none of the allowed roots; without roots every source is refused.
    """
    parts = urlsplit(source)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise AgentFailure(
            "user", f"the local data plane cannot read {source!r}", "Give a file: URI, or use the Kubernetes data plane"
        )
    path = Path(unquote(parts.path)).resolve()
    if not any(path.is_relative_to(Path(root).resolve()) for root in data_roots):
        raise AgentFailure(
            "policy",
            f"source {source!r} is below none of the allowed data roots",
            "The Platform Owner lists them as data_roots in the extra of the Holdfast connection",
        )
    return path


def _stage_dataset(dataset: dict[str, Any], inputs: Path, data_roots: list[str]) -> None:
    source = source_path(dataset["source"], data_roots)
    target = inside(inputs, dataset["name"], "input", "data")
    target.mkdir(parents=True)
    for file in dataset["files"]:
        what = f"input {dataset['name']!r}, file {file['path']!r}"
        origin = source if source.is_file() else inside(source, file["path"], "dataset file", "data")
        copy = inside(target, file["path"], "dataset file", "data")
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            with origin.open("rb") as reading, copy.open("xb") as writing:
                for piece in pieces_of(reading):
                    writing.write(piece)
        except OSError as error:
            raise AgentFailure(
                "data", f"{what} cannot be read: {error.strerror}", "Restore the source, or register what is there"
            ) from None
        # The copy is what the user's code reads, so the copy is what is hashed: a source that changes meanwhile does not matter.
        check_content(what, digest_file(copy), file)


def _stage_code(code: dict[str, Any], target: Path) -> None:
    target.mkdir(mode=0o700)
    checkout = Path(code["checkout"])
    if code["commit"] is None:
        for relative, path in walk(checkout, "user"):
            if relative.startswith(".git/") or "/__pycache__/" in f"/{relative}":
                continue
            copy = target / relative
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        return
    # Only what is in the commit: files that lie beside it in the checkout do not reach the Run.
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(target.parent),
        "LC_ALL": "C",
    }
    git_directory = code["git_directory"] or str(checkout / ".git")
    tree = f"{code['commit']}:{code['path']}" if code["path"] else code["commit"]
    # safe.directory is read from the environment's configuration only, never from the command line.
    environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    command = ["git", f"--git-dir={git_directory}", "archive", "--format=tar", tree]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as git:
            if git.stdout is None:
                raise RuntimeError("git has no output")
            with tarfile.open(fileobj=git.stdout, mode="r|") as archive:
                _unpack(archive, target)
    except FileNotFoundError:
        raise AgentFailure("environment", "git is not installed where the agent runs", "Install git") from None
    except tarfile.ReadError:
        raise AgentFailure(
            "user", f"commit {tree} is not in the Dag bundle's repository", "Push it, and refresh the bundle"
        ) from None
    except tarfile.TarError as error:
        raise AgentFailure(
            "platform", f"commit {tree} cannot be staged: {error}", "Check git where the agent runs"
        ) from None
    if git.returncode != 0:
        raise AgentFailure("platform", f"git could not read commit {tree} to its end", "Check the Dag bundle's storage")


def _unpack(archive: tarfile.TarFile, target: Path) -> None:
    """Write what `git archive` sends: files, directories, and links that stay inside; tarfile's own filter is not in Python 3.11.2."""
    for member in archive:
        path = inside(target, member.name, "code", "user")
        path.parent.mkdir(parents=True, exist_ok=True)
        if member.isdir():
            path.mkdir(exist_ok=True)
        elif member.issym():
            if not (path.parent / member.linkname).resolve().is_relative_to(target.resolve()):
                raise AgentFailure(
                    "user",
                    f"{member.name!r} in the commit is a link that leaves the repository",
                    "Keep links inside the repository",
                )
            path.symlink_to(member.linkname)
        elif content := archive.extractfile(member):
            with path.open("xb") as file:
                for piece in pieces_of(content):
                    file.write(piece)
            path.chmod(0o755 if member.mode & 0o100 else 0o644)
