"""Keyset pagination: a page is what follows the last key seen, so that its cost does not grow with its number."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Connection, Integer, Row, Select, bindparam
from sqlalchemy.orm import InstrumentedAttribute

from holdfast.core.errors import InvalidRequest
from holdfast.ports import MAX_LIMIT
from holdfast.store.prepared import Prepared
from holdfast.wire.types import Page

Item = TypeVar("Item", bound=BaseModel)


def page_of(
    connection: Connection,
    statement: Select[Any],
    key: InstrumentedAttribute[Any],
    read: Callable[[Row[Any]], Item],
    *,
    limit: int,
    cursor: str | None,
    newest_first: bool = True,
    given: Mapping[str, Any] | None = None,
) -> Page[Item]:
    """Return one page of a statement, ordered by a unique key.

    Args:
        connection: where to read.
        statement: selects the rows; must select the key as its column named `page_key`, or as `id`.
        key: the unique column that orders the pages.
        read: makes an item of a row.
        limit: 1 to 500 items.
        cursor: `next` of the page before.
        newest_first: descending order.
        given: the values of the statement's parameters, for a statement that stands in a module; then its pages are built once, too.

    Raises:
        InvalidRequest: limit or cursor is not one.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit {limit} is not between 1 and {MAX_LIMIT}", remedy="Ask for fewer items a page")
    last = _decode(cursor, key.type.python_type) if cursor is not None else None
    how = {"newest_first": newest_first, "follows": last is not None}
    values = {"page_limit": limit + 1, **(given or {}), **({"page_last": last} if last is not None else {})}
    rows: Sequence[Any]
    if given is None:
        rows = connection.execute(_page(statement, key, **how), values).all()
    else:
        rows = _page_once(statement, key, **how).all(connection, values)
    following = _encode(rows[limit - 1].page_key) if len(rows) > limit else None
    return Page(items=[read(row) for row in rows[:limit]], next=following)


def _page(statement: Select[Any], key: InstrumentedAttribute[Any], *, newest_first: bool, follows: bool) -> Select[Any]:
    if follows:
        last = bindparam("page_last", type_=key.type)
        statement = statement.where(key < last if newest_first else key > last)
    return (
        statement.add_columns(key.label("page_key"))
        .order_by(key.desc() if newest_first else key.asc())
        .limit(bindparam("page_limit", type_=Integer))
    )


@cache
def _page_once(statement: Select[Any], key: InstrumentedAttribute[Any], **how: bool) -> Prepared:
    return Prepared(_page(statement, key, **how))


def _encode(key: object) -> str:
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def _decode(cursor: str, kind: type) -> object:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        return UUID(text) if kind is UUID else text
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f"{cursor[:40]!r} is not a cursor", remedy="Pass `next` of the page before, unchanged"
        ) from None
