"""What holds for every call, before and after any route: request id, body limit, headers. Pure ASGI, because it is on every path."""

import random
import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.core.errors import InvalidRequest
from holdfast_plugins.errors import problem_of

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]


class Envelope:
    """Gives each call a request id and a trace id, refuses a body over the limit, and adds the security headers.

    Args:
        app: what comes next.
        body_limit_bytes: largest body, counted as it arrives, so that a missing or false Content-Length does not help.
        exempt: path part whose calls stream bytes under a grant that has a size of its own.
    """

    def __init__(self, app: ASGIApp, body_limit_bytes: int, exempt: str) -> None:
        self._app, self._limit, self._exempt = app, body_limit_bytes, exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if _REQUEST_ID.fullmatch(given) else b"%016x" % random.getrandbits(64)
        trace = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id.decode()
        state["trace_id"] = trace[1].decode() if trace else ""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": [*message.get("headers", []), (b"x-request-id", request_id), *_HEADERS],
                }
            await send(message)

        if self._exempt in scope["path"]:
            await self._app(scope, receive, send_with_headers)
            return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limit:
            await self._refuse(scope, receive, send_with_headers)
            return
        body = await self._read(receive)
        if body is None:
            await self._refuse(scope, receive, send_with_headers)
            return
        await self._app(scope, _replay(body, receive), send_with_headers)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the whole body, None as soon as it is over the limit."""
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(pieces)
            size += len(message.get("body", b""))
            if size > self._limit:
                return None
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = InvalidRequest(
            f"the body is larger than {self._limit} bytes",
            remedy="Send less in one call; bytes of Artifacts go by grants",
        )
        await problem_of(error, status=413)(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
