"""Where a log's files lie: anybody can read it there, without a database."""

import os
from pathlib import Path
from typing import Protocol

from holdfast.core.errors import NotFound, Unavailable
from holdfast.objects.filesystem import sync_directory


class Place(Protocol):
    """Files by their path below the log's prefix. Every one but the checkpoint is written with the same bytes each time."""

    def read(self, path: str) -> bytes:
        """Return a file's bytes; raises NotFound, Unavailable."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Write a file, which is there whole or as it was before, and stays when the machine stops; raises Unavailable."""
        ...


class DirectoryPlace:
    """A directory; for one machine, and for witnesses' folders.

    Args:
        root: made where it is not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes:
        """Return a file's bytes; raises NotFound, Unavailable."""
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the log has no {path}") from None
        except OSError as error:
            raise Unavailable(f"{self._root / path} cannot be read: {error.strerror}") from None

    def write(self, path: str, content: bytes) -> None:
        """Write a file beside its place and put it there; raises Unavailable."""
        target = self._root / path
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(target)
            sync_directory(target.parent)
        except OSError as error:
            raise Unavailable(f"{target} cannot be written: {error.strerror}") from None
