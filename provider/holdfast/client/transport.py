"""The one place that sends: retries what may be repeated, under the same idempotency key, and gives the six errors back."""

import random
import ssl
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from holdfast.core.backoff import back_off
from holdfast.core.errors import (
    ERRORS,
    HoldfastError,
    IntegrityViolation,
    InvalidRequest,
    NotFound,
    PolicyViolation,
    StateConflict,
    Unavailable,
)

Reply = TypeVar("Reply", bound=BaseModel)

_BY_TYPE = {f"urn:holdfast:error:{error.title.replace(' ', '-')}": error for error in ERRORS}
_BY_STATUS: dict[int, type[HoldfastError]] = {
    401: PolicyViolation,
    403: PolicyViolation,
    404: NotFound,
    409: StateConflict,
    413: InvalidRequest,
    422: InvalidRequest,
    400: InvalidRequest,
}
_FIRST_DELAY, _LONGEST_DELAY = timedelta(seconds=0.2), timedelta(seconds=5)


class Transport:
    """Sends calls to one API with one token; may be used from several threads."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float,
        attempts: int,
        ca_file: str | None,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.url = url.rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).netloc:
            raise InvalidRequest(
                f"{self.url[:200]!r} is not a URL of the Holdfast API", remedy="Write it as https://…/holdfast/api/v1"
            )
        self._attempts = attempts
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            transport=transport,
            verify=trust(ca_file),
            trust_env=False,
        )

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str, reply: type[Reply], query: Mapping[str, object] | None = None) -> Reply:
        """Return what stands at a path; raises one of the six errors."""
        parameters = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        return _parse(self._send("GET", path, parameters, None, None), reply)

    def post(self, path: str, reply: type[Reply], body: BaseModel | None, key: str | None) -> Reply:
        """Return the reply to a change; a call that gets no answer is repeated under the same key. Raises one of the six errors."""
        content = body.model_dump_json().encode() if body is not None else None
        return _parse(self._send("POST", path, {}, content, key or str(uuid4())), reply)

    def _send(
        self, method: str, path: str, query: dict[str, str], body: bytes | None, key: str | None
    ) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        for attempt in range(1, self._attempts + 1):
            try:
                response = self._http.request(method, path, params=query, content=body, headers=headers)
                if response.is_success:
                    self._check_is_api(response)
                    return response
                error = error_of(response)
            except httpx.HTTPError as failure:
                error = Unavailable(
                    f"the Holdfast API at {self.url} does not answer ({type(failure).__name__})",
                    remedy="Check the URL and that the api-server runs",
                )
            if not isinstance(error, Unavailable) or attempt == self._attempts:
                raise error
            delay = back_off(attempt, random.random(), _FIRST_DELAY, _LONGEST_DELAY)  # noqa: S311 - jitter
            time.sleep(delay.total_seconds())
        raise AssertionError("unreachable")

    def _check_is_api(self, response: httpx.Response) -> None:
        if not response.headers.get("content-type", "").startswith("application/json"):
            raise InvalidRequest(
                f"what answers at {self.url} is not the Holdfast API", remedy="Its URL ends in /holdfast/api/v1"
            )


def trust(ca_file: str | None) -> ssl.SSLContext | bool:
    """Return whom to believe about a server's name: the authorities in a file, or the usual ones. Raises InvalidRequest."""
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise InvalidRequest(
            f"the certificate authorities in {ca_file!r} cannot be read: {error.strerror or error}",
            remedy="Give a PEM file of the authority that signed the API's certificate",
        ) from None


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _parse(response: httpx.Response, reply: type[Reply]) -> Reply:
    try:
        return reply.model_validate_json(response.content)
    except ValidationError as error:
        raise IntegrityViolation(
            f"the reply of {response.request.url.path} is not a {reply.__name__}: {error.errors(include_input=False)[0]['msg']}",
            remedy="Use the client of the server's version",
        ) from None


def error_of(response: httpx.Response) -> HoldfastError:
    """Return the error that a reply stands for; a proxy's page is never quoted."""
    try:
        problem: dict[str, Any] = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict) or "detail" not in problem:
        problem = {"detail": f"the Holdfast API answered {response.status_code} without a problem document"}
    kind = _BY_TYPE.get(str(problem.get("type")), _BY_STATUS.get(response.status_code, Unavailable))
    message, remedy = str(problem["detail"]), str(problem.get("remedy", ""))
    if kind is Unavailable:
        return Unavailable(message, remedy=remedy)
    details = problem.get("details")
    return kind(message, remedy=remedy, details=details if isinstance(details, dict) else None)
