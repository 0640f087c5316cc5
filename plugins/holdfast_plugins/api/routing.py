"""What every route is made of: strict JSON, the idempotency key, paging, the caller's governance functions.

FastAPI finds the route and describes it; the call itself is read and answered here, from the same signature. FastAPI's own way there
(exit stacks, a tree of dependencies, each parameter by itself) takes more processor time than most of the functions behind it.
"""

from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from email.message import Message
from functools import partial, update_wrapper
from inspect import Parameter, signature, unwrap
from typing import Annotated, Any, TypeVar, cast

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from holdfast.core.access import Caller
from holdfast.core.errors import HoldfastError, InvalidRequest
from holdfast.ports import DEFAULT_LIMIT, MAX_LIMIT
from holdfast.service.governance import GovernanceService
from holdfast.wire.canonical import parse_document
from holdfast_plugins.access import authenticated, governance, identified
from holdfast_plugins.errors import PROBLEMS

Outcome = TypeVar("Outcome")

# More calls than this at a time wait here for one of the connections, which are fewer; some of the calls need none.
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="holdfast")
_PARTS = "holdfast.parts"
_MAX_KEY_LENGTH = 200
Key = Annotated[str, "the idempotency key"]
Governed = Annotated[GovernanceService, "the governance functions on behalf of who calls"]
Known = Annotated[Caller, "who calls, looked up"]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query(max_length=1500)]

__all__ = ["DEFAULT_LIMIT", "Cursor", "Governed", "Key", "Known", "Limit", "StrictRoute", "in_thread", "router"]


async def in_thread(call: Callable[[], Outcome]) -> Outcome:
    """Return what a function returns that waits for the database or the disk; anyio's threads take twice the processor time."""
    return await get_running_loop().run_in_executor(_THREADS, copy_context().run, call)


class StrictRoute(APIRoute):
    """A route that begins with who calls, and whose body is parsed by the rules of canonical documents: no two readers read it differently."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        endpoint = unwrap(endpoint)  # a route that is included in another router comes as it was described
        super().__init__(path, _described(endpoint), **more)
        if ":path}" in path:
            raise ValueError(f"{path} has parts of its own in a parameter; this route counts parts")
        self._parts = path.count("/")
        self._answer_to = endpoint
        self._form = _Form.of(endpoint, self.param_convertors)
        self._status = self.status_code or 200
        self.app = self._serve

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether this is the call's route; most are told apart by the number of their parts, without a regular expression."""
        if (parts := scope.get(_PARTS)) is None:
            path, root = scope["path"], scope.get("root_path", "")
            parts = scope[_PARTS] = path.count("/") - (root.count("/") if path.startswith(root) else 0)
        return super().matches(scope) if parts == self._parts else (Match.NONE, {})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        await authenticated(request)
        if not self._form.is_governed:
            await identified(request)
        try:
            values = self._form.read(request, await request.body())
            reply = await in_thread(partial(self._answer, request, values))
        except (RequestValidationError, HoldfastError):
            # Whoever is not known is told that, and not what else is wrong with the call.
            await identified(request)
            raise
        await reply(scope, receive, send)

    def _answer(self, request: Request, values: dict[str, Any]) -> Response:
        for name, provide in self._form.provided.items():
            values[name] = provide(request)
        reply = self._answer_to(**values)
        body = reply.model_dump_json() if isinstance(reply, BaseModel) else orjson.dumps(reply)
        return Response(body, self._status, media_type="application/json")


@dataclass(frozen=True, slots=True)
class _Form:
    """What a function asks for by its signature, and how a call is read for it.

    Attributes:
        provided: what is ours to give, by parameter.
        body: parameter and model of the body.
        others: the parameters in path and query.
        in_path: those of them that are in the path.
    """

    provided: Mapping[str, Callable[[Request], Any]]
    body: tuple[str, type[BaseModel]] | None
    others: type[BaseModel]
    in_path: frozenset[str]

    @property
    def is_governed(self) -> bool:
        """Whether a governance function looks up who calls."""
        return governance in self.provided.values()

    @classmethod
    def of(cls, endpoint: Callable[..., Any], in_path: Mapping[str, Any]) -> "_Form":
        """Return the form of a function."""
        provided, body, others = {}, None, {}
        for name, parameter in signature(endpoint).parameters.items():
            if (provide := _provider(parameter)) is not None:
                provided[name] = provide
            elif isinstance(parameter.annotation, type) and issubclass(parameter.annotation, BaseModel):
                body = (name, parameter.annotation)
            else:
                default = ... if parameter.default is Parameter.empty else parameter.default
                others[name] = (parameter.annotation, default)
        made = create_model("Parameters", __config__=ConfigDict(protected_namespaces=(), extra="forbid"), **others)  # type: ignore[call-overload]
        return cls(provided, body, made, frozenset(in_path))

    def read(self, request: Request, body: bytes) -> dict[str, Any]:
        """Return the values of all parameters but those that are provided.

        Raises:
            InvalidRequest: the body is no canonical document, or there is no idempotency key where one is due.
            RequestValidationError: a value does not have the documented form.
        """
        if b"%2f" in request.scope.get("raw_path", b"").lower():
            raise InvalidRequest("a part of the path holds an encoded slash", remedy="No name holds a slash")
        document = parse_document(body) if body else None
        if _key in self.provided.values():
            _check_key(request.headers.getlist("idempotency-key"))
        try:
            values = self.others.model_validate(self._parameters(request)).__dict__
        except ValidationError as error:
            raise _places(error, lambda place: ("path" if place[0] in self.in_path else "query", *place)) from None
        if self.body is None:
            return values
        name, model = self.body
        if not body:
            raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
        _check_media_type(request.headers.getlist("content-type"))
        try:
            return {**values, name: model.model_validate(document)}
        except ValidationError as error:
            raise _places(error, lambda place: ("body", *place)) from None

    def _parameters(self, request: Request) -> dict[str, str]:
        given = _query(request)
        if beside := self.in_path & given.keys():
            problem = "stands in the path and is no parameter"
            raise RequestValidationError([{"type": "extra_forbidden", "loc": ("query", *beside), "msg": problem}])
        return {**given, **request.scope["path_params"]}


def _places(error: ValidationError, place: Callable[[tuple[int | str, ...]], tuple[int | str, ...]]) -> Exception:
    found = error.errors(include_url=False, include_input=False)
    return RequestValidationError([{**item, "loc": place(item["loc"])} for item in found])


def _query(request: Request) -> dict[str, str]:
    """Return the parameters behind the `?`, each of which is given once: two readers might take another one of two."""
    given = request.query_params
    pairs = given.multi_items()
    if len(pairs) != len(given):
        twice = next(name for name in given if len(given.getlist(name)) > 1)
        raise InvalidRequest(f"the parameter {twice[:80]!r} is given twice", remedy="Give each parameter once")
    return dict(pairs)


def _check_key(keys: list[str]) -> None:
    if len(keys) != 1 or not keys[0]:
        raise InvalidRequest(
            f"the call changes something and carries {'more than one' if len(keys) > 1 else 'no'} Idempotency-Key",
            remedy="Send one header Idempotency-Key, a fresh UUID say; repeat it when you repeat the call",
        )
    if len(keys[0]) > _MAX_KEY_LENGTH:
        problem = f"String should have at most {_MAX_KEY_LENGTH} characters"
        raise RequestValidationError(
            [{"type": "string_too_long", "loc": ("header", "Idempotency-Key"), "msg": problem}]
        )


def _check_media_type(given: list[str]) -> None:
    """Refuse a body that a browser would send from any site without asking, as a form or as plain text, and one in another encoding."""
    if given == ["application/json"]:
        return
    message = Message()
    message["content-type"] = given[0] if len(given) == 1 else ""
    subtype = message.get_content_subtype() if message.get_content_maintype() == "application" else ""
    is_utf8 = message.get_content_charset("utf-8") == "utf-8"
    if (subtype != "json" and not subtype.endswith("+json")) or not is_utf8:
        raise InvalidRequest(
            "the body is not said to be JSON in UTF-8", remedy="Send one header Content-Type: application/json"
        )


def _key(request: Request) -> str:
    return request.headers["idempotency-key"]


def _known(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


def _request(request: Request) -> Request:
    return request


def _provider(parameter: Parameter) -> Callable[[Request], Any] | None:
    """Return what provides a parameter that is not in path, query or body."""
    # Not a dictionary: an annotation with a Query in it has no hash.
    ours = ((Governed, governance), (Key, _key), (Known, _known), (Request, _request))
    return next((provide for annotation, provide in ours if parameter.annotation == annotation), None)


def _described(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function as FastAPI is to describe it: without what is provided, and with the header. Nobody calls it."""
    described: Any = update_wrapper(partial(endpoint), endpoint)
    asked = signature(endpoint)
    providers = {name: _provider(parameter) for name, parameter in asked.parameters.items()}
    seen = [p.replace(kind=Parameter.KEYWORD_ONLY) for name, p in asked.parameters.items() if providers[name] is None]
    if _key in providers.values():
        header = Annotated[str, Header(min_length=1, max_length=_MAX_KEY_LENGTH)]
        seen.append(Parameter("idempotency_key", Parameter.KEYWORD_ONLY, annotation=header))
    described.__signature__ = asked.replace(parameters=seen)
    return cast("Callable[..., Any]", described)


def router(tag: str) -> APIRouter:
    """Return a router all of whose routes need an authenticated caller."""
    return APIRouter(tags=[tag], route_class=StrictRoute, responses=PROBLEMS)
