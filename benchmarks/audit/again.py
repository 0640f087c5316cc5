"""Opens the log in another process; apart, because a process that starts for it loads no more than `holdfast audit verify` does."""

from pathlib import Path

from sqlalchemy import Engine

from holdfast.ledger.place import DirectoryPlace
from holdfast.store.engine import open_engine


def opened(directory: Path, url: str | None) -> tuple[DirectoryPlace, Engine | None]:
    """Return the log and its database."""
    engine = open_engine(url, pool_size=2) if url else None
    return DirectoryPlace(directory / "log"), engine
