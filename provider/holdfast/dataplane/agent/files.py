"""Files as the agent sees them: walked without following links, hashed in pieces."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from holdfast.dataplane.agent.failure import AgentFailure

PIECE_BYTES = 1 << 20


def pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's bytes, at most 1 MiB at a time."""
    while piece := file.read(PIECE_BYTES):
        yield piece


def digest_file(path: Path) -> tuple[str, int]:
    """Return digest (`sha256:<hex>`) and size in bytes of a file of any size."""
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for piece in pieces_of(file):
            hashed.update(piece)
            size += len(piece)
    return f"sha256:{hashed.hexdigest()}", size


def walk(root: Path, error_class: str) -> Iterator[tuple[str, Path]]:
    """Yield (relative path, path) of every regular file below a directory, sorted.

    Raises:
        AgentFailure: names the first entry that is a link, is not a regular file or directory, or has a name that is not UTF-8 or
            holds a control character.
    """
    for name in sorted(os.listdir(os.fsencode(root))):  # noqa: PTH208 - names as bytes
        path = root / os.fsdecode(name)
        relative = check_name(name, error_class)
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            for below, found in walk(path, error_class):
                yield f"{relative}/{below}", found
        elif stat.S_ISREG(mode):
            yield relative, path
        elif stat.S_ISLNK(mode):
            raise AgentFailure(
                error_class, f"{relative!r} is a symbolic link", "Write the file itself; links are not followed"
            )
        else:
            raise AgentFailure(
                error_class, f"{relative!r} is neither a file nor a directory", "Write regular files only"
            )


def check_name(name: bytes, error_class: str) -> str:
    """Return a file's name as text; raises AgentFailure when it is not UTF-8 or holds a control character."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise AgentFailure(error_class, f"the file name {name!r} is not UTF-8", "Rename the file") from None
    if any(ord(character) < 32 for character in text):
        raise AgentFailure(error_class, f"the file name {text!r} holds a control character", "Rename the file")
    return text


def inside(root: Path, relative: str, what: str, error_class: str) -> Path:
    """Return a path below a directory; raises AgentFailure when it would leave it, by its text or through a link."""
    path = root / relative
    if (
        Path(relative).is_absolute()
        or ".." in Path(relative).parts
        or not path.resolve().is_relative_to(root.resolve())
    ):
        raise AgentFailure(
            error_class, f"{what} {relative!r} leaves its directory", "Give a plain relative path without '..' or links"
        )
    return path
