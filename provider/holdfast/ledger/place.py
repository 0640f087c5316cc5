"""Where a log's files lie: anybody can read it there, without a database."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from holdfast.core.errors import NotFound, Unavailable
from holdfast.objects.filesystem import sync_directory


class Place(Protocol):
    """Files by their path below the log's prefix. Every one but the checkpoint is written with the same bytes each time.

    `str` of a place says where it is, for people.
    """

    def read(self, path: str) -> bytes:
        """Return a file's bytes; raises NotFound, Unavailable."""
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files in any order: each is there whole or as it was before, and stays when the machine stops; raises Unavailable."""
        ...

    def below(self, directory: str) -> Iterator[tuple[str, bytes]]:
        """Yield the files right below a directory in the order of their names, and each as often as it was written where that is kept.

        Raises:
            Unavailable: it cannot be read.
        """
        ...


class DirectoryPlace:
    """A directory; for one machine, and for witnesses' folders.

    Args:
        root: made where it is not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def read(self, path: str) -> bytes:
        """Return a file's bytes; raises NotFound, Unavailable."""
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the log has no {path}") from None
        except OSError as error:
            raise Unavailable(f"{self._root / path} cannot be read: {error.strerror}") from None

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write each file beside its place and put it there; raises Unavailable."""
        for path, content in files.items():
            self._put(self._root / path, content)
        for directory in {(self._root / path).parent for path in files}:
            sync_directory(directory)

    def below(self, directory: str) -> Iterator[tuple[str, bytes]]:
        """Yield the files right below a directory; raises Unavailable."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._root / directory) if entry.is_file())
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unavailable(f"{self._root / directory} cannot be read: {error.strerror}") from None
        for name in names:
            if not name.startswith("."):
                yield name, self.read(f"{directory}/{name}")

    def _put(self, target: Path, content: bytes) -> None:
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(target)
        except OSError as error:
            raise Unavailable(f"{target} cannot be written: {error.strerror}") from None
