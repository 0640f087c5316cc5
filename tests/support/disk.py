"""A small disk that is really full, for a table of a database: a tablespace on a file system of its own."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from tests.support.postgres import PostgresServer

_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def small_disk(size_bytes: int) -> Iterator[Path]:
    """Yield a directory on a file system of so many bytes; needs leave to mount one, as root in a container has with CAP_SYS_ADMIN."""
    directory = Path(tempfile.mkdtemp(prefix="hf-disk-", dir="/var/tmp"))
    if _LIBC.mount(b"tmpfs", bytes(directory), b"tmpfs", 0, f"size={size_bytes},mode=0777".encode()):
        problem = os.strerror(ctypes.get_errno())
        directory.rmdir()
        raise RuntimeError(f"a file system cannot be mounted ({problem}); run the tests as root, with CAP_SYS_ADMIN")
    try:
        yield directory
    finally:
        if _LIBC.umount2(bytes(directory), 2):  # MNT_DETACH: the server may still have a file open
            raise OSError(ctypes.get_errno(), f"{directory} cannot be unmounted")
        directory.rmdir()


class EventDisk:
    """The disk that holds the audit events."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._filler = directory / "filler"

    def fill(self) -> None:
        """Leave no byte free."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                return

    def free(self) -> None:
        """Give it space again."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def events_on_a_small_disk(postgres: PostgresServer, owner: Connection, size_bytes: int) -> Iterator[EventDisk]:
    """Have the audit events and their indexes on a disk of so many bytes."""
    with small_disk(size_bytes) as directory:
        place = directory / "space"
        place.mkdir(mode=0o700)
        account = postgres.directory.stat()
        shutil.chown(place, account.st_uid, account.st_gid)
        postgres.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        # What holds rows: the parts that the segments of the trail lie in, and their indexes.
        parts = owner.scalars(
            text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'holdfast.audit_event'::regclass")
        ).all()
        indexes = owner.scalars(
            text("SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = ANY (CAST(:parts AS regclass[]))"),
            {"parts": parts},
        ).all()
        try:
            _move(owner, parts, indexes, "small")
            disk = EventDisk(directory)
            yield disk
            disk.free()
        finally:
            EventDisk(directory).free()
            _move(owner, parts, indexes, "pg_default")
            postgres.execute("DROP TABLESPACE small")


def _move(owner: Connection, tables: Sequence[str], indexes: Sequence[str], place: str) -> None:
    for kind, names in (("TABLE", tables), ("INDEX", indexes)):
        for name in names:
            owner.execute(text(f"ALTER {kind} {name} SET TABLESPACE {place}"))
