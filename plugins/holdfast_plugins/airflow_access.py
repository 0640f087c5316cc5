"""Who calls inside Airflow: the bearer of a service token, or a user whom Airflow's auth manager knows and lets in."""

from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from holdfast.core.access import Bearer, Caller, Unauthenticated
from holdfast.core.errors import PolicyViolation
from holdfast_plugins.access import TOKEN_PREFIX, authenticate_service_token, bearer

RESOURCE = "Holdfast"
_SAFE = {"GET", "HEAD", "OPTIONS"}
_SAME_SITE = {"same-origin", "none"}


async def authenticate_airflow_user(request: Request, caller: Caller) -> Caller | Bearer:
    """Return who calls; an Airflow user has to hold `can_read` on `Holdfast`.

    Raises:
        Unauthenticated: no token, or one that neither Holdfast nor Airflow accepts.
        PolicyViolation: Airflow does not let the user in, or the call comes from another site under the user's cookie.
    """
    token = bearer(request)
    if token is not None and token.startswith(TOKEN_PREFIX):
        return await authenticate_service_token(request, caller)
    if token is None:
        token = request.cookies.get(COOKIE_NAME_JWT_TOKEN)
        if token:
            _check_origin(request)
    if not token:
        raise Unauthenticated("the call carries neither a token nor a session")
    manager = get_auth_manager()
    try:
        user: Any = await manager.get_user_from_token(token)
    except Exception as error:  # noqa: BLE001 - each auth manager has its own; whatever it is, nobody has been shown
        raise Unauthenticated(f"Airflow does not accept the token ({type(error).__name__})") from None
    if user is None:
        raise Unauthenticated("Airflow does not know the token's user")
    may_enter = await run_in_threadpool(
        manager.is_authorized_custom_view, method="GET", resource_name=RESOURCE, user=user
    )
    name = user.get_name()
    if not may_enter:
        raise PolicyViolation(
            f"user:{name} may not use Holdfast",
            remedy="An Airflow Admin gives one of the user's roles `can read on Holdfast`",
            details={"rule": "access.airflow", "version": 1, "changed_by": "platform_owner"},
        )
    groups = frozenset(str(getattr(role, "name", role)) for role in getattr(user, "roles", None) or ())
    return Caller(f"user:{name}", groups, request_id=caller.request_id, trace_id=caller.trace_id)


def _check_origin(request: Request) -> None:
    """Refuse a change that another site makes under the user's cookie: Airflow's own API has no such check.

    Source: OWASP Cross-Site Request Forgery Prevention, Fetch Metadata and verifying the origin.
    """
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    same_origin = origin is not None and origin.partition("://")[2] == request.headers.get("host")
    if (site in _SAME_SITE and origin is None) or same_origin:
        return
    raise PolicyViolation(
        "the call does not come from this site's own pages",
        remedy="Scripts send Authorization: Bearer instead of a cookie",
        details={"rule": "access.same-origin", "version": 1, "changed_by": "nobody"},
    )
