"""Denied calls, on record before the caller is told. Pure ASGI, because it is on every path; a call that is let in costs it nothing."""

import re
from functools import partial

from sqlalchemy import Engine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.core.access import Bearer, Caller
from holdfast.core.audit import AuditAction, Outcome
from holdfast.service.event import event_row, record_events
from holdfast_plugins.api.routing import in_thread
from holdfast_plugins.reply import Reply

_PROJECT = re.compile(r"/projects/([^/]{1,63})(?:/|$)")
_LONGEST_PATH = 500
NOBODY = "anonymous"
"""The initiator of what nobody has shown to have done."""


class Denials:
    """Records each call that is answered with 401 or 403, or with 404 because the caller may not know what is there.

    Args:
        app: what comes next; inside of what gives the call its request id.
        engine: the governance database.
    """

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app, self._engine = app, engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, Reply(send, scope, receive, self._record))

    async def _record(self, message: Message, scope: Scope) -> None:
        if _is_denied(scope, message["status"]):
            await in_thread(partial(record_events, self._engine, denial(scope, message["status"])))


def _is_denied(scope: Scope, status: int) -> bool:
    return status in (401, 403) or (status == 404 and bool(scope["state"].get("is_denied")))


def denial(scope: Scope, status: int) -> dict[str, object]:
    """Return the event of a denied call: who, as far as shown, and what was asked for. What stands behind `?` may be a secret."""
    state = scope["state"]
    shown: Caller | Bearer | None = state.get("caller")
    caller = Caller(
        shown.principal if isinstance(shown, Caller) and shown.principal else NOBODY,
        request_id=state["request_id"],
        trace_id=state["trace_id"],
    )
    path = printable(scope["path"])
    named = _PROJECT.search(path)
    content = {
        "status": status,
        "project": named[1] if named else None,
        "claimed": shown.principal if isinstance(shown, Bearer) else None,
        "address": (scope.get("client") or ("",))[0],
    }
    # A Project's own trail holds only what was done by who is known there: a stranger cannot fill it, nor learn by it what exists.
    return event_row(
        caller,
        None,
        AuditAction.CALL_DENIED,
        ("call", f"{scope['method']} {path}"),
        content,
        outcome=Outcome.REFUSED,
    )


def printable(text: str) -> str:
    """Return a text from outside as an event may hold it: bounded, and without what PostgreSQL or JSON cannot store."""
    return text[:_LONGEST_PATH].encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")
