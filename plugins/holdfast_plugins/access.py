"""Who calls: the bearer of a service token, or whoever the host application says."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from holdfast.core.access import Caller, Unauthenticated
from holdfast.service.access import authenticate_token
from holdfast.service.governance import GovernanceService
from holdfast.settings import Platform

Authenticate: TypeAlias = Callable[[Request, Caller], Awaitable[Caller]]

TOKEN_PREFIX = "hft_"  # noqa: S105 - the public beginning of every service token


async def authenticate_service_token(request: Request, caller: Caller) -> Caller:
    """Return the bearer of the call's service token, with the request and trace ids of `caller`; raises Unauthenticated."""
    token = bearer(request)
    if token is None:
        raise Unauthenticated("the call carries no service token")
    platform: Platform = request.app.state.platform
    return await run_in_threadpool(authenticate_token, platform.engine, token, caller)


def bearer(request: Request) -> str | None:
    """Return what stands behind `Authorization: Bearer`, None where there is no such header, or more than one to choose from."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def authenticated(request: Request) -> Caller:
    """Return who calls, and keep it for the route; every router but the public ones depends on this. Raises Unauthenticated."""
    authenticate: Authenticate = request.app.state.authenticate
    unnamed = Caller("", request_id=request.state.request_id, trace_id=request.state.trace_id)
    caller = await authenticate(request, unnamed)
    request.state.caller = caller
    return caller


async def governance(request: Request) -> GovernanceService:
    """Return the governance functions on behalf of who calls; it authorises every function itself."""
    platform: Platform = request.app.state.platform
    return platform.governance(request.state.caller)
