"""A governance database with a ledger of any size, on a throw-away server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.postgres import PostgresServer
from sqlalchemy import Connection, Engine, create_engine, text

from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from holdfast.store import migrate
from holdfast.store.engine import open_engine

_FILL = """
    WITH made AS (
        SELECT uuidv7() AS id, sha256(convert_to(n::text, 'UTF8')) AS salt, n FROM generate_series(1, :count) n
    ), written AS (
        SELECT id, salt, '{"action":"run.finished","content":{"metrics":{"accuracy":"0.95"},"number":' || n || ',"output_digests":'
        || '{"model":"sha256:' || repeat('ab', 32) || '"}},"format":"holdfast.audit-event/1","id":"' || id
        || '","initiator":"token:01a2180b-44e3-7985-85dc-3d3918dc9ab4","outcome":"succeeded","project":"oncology","reason":"",'
        || '"request_id":"","target":{"id":"' || id || '","type":"run"},"trace_id":""}' AS content FROM made
    )
    INSERT INTO audit_event (id, project, action, initiator, target_type, target_id, outcome, content, salt, commitment)
    SELECT id, 'oncology', 'run.finished', 'token:01a2180b-44e3-7985-85dc-3d3918dc9ab4', 'run', id::text, 'succeeded', content, salt,
    sha256(salt || convert_to(content, 'UTF8')) FROM written
"""
_AT_ONCE = 100_000


@dataclass
class Place:
    """A ledger that is ready.

    Attributes:
        server: its PostgreSQL.
        url: of the service's login.
        owner: engine of the owner.
        engine: engine of the service.
        directory: where the log is.
        signer: its key.
    """

    server: PostgresServer
    url: str
    owner: Engine
    engine: Engine
    directory: Path
    signer: FileSigner

    @property
    def log(self) -> DirectoryPlace:
        return DirectoryPlace(self.directory / "log")

    def fill(self, count: int, say: Any = lambda _: None) -> None:
        """Put so many events in, and take them into the log; nothing is durable before all of it is there."""
        sequencer = Sequencer(
            self.engine, Publisher(self.engine, [self.signer], is_signed, _Hasty(self.directory / "log"))
        )
        self._set("SET fsync = off", "SET full_page_writes = off", "SET max_wal_size = '8GB'")
        with ThreadPoolExecutor(1) as writer:
            parts = (writer.submit(self._write, min(_AT_ONCE, count - begin)) for begin in range(0, count, _AT_ONCE))
            ahead = next(parts, None)
            while ahead is not None:
                ahead.result()
                # The next events are written while these are taken into the log.
                ahead = next(parts, None)
                say(f"the log has {sequencer.extend()} events")
        self._set("RESET ALL")
        os.sync()
        with self._settled() as connection:
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))

    def _write(self, count: int) -> None:
        with self.owner.begin() as connection:
            connection.execute(text(_FILL), {"count": count})

    def _set(self, *settings: str) -> None:
        with self._settled() as connection:
            for setting in settings:
                connection.execute(text(f"ALTER SYSTEM {setting}"))
            connection.execute(text("SELECT pg_reload_conf()"))

    def _settled(self) -> Connection:
        return self.owner.connect().execution_options(isolation_level="AUTOCOMMIT")


class _Hasty(DirectoryPlace):
    """A directory whose files are not made durable one by one."""

    def write(self, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            target = self._root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


@contextmanager
def ledger_place(root: Path, pool_size: int = 10) -> Iterator[Place]:
    """Start a server below a directory and make a database with a ledger; everything goes at the end."""
    with tempfile.TemporaryDirectory(prefix="hf-audit-", dir=root) as made:
        directory = Path(made)
        directory.chmod(0o755)  # the server does not run as root
        (directory / "postgres").mkdir()
        with PostgresServer.start(directory / "postgres") as server:
            owner_url = server.create_database("holdfast")
            migrate.upgrade(owner_url)
            url = server.url("holdfast", server.create_login("app", member_of="holdfast_service"))
            owner = create_engine(owner_url, connect_args={"options": "-c search_path=holdfast"})
            engine = open_engine(url, pool_size=pool_size)
            signer = FileSigner.make("bench.example/log", directory / "log.key")
            yield Place(server, url, owner, engine, directory, signer)
            owner.dispose()
            engine.dispose()
