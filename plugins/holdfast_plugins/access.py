"""Who calls: the bearer of a service token, or whoever the host application says."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from holdfast.core.access import Bearer, Caller, Unauthenticated
from holdfast.service import access
from holdfast.service.access import bearer_of
from holdfast.service.governance import GovernanceService
from holdfast.settings import Platform

Authenticate: TypeAlias = Callable[[Request, Caller], Awaitable[Caller | Bearer]]

TOKEN_PREFIX = "hft_"  # noqa: S105 - the public beginning of every service token


async def authenticate_service_token(request: Request, caller: Caller) -> Bearer:
    """Return the bearer of the call's service token, with the request and trace ids of `caller`; raises Unauthenticated.

    The token is looked up by the governance function that the call leads to, with its first statement, so that it costs no round trip
    of its own; `identified` looks it up for every call that leads to none.
    """
    token = bearer(request)
    if token is None:
        raise Unauthenticated("the call carries no service token")
    return bearer_of(token, caller)


def bearer(request: Request) -> str | None:
    """Return what stands behind `Authorization: Bearer`, None where there is no such header, or more than one to choose from."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def authenticated(request: Request) -> None:
    """Keep who calls for the route; every route but the public ones begins with this. Raises Unauthenticated."""
    authenticate: Authenticate = request.app.state.authenticate
    unnamed = Caller("", request_id=request.state.request_id, trace_id=request.state.trace_id)
    request.state.caller = await authenticate(request, unnamed)


async def identified(request: Request) -> Caller:
    """Return who calls, a token looked up; every route that leads to no governance function begins with this, too. Raises Unauthenticated."""
    shown: Caller | Bearer = request.state.caller
    if isinstance(shown, Caller):
        return shown
    platform: Platform = request.app.state.platform
    caller = await run_in_threadpool(access.authenticate, platform.engine, shown)
    request.state.caller = caller
    return caller


def governance(request: Request) -> GovernanceService:
    """Return the governance functions on behalf of who calls; it authorises every function itself."""
    platform: Platform = request.app.state.platform
    return platform.governance(request.state.caller)
