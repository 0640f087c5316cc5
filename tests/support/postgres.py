"""A throw-away PostgreSQL server, started as the demo starts its own."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from demo.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PostgresServer", "throw_away_server"]


@contextmanager
def throw_away_server() -> Iterator[PostgresServer]:
    """Start a server in a fresh directory; stop it and remove the directory at the end."""
    directory = Path(tempfile.mkdtemp(prefix="hf-pg-", dir="/var/tmp"))
    try:
        with PostgresServer.start(directory) as server:
            yield server
    finally:
        shutil.rmtree(directory)
