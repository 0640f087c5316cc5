"""What every route is made of: strict JSON, the idempotency key, paging, the caller's governance functions."""

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import signature
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

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
    """A route whose body is parsed by the rules of canonical documents, so that two readers cannot read it differently."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, given the strict request."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            # Here and not in json(): FastAPI would turn what is raised there into a message without a place.
            if body := await strict.body():
                strict.document = parse_document(body)
            try:
                return await handle(strict)
            except (RequestValidationError, HoldfastError):
                # Whoever is not known is told that, and not what else is wrong with the call.
                if hasattr(strict.state, "caller"):
                    await identified(strict)
                raise

        return strictly


class _Router(APIRouter):
    """A router whose callers are known, and whose functions' replies are serialised in the thread that made them.

    FastAPI would send each reply through one more thread, to check there what is an instance of the declared model already.
    """

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        """Add a route; one that leads to no governance function, which would look a token up itself, has that done before."""
        if all(parameter.annotation != Governed for parameter in signature(endpoint).parameters.values()):
            more["dependencies"] = [*(more.get("dependencies") or ()), Depends(identified)]
        super().add_api_route(path, _serialised(endpoint, more.get("status_code") or 200), **more)


def _serialised(endpoint: Callable[..., Any], status: int) -> Callable[..., Any]:
    @wraps(endpoint)
    def answer(*args: Any, **values: Any) -> Any:
        reply = endpoint(*args, **values)
        if isinstance(reply, BaseModel):
            return Response(reply.model_dump_json(), status, media_type="application/json")
        return reply

    return answer


def router(tag: str) -> APIRouter:
    """Return a router all of whose routes need an authenticated caller."""
    return _Router(tags=[tag], route_class=StrictRoute, dependencies=[Depends(authenticated)], responses=PROBLEMS)


# A coroutine, as `governance` is: FastAPI sends every dependency that is not one through a thread.
async def _idempotency_key(idempotency_key: Annotated[str | None, Header(max_length=200)] = None) -> str:
    if not idempotency_key:
        raise InvalidRequest(
            "the call changes something and carries no Idempotency-Key",
            remedy="Send a header Idempotency-Key, a fresh UUID say; repeat it when you repeat the call",
        )
    return idempotency_key


Key = Annotated[str, Depends(_idempotency_key)]
Governed = Annotated[GovernanceService, Depends(governance)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query(max_length=1500)]

__all__ = ["DEFAULT_LIMIT", "Cursor", "Governed", "Key", "Limit", "StrictRoute", "router"]
