"""A governance database with any number of Artifacts in one Project, of which some may go."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from demo.postgres import PostgresServer
from sqlalchemy import Connection, Engine, create_engine, text
from tests.support.holds import bind_officers
from tests.support.ledger import unguarded
from tests.support.retention import approve_retention, propose_retention
from tests.support.rows import multiply
from tests.support.s3 import S3Server, opened_on
from tests.support.story import Story

from holdfast.core.access import Caller
from holdfast.settings import Platform, Settings
from holdfast.store import migrate
from holdfast.store.engine import open_engine

OLD_DAYS, PERIOD_DAYS = 40, 30


@dataclass(frozen=True)
class Place:
    """What is measured.

    Attributes:
        owner: a connection that sees everything.
        story: a Project with one succeeded Run.
        platform: opened as the service opens it.
        disposer: engine of the disposer's login.
        bucket: of the object store, where that is one.
    """

    owner: Connection
    story: Story
    platform: Platform
    disposer: Engine
    bucket: str = ""

    def fill(self, count: int) -> None:
        """Put so many young Artifacts into a Project."""
        run = self.story.succeed()
        multiply(self.owner, "artifact", count, f"run_id = '{run.id}' AND name = 'model'")
        self.owner.execute(text("VACUUM ANALYZE"))

    def age(self, count: int) -> None:
        """Let so many of the young Artifacts be old enough to go, and none of the others."""
        with unguarded(self.owner, "artifact"):
            self.owner.execute(
                text("UPDATE artifact SET created_at = now() WHERE created_at < now() - interval '1 day'")
            )
            self.owner.execute(
                text(
                    f"UPDATE artifact SET created_at = now() - interval '{OLD_DAYS} days' WHERE id IN"
                    " (SELECT id FROM artifact WHERE name LIKE 'model_%' AND state = 'available' ORDER BY id LIMIT :count)"
                ),
                {"count": count},
            )
        self.owner.execute(text("ANALYZE artifact"))


@contextmanager
def retention_place(root: Path, s3: S3Server | None = None) -> Iterator[Place]:
    """Start a server below a directory and make a database; everything goes at the end."""
    with tempfile.TemporaryDirectory(prefix="hf-retention-", dir=root) as made:
        directory = Path(made)
        directory.chmod(0o755)  # the server does not run as root
        for name in ("postgres", "objects"):
            (directory / name).mkdir()
        with PostgresServer.start(directory / "postgres") as server:
            owner_url = server.create_database("holdfast")
            migrate.upgrade(owner_url)
            urls = [
                server.url("holdfast", server.create_login(name, member_of=f"holdfast_{role}"))
                for name, role in (("app", "service"), ("gone", "disposer"))
            ]
            settings = Settings(
                database_url=urls[0],
                objects_root=directory / "objects",
                grant_key="a grant key for measurements, long enough",
                api_url="http://127.0.0.1:1/holdfast/api/v1",
            )
            owner = create_engine(
                owner_url, isolation_level="AUTOCOMMIT", connect_args={"options": "-c search_path=holdfast"}
            )
            disposer = open_engine(urls[1], pool_size=4)
            if s3 is None:
                platform = Platform.open(settings)
                with owner.connect() as connection:
                    yield _begun(connection, platform, disposer)
                platform.close()
            else:
                bucket = s3.create_bucket()
                with (
                    opened_on(s3, settings, objects_root=None, s3_bucket=bucket) as platform,
                    owner.connect() as connection,
                ):
                    yield replace(_begun(connection, platform, disposer), bucket=bucket)
            owner.dispose()
            disposer.dispose()


def _begun(owner: Connection, platform: Platform, disposer: Engine) -> Place:
    story = Story.begin(lambda principal: platform.governance(Caller(principal)), platform.objects)
    bind_officers(story)
    approve_retention(story, propose_retention(story, "models", period_days=PERIOD_DAYS))
    return Place(owner, story, platform, disposer)
