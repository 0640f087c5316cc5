"""A log in a directory, with a key of its own, and what somebody else's programs say of it. `python -m tests.support.ledger` builds them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from tests.support.go_program import GoProgram

if TYPE_CHECKING:
    from sqlalchemy import Engine

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


if __name__ == "__main__":
    print(f"what checks logs is in {CHECKERS.directory()}")
