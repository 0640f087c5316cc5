"""What a place shows as the log's newest checkpoint: one that this database has kept, or nothing more may be published."""

from collections.abc import Sequence

from sqlalchemy import Engine, text

from holdfast.core.errors import IntegrityViolation, NotFound
from holdfast.core.note import Check, Checkpoint, VerifierKey, open_checkpoint
from holdfast.core.tiles import CHECKPOINT
from holdfast.ledger.place import Place
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared


def shown_at(place: Place, engine: Engine, keys: Sequence[VerifierKey], check: Check) -> tuple[int, str | None]:
    """Return the newest checkpoint's size and note at a place; 0 and None where there is none yet.

    Raises:
        IntegrityViolation: it is signed by other keys, or the database does not know it.
        Unavailable: the place cannot be read.
    """
    try:
        note = place.read(CHECKPOINT).decode(errors="replace")
    except NotFound:
        return 0, None
    try:
        shown = open_checkpoint(note, keys, check)
    except IntegrityViolation as error:
        raise IntegrityViolation(
            f"what {place} shows as the log's checkpoint is not this log's: {error.message}",
            remedy="Find out who wrote it. After a change of keys, let the old one and the new one sign together for a while",
        ) from None
    _check_known(place, shown, engine)
    return shown.size, note


def size_at(place: Place) -> int:
    """Return the size that a place claims for its newest checkpoint, whoever has signed it; 0 where there is none.

    Raises:
        IntegrityViolation: what is there is no checkpoint.
        Unavailable: the place cannot be read.
    """
    try:
        return Checkpoint.unchecked(place.read(CHECKPOINT).decode(errors="replace")).size
    except NotFound:
        return 0


def root_kept(engine: Engine, size: int) -> bytes | None:
    """Return the root of the checkpoint of a size that the database has kept, None where it has kept none."""
    with read_only(engine) as connection:
        root: bytes | None = _KEPT.scalar(connection, {"size": size})
    return root


def _check_known(place: Place, shown: Checkpoint, engine: Engine) -> None:
    if shown.size and root_kept(engine, shown.size) != shown.root:
        raise IntegrityViolation(
            f"the log was published in {place} with {shown.size} events, and the database does not know that checkpoint: it is"
            " older than the log, or another",
            remedy="Restore a database that is at least as new as the log; nothing is published until then",
            details={"published_size": shown.size, "published_root": shown.root.hex()},
        )


_KEPT = Prepared(text("SELECT root FROM ledger_checkpoint WHERE size = :size"))
