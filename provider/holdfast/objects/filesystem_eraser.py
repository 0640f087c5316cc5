"""Takes objects out of the file system object store. The service itself has no such thing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.core.errors import Unavailable
from holdfast.core.names import check_path
from holdfast.objects.filesystem import directory_of, sync_directory


class FilesystemEraser:
    """Implements `ports.Eraser` on a directory.

    Args:
        root: the object store's directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def place(self) -> str:
        """Where it is, as records name it."""
        return self._root.as_uri()

    @property
    def has_lock(self) -> bool:
        """Whether it is of a kind that has locks of its own: whoever owns a directory owns the bytes."""
        return False

    def shows(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the versions under these keys, by key; raises Unavailable."""
        self._check()
        return {key: shown for key in keys if (shown := [f"version {one.name}" for one in self._versions(key)])}

    def erase(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Remove every version under these keys and return what is still there, by key, each with why; raises Unavailable."""
        self._check()
        return {key: left for key in keys if (left := self._erase(key))}

    def _check(self) -> None:
        if not self._root.is_dir():
            raise Unavailable("the object store's directory is not there", remedy="Mount it; nothing was removed")

    def _erase(self, key: str) -> list[str]:
        place, said = directory_of(self._root, key), {}
        for version in self._versions(key):
            try:
                version.unlink()
            except OSError as error:
                said[version] = error.strerror
        with _reading():
            if place.is_dir():
                sync_directory(place)
        with suppress(OSError):  # not empty: other keys, or what is left
            place.rmdir()
        return [
            f"version {one.name} is still there: {said.get(one, 'it was removed and came back')}"
            for one in self._versions(key)
        ]

    def _versions(self, key: str) -> list[Path]:
        check_path(key, "object key")
        place = directory_of(self._root, key)
        with _reading():
            # A name that begins with the escape is another key, which begins with this one.
            return sorted(one for one in place.iterdir() if not one.name.startswith("=")) if place.is_dir() else []


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"the object store's directory cannot be read: {error.strerror}", remedy="Mend its mount or its permissions"
        ) from error
