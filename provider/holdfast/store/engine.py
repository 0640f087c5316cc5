"""The engine: one pool of connections to the governance database."""

from sqlalchemy import Engine, create_engine

from holdfast.wire.canonical import dumps_json


def open_engine(url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine whose sessions speak UTC and give up rather than wait for ever; nothing is connected yet.

    Args:
        url: `postgresql+psycopg://…`.
        pool_size: connections kept; as many again may be opened under load.
    """
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_pre_ping=False,
        json_serializer=dumps_json,
        connect_args={
            "connect_timeout": 5,
            "application_name": "holdfast",
            "options": "-c timezone=UTC -c search_path=holdfast -c lock_timeout=10s -c statement_timeout=60s"
            " -c idle_in_transaction_session_timeout=60s",
        },
    )
