"""What every route is made of: strict JSON, the idempotency key, paging, the caller's governance functions."""

from asyncio import get_running_loop
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Match
from starlette.types import Scope

from holdfast.core.errors import HoldfastError, InvalidRequest
from holdfast.ports import DEFAULT_LIMIT, MAX_LIMIT
from holdfast.service.governance import GovernanceService
from holdfast.wire.canonical import parse_document
from holdfast_plugins.access import authenticated, governance, identified
from holdfast_plugins.errors import PROBLEMS


class _StrictRequest(Request):
    document: Any = None

    async def json(self) -> Any:
        return self.document


class StrictRoute(APIRoute):
    """A route that begins with who calls, and whose body is parsed by the rules of canonical documents: no two readers read it differently.

    What FastAPI would do by dependencies is done here, because it spends a sixth of a call's processor time on each of them.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        if ":path}" in path:
            raise ValueError(f"{path} has parts of its own in a parameter; this route counts parts")
        self._parts = path.count("/")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether this is the call's route; most are told apart by the number of their parts, without a regular expression."""
        if (parts := scope.get(_PARTS)) is None:
            path, root = scope["path"], scope.get("root_path", "")
            parts = scope[_PARTS] = path.count("/") - (root.count("/") if path.startswith(root) else 0)
        return super().matches(scope) if parts == self._parts else (Match.NONE, {})

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, given the strict request."""
        handle = super().get_route_handler()
        parameters = signature(self.endpoint).parameters
        is_governed, takes_key = _CALL in parameters, _KEY in parameters

        async def strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            await authenticated(strict)
            if not is_governed:
                await identified(strict)
            try:
                # Here and not in json(): FastAPI would turn what is raised there into a message without a place.
                if body := await strict.body():
                    strict.document = parse_document(body)
                if takes_key and not strict.headers.get("idempotency-key"):
                    raise _no_key()
                return await handle(strict)
            except (RequestValidationError, HoldfastError):
                # Whoever is not known is told that, and not what else is wrong with the call.
                await identified(strict)
                raise

        return strictly


def _no_key() -> InvalidRequest:
    return InvalidRequest(
        "the call changes something and carries no Idempotency-Key",
        remedy="Send a header Idempotency-Key, a fresh UUID say; repeat it when you repeat the call",
    )


class _Router(APIRouter):
    """A router whose functions are given what they ask for by `Governed` and `Key`, and answer with a reply that is serialised already.

    FastAPI would send each reply through one more thread, to check there what is an instance of the declared model. The threads are
    those of concurrent.futures, because handing a call to anyio's takes twice the processor time of handing it to these.
    """

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        """Add a route."""
        super().add_api_route(path, _served(endpoint, more.get("status_code") or 200), **more)


def _served(endpoint: Callable[..., Any], status: int) -> Callable[..., Any]:
    """Return a function as FastAPI is to see it: with the request and a header instead of the parameters that are ours."""
    asked = signature(endpoint)
    governed = [name for name, parameter in asked.parameters.items() if parameter.annotation == Governed]
    key = [name for name, parameter in asked.parameters.items() if parameter.annotation == Key]

    def serve(values: dict[str, Any]) -> Any:
        for name in governed:
            values[name] = governance(values.pop(_CALL))
        for name in key:
            values[name] = values.pop(_KEY)
        reply = endpoint(**values)
        if isinstance(reply, BaseModel):
            return Response(reply.model_dump_json(), status, media_type="application/json")
        return reply

    @wraps(endpoint)
    async def answer(**values: Any) -> Any:
        return await get_running_loop().run_in_executor(_THREADS, copy_context().run, serve, values)

    seen = [p.replace(kind=p.KEYWORD_ONLY) for name, p in asked.parameters.items() if name not in (*governed, *key)]
    seen += [Parameter(_CALL, Parameter.KEYWORD_ONLY, annotation=Request)] if governed else []
    seen += [Parameter(_KEY, Parameter.KEYWORD_ONLY, annotation=_Header, default=None)] if key else []
    answer.__signature__ = asked.replace(parameters=seen)  # type: ignore[attr-defined]
    return answer


def router(tag: str) -> APIRouter:
    """Return a router all of whose routes need an authenticated caller."""
    return _Router(tags=[tag], route_class=StrictRoute, responses=PROBLEMS)


# More calls than this at a time wait here for one of the connections, which are fewer; some of the calls need none.
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="holdfast")
_CALL, _KEY, _PARTS = "http_call", "idempotency_key", "holdfast.parts"
_Header = Annotated[str | None, Header(max_length=200)]
Key = Annotated[str, "the idempotency key"]
Governed = Annotated[GovernanceService, "the governance functions on behalf of who calls"]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query(max_length=1500)]

__all__ = ["DEFAULT_LIMIT", "Cursor", "Governed", "Key", "Limit", "StrictRoute", "router"]
