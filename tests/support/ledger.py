"""A log in a directory, with a key of its own, and what somebody else's programs say of it. `python -m tests.support.ledger` builds them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from holdfast.core.merkle import leaf_hash
from holdfast.core.note import Checkpoint, signed
from holdfast.core.tiles import CHECKPOINT, WIDTH, Edge, bundle_path, packed
from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from tests.support.go_program import GoProgram

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

CHECKERS = GoProgram("tessera", Path(__file__).parent / "logcheck", "github.com/transparency-dev/tessera")


def sequencer_in(directory: Path, engine: Engine) -> Sequencer:
    """Return a sequencer whose log and key are new in a directory."""
    signer = FileSigner.make("example.org/log", directory / "log.key")
    return Sequencer(engine, Publisher(engine, [signer], is_signed, DirectoryPlace(directory / "log")))


def checked_by_others(log: Path, key: str, *known: Path) -> dict[str, Any]:
    """Return what tessera's fsck and golang.org/x/mod say of a log, and of checkpoints that it has to have been."""
    command = [CHECKERS.directory() / CHECKERS.source.name, log, key, *known]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


@contextmanager
def unguarded(sql: Connection, *more: str) -> Iterator[None]:
    """Let the owner of the database change what the triggers of the trail, and of more tables, keep, for a while."""
    tables = (
        *more,
        "audit_event",
        "audit_segment",
        "audit_retention",
        "ledger_leaf",
        "ledger_checkpoint",
        "ledger_head",
    )
    for table in tables:
        sql.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    try:
        yield
    finally:
        for table in tables:
            sql.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


def forget(sql: Connection) -> None:
    """Let the database know no log, as if it had been made without one."""
    with unguarded(sql):
        sql.execute(text("DELETE FROM ledger_leaf"))
        sql.execute(text("DELETE FROM ledger_checkpoint"))
        sql.execute(text("UPDATE ledger_head SET size = 0, cursor_xid = '0'"))


def log_of(
    entries: Sequence[bytes], signer: FileSigner, sizes: Collection[int] = ()
) -> tuple[dict[str, bytes], dict[int, str]]:
    """Return the files of a log that has these entries, by their paths, and its signed checkpoints of some sizes, its own among them."""
    files, edge, notes = dict[str, bytes](), Edge(), dict[int, str]()
    wanted = {*sizes, len(entries)}
    for start in range(0, len(entries), WIDTH):
        bundle = list(entries[start : start + WIDTH])
        files[bundle_path(start // WIDTH, len(bundle))] = packed(bundle)
    for entry in entries:
        files.update((tile.path, content) for tile, content in edge.extend([leaf_hash(entry)]))
        if edge.size in wanted:
            notes[edge.size] = signed(
                str(Checkpoint(signer.key.name, edge.size, edge.root())), (signer.key, signer.sign)
            )
    files.update((tile.path, content) for tile, content in edge.partial())
    return {**files, CHECKPOINT: notes[len(entries)].encode()}, notes


if __name__ == "__main__":
    print(f"what checks logs is in {CHECKERS.directory()}")
