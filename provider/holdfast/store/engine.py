"""The engine: one pool of connections to the governance database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from psycopg.errors import Diagnostic
from sqlalchemy import Connection, Engine, create_engine, event

from holdfast.wire.canonical import dumps_json


def open_engine(url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine whose sessions speak UTC and give up rather than wait for ever; nothing is connected yet.

    Args:
        url: `postgresql+psycopg://…`.
        pool_size: connections at most, all of them kept. One opened beyond them under load would be closed after a single call: a new
            process in PostgreSQL and every statement planned anew, for each call, just when there is no time for it.
    """
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,
        pool_timeout=10,
        pool_pre_ping=False,
        json_serializer=dumps_json,
        json_deserializer=orjson.loads,
        hide_parameters=True,  # an error that is logged names the statement, and never what was bound to it
        connect_args={
            # What psycopg prepares by itself it gives up at each ROLLBACK, and all that others have prepared, too: see store/prepared.py.
            "prepare_threshold": None,
            "connect_timeout": 5,
            "application_name": "holdfast",
            "options": "-c timezone=UTC -c search_path=holdfast -c lock_timeout=10s -c statement_timeout=60s"
            " -c idle_in_transaction_session_timeout=60s",
        },
    )
    event.listen(engine, "connect", _keep_notices)
    return engine


_COVERED = "HF100"
_NOTICES = "holdfast.covered"


def _keep_notices(connection: Any, record: Any) -> None:
    """Keep what the database says of legal holds: it comes with the reply to what was written, and costs no round trip."""
    notices: list[str] = record.info.setdefault(_NOTICES, [])

    def keep(said: Diagnostic) -> None:
        if said.sqlstate == _COVERED and said.message_detail:
            notices.append(said.message_detail)

    connection.add_notice_handler(keep)


def take_covered(connection: Connection) -> list[dict[str, Any]]:
    """Return which holds have come to cover what this connection wrote since this was last asked."""
    notices = connection.info.get(_NOTICES, [])
    taken = [orjson.loads(one) for one in notices]
    notices.clear()
    return taken


@contextmanager
def read_only(engine: Engine) -> Iterator[Connection]:
    """Yield a connection for reading, outside any transaction: each statement sees what is committed when it begins.

    Under READ COMMITTED a transaction around them would show the same and cost two more round trips.
    """
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")
