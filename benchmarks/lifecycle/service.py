"""The service as it is served alone, with one addition: somebody who may approve.

`holdfast serve` knows service tokens only, and those never approve; inside Airflow the approver is a user whose session token Airflow
checks. Here the approver shows such a token, signed by HMAC-SHA-512 as Airflow signs its own, and it is verified at every call.
"""

import os
from functools import partial

import jwt
from fastapi import Request
from starlette.routing import Mount, Router

from holdfast.core.access import Bearer, Caller, Unauthenticated
from holdfast.settings import Platform, Settings
from holdfast_plugins.access import TOKEN_PREFIX, authenticate_service_token, bearer
from holdfast_plugins.app import MOUNT, create_app

APPROVER_KEY = "BENCHMARK_APPROVER_KEY"
_ALGORITHM = "HS512"


def app() -> Router:
    """Return the application by the settings of this process; `holdfast_plugins.app.standalone` with an approver."""
    authenticate = partial(_authenticate, os.environ[APPROVER_KEY])
    return Router(routes=[Mount(MOUNT, create_app(Platform.open(Settings.load()), authenticate))])


def approver_token(key: str, user: str) -> str:
    """Return a session token of a user."""
    return jwt.encode({"sub": user}, key, algorithm=_ALGORITHM)


async def _authenticate(key: str, request: Request, caller: Caller) -> Caller | Bearer:
    token = bearer(request) or ""
    if token.startswith(TOKEN_PREFIX):
        return await authenticate_service_token(request, caller)
    try:
        user = jwt.decode(token, key, algorithms=[_ALGORITHM])["sub"]
    except jwt.InvalidTokenError as error:
        raise Unauthenticated(f"the session token is not accepted ({type(error).__name__})") from None
    return Caller(f"user:{user}", request_id=caller.request_id, trace_id=caller.trace_id)
