"""The engine: one pool of connections to the governance database."""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from sqlalchemy import Connection, Engine, create_engine

from holdfast.wire.canonical import dumps_json


def open_engine(url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine whose sessions speak UTC and give up rather than wait for ever; nothing is connected yet.

    Args:
        url: `postgresql+psycopg://…`.
        pool_size: connections at most, all of them kept. One opened beyond them under load would be closed after a single call: a new
            process in PostgreSQL and every statement planned anew, for each call, just when there is no time for it.
    """
    return create_engine(
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


@contextmanager
def read_only(engine: Engine) -> Iterator[Connection]:
    """Yield a connection for reading, outside any transaction: each statement sees what is committed when it begins.

    Under READ COMMITTED a transaction around them would show the same and cost two more round trips.
    """
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")
