"""A turn: what one process at a time does, while any number of others stand by.

It belongs to a session of the database and ends with it, however the process ends. It keeps two from working for nothing; what must
never happen twice, keys and conditions of tables see to.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

STANDSTILL_S = 30


@contextmanager
def take_turn(engine: Engine, name: str, standstill_s: int = STANDSTILL_S) -> Iterator[Callable[[], None] | None]:
    """Yield what keeps the turn of a name, None where another session has it.

    Args:
        engine: of the database.
        name: of the turn.
        standstill_s: who does not keep it for so long has lost it, in whole seconds.
    """
    with engine.connect() as connection:
        taken = connection.scalar(text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name})
        connection.commit()
        if not taken:
            yield None
            return

        def keep() -> None:
            connection.execute(text("SELECT 1"))
            connection.commit()

        try:
            # To the database a stopped process looks like one that thinks.
            connection.execute(text(f"SET idle_session_timeout = '{standstill_s}s'"))
            connection.commit()
            yield keep
        finally:
            # The session ends with the turn: back in the pool it would keep it.
            connection.invalidate()
