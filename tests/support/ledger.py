"""A log in a directory, with a key of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.ledger.keys import FileSigner, is_signed
from holdfast.ledger.place import DirectoryPlace
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


def sequencer_in(directory: Path, engine: Engine) -> Sequencer:
    """Return a sequencer whose log and key are new in a directory."""
    signer = FileSigner.make("example.org/log", directory / "log.key")
    return Sequencer(engine, Publisher(engine, signer, is_signed, DirectoryPlace(directory / "log")))
