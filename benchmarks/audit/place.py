"""A governance database with a ledger of any size, on a throw-away server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.postgres import PostgresServer
from sqlalchemy import Engine, create_engine, text

from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from holdfast.store import migrate
from holdfast.store.engine import open_engine

_FILL = """
    WITH made AS (
        SELECT gen_random_uuid() AS id, sha256(convert_to(n::text, 'UTF8')) AS salt, n FROM generate_series(1, :count) n
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
        """Put so many events in, and take them into the log."""
        sequencer = Sequencer(self.engine, Publisher(self.engine, [self.signer], is_signed, self.log))
        while count > 0:
            with self.owner.begin() as connection:
                connection.execute(text(_FILL), {"count": min(count, _AT_ONCE)})
            count -= _AT_ONCE
            size = sequencer.extend()
            say(f"the log has {size} events")
        with self.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


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
