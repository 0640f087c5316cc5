"""The user's code: packed where the repository is, unpacked where it runs. Only what is in the commit reaches the Run."""

import os
import subprocess
import tarfile
from pathlib import Path
from typing import IO, Any

from holdfast.dataplane.agent.failure import AgentFailure
from holdfast.dataplane.agent.files import digest_file, inside, pieces_of, walk


def pack(order: dict[str, Any]) -> dict[str, Any]:
    """Write the code as a tar file to `target` and return its digest and size.

    Raises:
        AgentFailure: the commit is not there, or cannot be read.
    """
    code, target = order["code"], Path(order["target"])
    if code["commit"] is None:
        _pack_directory(Path(code["checkout"]), target)
    else:
        _pack_commit(code, target)
    digest, size = digest_file(target)
    return {"digest": digest, "size_bytes": size}


def unpack(content: IO[bytes], target: Path) -> None:
    """Write what was packed: files, directories, and links that stay inside; tarfile's own filter is not in Python 3.11.2.

    Raises:
        AgentFailure: the archive cannot be read, or an entry leaves the directory.
    """
    target.mkdir(mode=0o700)
    try:
        with tarfile.open(fileobj=content, mode="r|") as archive:
            for member in archive:
                _unpack_member(archive, member, target)
    except tarfile.TarError as error:
        raise AgentFailure("platform", f"the code's archive cannot be read: {error}", "Start a new try") from None


def _pack_directory(checkout: Path, target: Path) -> None:
    with tarfile.open(target, "w") as archive:
        for relative, path in walk(checkout, "user"):
            if relative.startswith(".git/") or "/__pycache__/" in f"/{relative}":
                continue
            member = tarfile.TarInfo(relative)
            facts = path.stat()
            member.size, member.mode = facts.st_size, 0o755 if facts.st_mode & 0o100 else 0o644
            with path.open("rb") as file:
                archive.addfile(member, file)


def _pack_commit(code: dict[str, Any], target: Path) -> None:
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(target.parent),
        "LC_ALL": "C",
        # safe.directory is read from the environment's configuration only, never from the command line.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    git_directory = code["git_directory"] or str(Path(code["checkout"]) / ".git")
    tree = f"{code['commit']}:{code['path']}" if code["path"] else code["commit"]
    command = ["git", f"--git-dir={git_directory}", "archive", "--format=tar", f"--output={target}", tree]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
    except FileNotFoundError:
        raise AgentFailure("environment", "git is not installed where the agent runs", "Install git") from None
    if done.returncode == 0:
        return
    # 128: git does not know the object, or has no such repository; anything else, and a signal, is not the user's.
    if done.returncode == 128:
        raise AgentFailure(
            "user", f"commit {tree} is not in the Dag bundle's repository", "Push it, and refresh the bundle"
        )
    raise AgentFailure("platform", f"git could not read commit {tree} to its end", "Check the Dag bundle's storage")


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
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
