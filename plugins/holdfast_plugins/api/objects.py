"""The bytes of objects, streamed. The grant in the URL is the only credential here; it names method, object, content and expiry."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from holdfast.core.errors import IntegrityViolation, InvalidRequest, NotFound
from holdfast.objects.filesystem import FilesystemStore, Writer
from holdfast.objects.grants import SIGNATURE
from holdfast_plugins.api.routing import in_thread
from holdfast_plugins.errors import PROBLEMS

logger = logging.getLogger("holdfast.api")

PREFIX = "/objects/"
_BUFFER_BYTES = 4 << 20


class _ObjectRoute(APIRoute):
    """A route that FastAPI finds and describes, and that is called with the key and the request as they come."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply: Response = await self.endpoint(scope["path_params"]["key"], Request(scope, receive, send))
        await reply(scope, receive, send)


routes = APIRouter(tags=["objects"], route_class=_ObjectRoute, responses=PROBLEMS)


def _directory(request: Request) -> FilesystemStore:
    """Return the store whose bytes go through this service; those of an S3 store do not."""
    objects = request.app.state.platform.objects
    if not isinstance(objects, FilesystemStore):
        raise NotFound(
            "the bytes of objects do not go through this service", remedy="Use the URL of the grant as it is"
        )
    return objects


class _Unfinished(StreamingResponse):
    """A stream that breaks off, and does not end, where the bytes are not those recorded: the server then closes the connection."""

    async def stream_response(self, send: Send) -> None:
        """Send the head and the pieces."""
        try:
            await super().stream_response(send)
        except IntegrityViolation as violation:
            logger.error("integrity violation: %s", violation)  # noqa: TRY400 - where it was noticed says nothing more


_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_GRANTED: dict[str, Any] = {
    "security": [],  # the URL of the grant is all there is
    "parameters": [
        {"name": name, "in": "query", "required": True, "schema": {"type": "string"}, "description": "of the grant"}
        for name in ("digest", "size", "expires", SIGNATURE)
    ],
}


@routes.get(
    PREFIX + "{key:path}",
    response_class=StreamingResponse,
    openapi_extra={**_GRANTED, "responses": {"200": {"content": _BYTES}}},
)
async def read_object(key: str, request: Request) -> StreamingResponse:
    """Read an object under a grant; the connection breaks before the end when the bytes are not those recorded."""
    objects = _directory(request)
    grant = objects.check_grant("GET", key, dict(request.query_params), datetime.now(UTC))
    facts = await in_thread(partial(objects.stat, key, grant.digest.hex()))
    if facts.size_bytes != grant.size_bytes:
        raise IntegrityViolation(
            f"the stored bytes of {key!r} have another size than recorded", remedy="Restore the object store"
        )
    pieces = objects.read(key, facts.version_id, grant.digest)
    # Before anything is sent: of a small object it is all, and what is wrong with that can still be said.
    first = await in_thread(partial(next, pieces))
    # Identity, said aloud: Airflow's api-server would compress the bytes, and with their length the early end would be lost.
    headers = {"Content-Length": str(facts.size_bytes), "Content-Encoding": "identity"}
    return _Unfinished(chain((first,), pieces), media_type="application/octet-stream", headers=headers)


@routes.put(
    PREFIX + "{key:path}",
    status_code=201,
    response_model=dict[str, str],
    openapi_extra={**_GRANTED, "requestBody": {"required": True, "content": _BYTES}},
)
async def write_object(key: str, request: Request) -> Response:
    """Store an object under a grant, and return its version id; nothing is stored unless every byte is as announced."""
    objects = _directory(request)
    grant = objects.check_grant("PUT", key, dict(request.query_params), datetime.now(UTC))
    length = request.headers.get("content-length")
    if length is not None and length != str(grant.size_bytes):
        raise InvalidRequest(
            f"the grant is for {grant.size_bytes} bytes, the call brings {length}", remedy="Ask for another grant"
        )
    await _store(objects.writer(key, grant.digest, grant.size_bytes), request.stream())
    return JSONResponse({"version_id": grant.digest.hex()}, 201)


async def _store(writer: Writer, stream: AsyncIterator[bytes]) -> None:
    """Store what arrives: a piece at a time, and what fits into one buffer with a single change of threads."""
    buffered: list[bytes] = []
    size = 0
    with writer:
        async for piece in stream:
            buffered.append(piece)
            size += len(piece)
            if size >= _BUFFER_BYTES:
                await in_thread(partial(writer.write, b"".join(buffered)))
                buffered, size = [], 0
        await in_thread(partial(_complete, writer, b"".join(buffered)))


def _complete(writer: Writer, rest: bytes) -> None:
    writer.write(rest)
    writer.commit()
