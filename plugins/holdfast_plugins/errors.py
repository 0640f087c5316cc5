"""The one table from the six errors to HTTP, as problem details.

Source: RFC 9457.
"""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from holdfast.core import errors
from holdfast.core.access import Unauthenticated

logger = logging.getLogger("holdfast.api")

STATUS: dict[type[errors.HoldfastError], int] = {
    errors.InvalidRequest: 400,
    errors.NotFound: 404,
    errors.StateConflict: 409,
    errors.PolicyViolation: 403,
    errors.IntegrityViolation: 500,
    errors.Unavailable: 503,
}
MEDIA_TYPE = "application/problem+json"
_DOCUMENTED = {
    400: "The request is wrong",
    401: "The caller has not shown who it is",
    403: "Refused by a rule; the details name it",
    404: "There is no such thing, or it is not for the caller",
    409: "True a moment ago; read again and decide again",
    413: "The body is over the limit",
    422: "The request does not have the documented form",
    500: "Bytes or history are not what was recorded, or an unexpected error",
    503: "A dependency does not answer; Retry-After says when to try again",
}
_REFERENCE = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": _REFERENCE} for status, description in _DOCUMENTED.items()
}
"""What every route may answer instead of its reply, for the OpenAPI document."""
PROBLEM_SCHEMA = {
    "title": "Problem",
    "description": "A problem document (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail", "remedy"],
    "properties": {
        "type": {"type": "string", "description": "urn:holdfast:error:<name>"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, to which object"},
        "remedy": {"type": "string", "description": "What the reader can do"},
        "details": {"type": "object", "description": "Facts for machines: rule, digests, bounds, places"},
    },
}
_MOST_PLACES = 10


def problem(
    status: int, name: str, detail: str, *, remedy: str = "", headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Return a problem document; its type is `urn:holdfast:error:<name>`."""
    body = {
        "type": f"urn:holdfast:error:{name.replace(' ', '-')}",
        "title": name,
        "status": status,
        "detail": detail,
        "remedy": remedy,
        **more,
    }
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def problem_of(error: errors.HoldfastError, status: int | None = None) -> JSONResponse:
    """Return the problem document of one of the six errors."""
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, errors.Unavailable) else None
    return problem(
        status or STATUS[type(error)],
        error.title,
        error.message,
        remedy=error.remedy,
        headers=headers,
        details=error.details,
    )


def unauthenticated(message: str) -> JSONResponse:
    """Return the problem of a caller who has not shown who it is."""
    return problem(
        401,
        "unauthenticated",
        message,
        remedy="Send Authorization: Bearer <service token>, or log in to Airflow",
        headers={"WWW-Authenticate": 'Bearer realm="holdfast"'},
    )


def install(app: FastAPI) -> None:
    """Make every error that leaves the app a problem document; none repeats what the caller sent or shows a trace-back."""

    @app.exception_handler(errors.HoldfastError)
    async def _known(request: Request, error: errors.HoldfastError) -> JSONResponse:
        if isinstance(error, errors.IntegrityViolation):
            logger.error("integrity violation: %s", error, extra={"path": request.url.path})
        request.state.is_denied = isinstance(error, errors.NotFound) and error.is_denial
        return problem_of(error)

    @app.exception_handler(Unauthenticated)
    async def _unauthenticated(_: Request, error: Unauthenticated) -> JSONResponse:
        return unauthenticated(str(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        places = [
            {"at": ".".join(str(part) for part in item["loc"]), "problem": item["msg"]}
            for item in error.errors()[:_MOST_PLACES]
        ]
        first = (
            f"{places[0]['at']}: {places[0]['problem']}" if places else "the request does not have the documented form"
        )
        return problem(
            422,
            errors.InvalidRequest.title,
            first,
            remedy="See the OpenAPI document, /holdfast/api/v1/openapi.json",
            details={"places": places},
        )

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        name = {404: errors.NotFound.title, 405: "method not allowed"}.get(
            error.status_code, errors.InvalidRequest.title
        )
        remedy = "See the OpenAPI document, /holdfast/api/v1/openapi.json"
        return problem(error.status_code, name, str(error.detail), remedy=remedy, headers=dict(error.headers or {}))

    @app.exception_handler(ClientDisconnect)
    async def _gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        # Nobody reads this; it is here so that a caller who goes away is not taken for a bug.
        return problem(400, errors.InvalidRequest.title, "the connection broke before the body was whole")

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> JSONResponse:
        request_id = getattr(request.state, "request_id", "")
        logger.error("unexpected error", exc_info=error, extra={"request_id": request_id, "path": request.url.path})
        return problem(
            500,
            "internal error",
            "an unexpected error; nothing was changed",
            remedy=f"Look for request {request_id} in the log",
        )
