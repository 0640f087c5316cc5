"""What the demo keeps between two starts: one directory, secrets of mode 0600, a lock against a second demo."""

import fcntl
import json
import os
import secrets
import shutil
import socket
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.failure import DemoFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

PORTS = range(18080, 18180)
LOG_PORTS = range(18180, 18280)


class State:
    """The state directory.

    Attributes:
        root: everything but PostgreSQL's files.
        database: PostgreSQL's files; below /var/tmp, because PostgreSQL does not run as root and may not reach the repository.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        name = f"holdfast-demo-{os.getuid()}-{sha256(str(self.root).encode()).hexdigest()[:8]}"
        self.database = Path("/var/tmp") / name  # noqa: S108 - private to its owner

    def create(self) -> None:
        """Make the directories."""
        for path in (
            self.root,
            self.root / "logs",
            self.root / "airflow",
            self.root / "objects",
            self.root / "landing",
        ):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove(self) -> None:
        """Remove everything the demo has kept."""
        for path in (self.root, self.database):
            if path.exists():
                shutil.rmtree(path)

    def pair(self) -> bool:
        """Make sure that both directories belong together, and return whether what was there had to be removed for that.

        Either may have been deleted by hand or by a cleaner of temporary files; a database knows the tokens and passwords of one state
        only. A directory that somebody else has put into /var/tmp does not carry the mark, either.
        """
        mark, name = self.database / "belongs-to", "instance"
        mine = self.root / "secrets" / name
        if mine.exists() and mark.exists() and mine.read_text() == mark.read_text():
            return False
        had_something = self.database.exists() or mine.exists()
        for path in (self.database, *self.root.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink(missing_ok=True)
        self.create()
        self.database.mkdir(mode=0o700)
        write_private(mark, self.secret(name))
        return had_something

    @contextmanager
    def locked(self) -> "Iterator[None]":
        """Hold the state against a second demo; the lock goes with the process, however it ends."""
        self.create()
        with open(self.root / "lock", "a+", opener=partial(os.open, mode=0o600)) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                raise DemoFailure(
                    f"another demo (process {file.read().strip() or '?'}) uses {self.root}; end it with Ctrl-C first, or give --state another directory"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def secret(self, name: str, make: Any = lambda: secrets.token_urlsafe(32)) -> str:
        """Return a secret that is made once and kept with mode 0600."""
        path = self.root / "secrets" / name
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(path, make())
        return path.read_text()

    def remember(self, name: str, value: Any) -> None:
        """Keep a document, replacing the one before it at once."""
        write_private(self.root / f"{name}.json", json.dumps(value, indent=1))

    def recall(self, name: str) -> Any:
        """Return a kept document, None where there is none."""
        path = self.root / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def port(self, name: str = "port", ports: range = PORTS) -> int:
        """Return a port for a purpose, the api-server's by default: the one used before when it is free, else the next free one."""
        before = self.recall(name)
        for port in (*([before] if before else []), *ports):
            with socket.socket() as candidate:
                candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    candidate.bind(("127.0.0.1", port))
                except OSError:
                    continue
            self.remember(name, port)
            return int(port)
        raise DemoFailure(f"no port between {ports.start} and {ports.stop - 1} is free; end what listens there")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads: all of it, or none."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
