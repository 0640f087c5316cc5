"""How far a sink has come: kept in the database, moved only on from where it was, and only by whoever saw it there."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from holdfast.core.errors import NotFound, StateConflict
from holdfast.service.refusals import translate
from holdfast.store.engine import read_only
from holdfast.store.prepared import Prepared
from holdfast.wire.export import DeadLetter, SinkStatus

_ERROR_LENGTH = 500


class Cursor:
    """The cursor of one sink.

    Args:
        engine: of the governance database.
        sink: its name.
    """

    def __init__(self, engine: Engine, sink: str) -> None:
        self._engine, self._sink = engine, sink

    def read(self) -> Any | None:
        """Return the row (cursor, leaf_hash, paused_at), None where the sink is new; raises Unavailable."""
        with translate(), read_only(self._engine) as connection:
            return _READ.one_or_none(connection, {"sink": self._sink})

    def move(self, before: int, after: int, leaf_hash: bytes) -> None:
        """Move the cursor on.

        Args:
            before: where it is.
            after: where it is then.
            leaf_hash: of the event before that.

        Raises:
            StateConflict: it is somewhere else: another exporter has moved it. Nothing was changed.
        """
        with translate(), self._engine.begin() as connection:
            values = {"sink": self._sink, "before": before, "after": after, "leaf_hash": leaf_hash}
            self._check_moved(_MOVE.all(connection, values))

    def pass_over(self, letter: UUID, before: int, after: int, leaf_hash: bytes, reason: str) -> None:
        """Make a dead letter of what the sink has refused for good, and move the cursor over it, in one transaction; raises as `move`."""
        values = {
            "id": letter,
            "sink": self._sink,
            "first": before,
            "last": after - 1,
            "reason": reason[:_ERROR_LENGTH],
        }
        with translate(), self._engine.begin() as connection:
            _LETTER.all(connection, values)
            moved = {"sink": self._sink, "before": before, "after": after, "leaf_hash": leaf_hash}
            self._check_moved(_PASS.all(connection, {**moved, "reason": values["reason"]}))

    def fail(self, error: str) -> None:
        """Keep why the last attempt has failed."""
        with translate(), self._engine.begin() as connection:
            _FAIL.all(connection, {"sink": self._sink, "error": error[:_ERROR_LENGTH]})

    def _check_moved(self, rows: list[Any]) -> None:
        if not rows:
            raise StateConflict(f"another exporter has moved the cursor of sink {self._sink!r}")


def sinks_of(engine: Engine) -> list[SinkStatus]:
    """Return how far every sink has come that was ever begun, by name."""
    with translate(), read_only(engine) as connection:
        return [SinkStatus(**row) for row in connection.execute(_STATUS).mappings()]


def dead_letters_of(engine: Engine, sink: str | None = None, *, is_open: bool = False) -> list[DeadLetter]:
    """Return what sinks have refused for good, in the order of their events.

    Args:
        engine: of the governance database.
        sink: only this one's.
        is_open: only those that were not replayed.
    """
    with translate(), read_only(engine) as connection:
        rows = connection.execute(_LETTERS, {"sink": sink, "is_open": is_open}).mappings()
        return [DeadLetter(**row) for row in rows]


def close_dead_letters(engine: Engine, letters: Sequence[UUID]) -> None:
    """Record that the sink has taken what it once refused."""
    with translate(), engine.begin() as connection:
        connection.execute(_CLOSE, {"letters": list(letters)})


def known_sink(connection: Connection, sink: str) -> Any:
    """Return the row of a sink; raises NotFound."""
    row = _READ.one_or_none(connection, {"sink": sink})
    if row is None:
        raise NotFound(f"no exporter has begun with a sink {sink!r}", remedy="`holdfast export status` lists them")
    return row


def begin(connection: Connection, sink: str, first: int) -> bool:
    """Record a new sink that begins with an index, and return whether it is new."""
    return bool(_BEGIN.all(connection, {"sink": sink, "first": first}))


def set_paused(connection: Connection, sink: str, *, is_paused: bool) -> None:
    """Record that a sink gets no events now, or that it does again."""
    (_PAUSE if is_paused else _RESUME).all(connection, {"sink": sink})


def published_size(connection: Connection) -> int:
    """Return how many events lie under the latest checkpoint."""
    return int(_PUBLISHED.scalar(connection) or 0)


_READ = Prepared(text("SELECT cursor, leaf_hash, paused_at FROM export_sink WHERE name = :sink"))
_PUBLISHED = Prepared(text("SELECT max(size) FROM ledger_checkpoint"))
_BEGIN = Prepared(
    text(
        "INSERT INTO export_sink (name, first, cursor) VALUES (:sink, :first, :first) ON CONFLICT DO NOTHING RETURNING name"
    )
)
_MOVE = Prepared(
    text(
        "UPDATE export_sink SET cursor = :after, leaf_hash = CAST(:leaf_hash AS bytea), delivered_at = now(), error = '',"
        " failing_since = NULL WHERE name = :sink AND cursor = :before RETURNING cursor"
    )
)
_PASS = Prepared(
    text(
        "UPDATE export_sink SET cursor = :after, leaf_hash = CAST(:leaf_hash AS bytea), error = :reason"
        " WHERE name = :sink AND cursor = :before RETURNING cursor"
    )
)
_FAIL = Prepared(
    text("UPDATE export_sink SET error = :error, failing_since = COALESCE(failing_since, now()) WHERE name = :sink")
)
_LETTER = Prepared(
    text("INSERT INTO export_dead_letter (id, sink, first, last, reason) VALUES (:id, :sink, :first, :last, :reason)")
)
_PAUSE = Prepared(text("UPDATE export_sink SET paused_at = now() WHERE name = :sink"))
_RESUME = Prepared(text("UPDATE export_sink SET paused_at = NULL WHERE name = :sink"))
_LETTERS = text(
    "SELECT id, sink, first, last, reason, created_at, replayed_at FROM export_dead_letter"
    " WHERE (CAST(:sink AS text) IS NULL OR sink = :sink) AND NOT (:is_open AND replayed_at IS NOT NULL)"
    " ORDER BY sink, first, id"
)
_CLOSE = text("UPDATE export_dead_letter SET replayed_at = now() WHERE id = ANY(:letters) AND replayed_at IS NULL")
_STATUS = text(
    """
    SELECT s.name, s.cursor, p.size AS published, GREATEST(p.size - s.cursor, 0) AS behind,
    round(COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - e.recorded_at), 0), 3)::float AS behind_s,
    s.delivered_at, s.error, s.failing_since, s.paused_at,
    (SELECT count(*) FROM export_dead_letter d WHERE d.sink = s.name AND d.replayed_at IS NULL) AS dead_letters
    FROM export_sink s
    CROSS JOIN (SELECT COALESCE(max(size), 0) AS size FROM ledger_checkpoint) p
    LEFT JOIN ledger_leaf l ON l.index = s.cursor AND s.cursor < p.size
    LEFT JOIN audit_event e ON e.id = l.event_id AND e.segment = l.segment ORDER BY s.name
    """
)
