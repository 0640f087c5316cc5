"""Files as the agent sees them: walked without following links, hashed in pieces."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, BinaryIO

from holdfast.dataplane.agent.failure import AgentFailure

PIECE_BYTES = 1 << 20
PATH_LIMIT = 1024
PART_BYTES = 64 << 20
_MOST_PARTS = 10_000


def pieces_of(file: IO[bytes], limit_bytes: int | None = None) -> Iterator[bytes]:
    """Yield a file's bytes from where it stands, at most 1 MiB at a time, and no more than a limit."""
    left = limit_bytes
    while piece := file.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left)):
        yield piece
        left = None if left is None else left - len(piece)


def digest_file(path: Path) -> tuple[str, int]:
    """Return digest (`sha256:<hex>`) and size in bytes of a file of any size."""
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for piece in pieces_of(file):
            hashed.update(piece)
            size += len(piece)
    return f"sha256:{hashed.hexdigest()}", size


def part_sizes(size_bytes: int) -> list[int]:
    """Return the sizes of an upload's parts in order: one up to 64 MiB, never more than 10 000. The service has the same function."""
    part = PART_BYTES * max(1, -(-size_bytes // (PART_BYTES * _MOST_PARTS)))
    whole, rest = divmod(size_bytes, part)
    return [part] * whole + [rest] * (rest > 0 or whole == 0)


def digest_output(path: Path) -> tuple[str, int, list[str]]:
    """Return digest and size in bytes of a file, and the digests of its parts where it has more than one.

    Raises:
        AgentFailure: class user; the file has grown or shrunk meanwhile.
    """
    whole, size, parts = hashlib.sha256(), 0, []
    # Both hashes at a time, on two cores: hashing lets go of the interpreter's lock.
    with path.open("rb") as file, ThreadPoolExecutor(1) as beside:
        sizes = part_sizes(os.fstat(file.fileno()).st_size)
        for part_bytes in sizes if len(sizes) > 1 else ():
            part = hashlib.sha256()
            for piece in pieces_of(file, part_bytes):
                hashed = beside.submit(part.update, piece)
                whole.update(piece)
                size += len(piece)
                hashed.result()
            parts.append(f"sha256:{part.hexdigest()}")
        for piece in pieces_of(file):  # of a file in one part it is all, of others what has come to it meanwhile
            whole.update(piece)
            size += len(piece)
    if size != sum(sizes):
        raise AgentFailure(
            "user", f"output {path.name!r} changed while it was hashed", "Let no process write after the command ends"
        )
    return f"sha256:{whole.hexdigest()}", size, parts


def open_regular(path: Path, what: str, error_class: str) -> BinaryIO:
    """Open a file; raises AgentFailure when a link or anything else has come into its place. A pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise AgentFailure(error_class, f"{what} is a symbolic link", "Write the file itself") from None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise AgentFailure(error_class, f"{what} is not a regular file", "Write regular files only")
    return file


def walk(root: Path, error_class: str) -> Iterator[tuple[str, Path]]:
    """Yield (relative path, path) of every regular file below a directory, sorted; however deep, in flat memory.

    Raises:
        AgentFailure: the directory has been replaced by a link or something else; or names the first entry that is a link, is not a
            regular file or directory, has a name that is not UTF-8 or holds a control character, or a path too long to be recorded.
    """
    check_directory(root, error_class)
    stack = [_entries(root, "", error_class)]
    while stack:
        for relative, path in stack[-1]:
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                stack.append(_entries(path, f"{relative}/", error_class))
                break
            if stat.S_ISREG(mode):
                yield relative, path
            elif stat.S_ISLNK(mode):
                raise AgentFailure(
                    error_class, f"{relative!r} is a symbolic link", "Write the file itself; links are not followed"
                )
            else:
                raise AgentFailure(
                    error_class, f"{relative!r} is neither a file nor a directory", "Write regular files only"
                )
        else:
            stack.pop()


def check_directory(root: Path, error_class: str) -> None:
    """Return when a directory is one by itself; raises AgentFailure when a link or anything else has come into its place."""
    if not stat.S_ISDIR(root.lstat().st_mode):
        raise AgentFailure(
            error_class, f"the directory {root.name!r} has been replaced by a link or a file", "Write into it as it is"
        )


def _entries(directory: Path, before: str, error_class: str) -> Iterator[tuple[str, Path]]:
    for name in sorted(os.listdir(os.fsencode(directory))):  # noqa: PTH208 - names as bytes
        relative = before + check_name(name, error_class)
        if len(relative) > PATH_LIMIT:
            raise AgentFailure(
                error_class,
                f"the path {relative[:80]!r}… is longer than {PATH_LIMIT} characters",
                "Nest directories less deep, or give shorter names",
            )
        yield relative, directory / os.fsdecode(name)


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
