"""Files: segments of lines in a directory, each there whole or not at all, and none written twice.

A segment is written beside its place, synced, and renamed to `<first>-<last>.ndjson`; the directory is synced after it. Who comes after
an end between two of these steps finds the segment in its place and goes on behind it, or nothing of it.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from holdfast.core.errors import Unavailable
from holdfast.export.sink import Batch
from holdfast.objects.filesystem import sync_directory

_DIGITS = 20


class FilesSink:
    """Implements `sink.Sink` on a directory, which is made where it is not there.

    Args:
        directory: absolute.
        probe: called at the named points; tests inject faults by it.
    """

    def __init__(self, directory: Path, probe: Callable[[str], None] = lambda _: None) -> None:
        self._directory, self._probe = directory, probe

    def deliver(self, batch: Batch) -> int:
        """Return the index behind the last event that is in a segment; raises Unavailable."""
        try:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            if not batch.replay and (last := self._written(batch)) is not None:
                return last + 1
            name = f"{batch.first:0{_DIGITS}}-{batch.last:0{_DIGITS}}.ndjson"
            self._write(f"replay-{batch.replay}-{name}" if batch.replay else name, _lines(batch.lines))
            self._write("checkpoint", [batch.note.encode()])
        except OSError as error:
            raise Unavailable(f"{self._directory} cannot be written: {error.strerror}") from None
        return batch.last + 1

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _written(self, batch: Batch) -> int | None:
        """Return the last index of a segment that holds exactly this batch or its beginning, None where there is none."""
        for path in self._directory.glob(f"{batch.first:0{_DIGITS}}-*.ndjson"):
            end = path.stem.partition("-")[2]
            if not (len(end) == _DIGITS and end.isascii() and end.isdigit() and batch.first <= int(end) <= batch.last):
                continue
            content = b"".join(_lines(batch.lines[: int(end) - batch.first + 1]))
            if path.read_bytes() == content:
                sync_directory(self._directory)
                return int(end)
        return None

    def _write(self, name: str, content: Iterable[bytes]) -> None:
        beside = self._directory / f".{name}.{os.getpid()}.part"
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as file:
                file.writelines(content)
                file.flush()
                os.fsync(file.fileno())
            self._probe("written")
            beside.rename(self._directory / name)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise
        self._probe("renamed")
        sync_directory(self._directory)


def _lines(lines: Sequence[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield line
        yield b"\n"
