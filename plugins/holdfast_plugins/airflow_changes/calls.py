"""Airflow's own API, pages and log-in: who asks for a change is on record before Airflow hears of it. Pure ASGI, on every path."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from starlette._utils import get_route_path
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.core.access import Caller
from holdfast.core.audit import AuditAction, Outcome
from holdfast.core.errors import HoldfastError
from holdfast_plugins.access import bearer
from holdfast_plugins.airflow_changes.recorder import CAUSE, Cause, Recorder
from holdfast_plugins.airflow_changes.users import claimed_task, user_is_known
from holdfast_plugins.api.routing import in_thread
from holdfast_plugins.denials import NOBODY, printable
from holdfast_plugins.errors import problem_of
from holdfast_plugins.reply import Reply

logger = logging.getLogger("holdfast.airflow")

TASK = "system:task"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MACHINE = re.compile(r"/execution(?:/|$)")
_MACHINE_CHANGES = re.compile(r"/execution/(?:variables|dag-runs)(?:/|$)")
_MACHINE_READS = re.compile(r"/execution/(?:variables|connections)/.")
_LOGIN = re.compile(r"/auth/(?:token|login|oauth-authorized|login_callback|fab/v1/login)(?:/|$)")
_READS = re.compile(
    r"/api/v2/(?:connections|variables|eventLogs|config)(?:/|$)"
    r"|/auth/(?:fab/v1/)?(?:users|roles|permissions|userstatschartview|userinfo)(?:/|$)"
)
_MOST_BODY_BYTES = 1 << 20
_CLEAR = frozenset(
    [
        "dag_id",
        "dag_ids",
        "task_id",
        "task_ids",
        "map_index",
        "dag_run_id",
        "run_id",
        "logical_date",
        "new_state",
        "state",
        "is_paused",
        "dry_run",
        "only_failed",
        "only_running",
        "reset_dag_runs",
        "connection_id",
        "conn_id",
        "conn_type",
        "pool",
        "slots",
        "name",
        "key",
        "username",
        "email",
        "role",
        "roles",
        "action",
        "action_on_existence",
        "action_on_non_existence",
        "entities",
        "include_upstream",
        "include_downstream",
        "include_future",
        "include_past",
        "backfill_id",
        "from_date",
        "to_date",
        "run_backwards",
        "max_active_runs",
        "update_mask",
        "limit",
        "offset",
        "order_by",
    ]
)


class Kind(Enum):
    """What a call is to the audit trail."""

    OURS = auto()
    MACHINE = auto()
    LOGIN = auto()
    READ = auto()
    CHANGE = auto()
    OTHER = auto()


def kind_of(method: str, path: str) -> Kind:
    """Return what a call is: whatever is not known to be harmless is a change."""
    is_safe = method in _SAFE
    if path.startswith("/holdfast/api/"):
        return Kind.OURS
    if _MACHINE.match(path):
        # What a task changes is recorded by the rows that change: its calls come before Airflow has looked at its token.
        return Kind.READ if is_safe and _MACHINE_READS.match(path) else Kind.MACHINE
    if _LOGIN.match(path):
        return Kind.LOGIN
    if not is_safe:
        return Kind.CHANGE
    return Kind.READ if _READS.match(path) else Kind.OTHER


@dataclass(frozen=True, slots=True)
class _Call:
    """One call, as its events name it."""

    caller: Caller
    target: tuple[str, str]
    content: dict[str, object]
    cause: Cause


class RecordCalls:
    """Records calls of Airflow's own API and pages; the calls of Holdfast's API are recorded by what they do.

    Args:
        app: what comes next.
        recorder: writes the events.
    """

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app, self._recorder = app, recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = get_route_path(scope)
        kind = kind_of(scope["method"], path)
        if kind is Kind.OURS:
            await self._app(scope, receive, send)
            return
        call = await self._call(scope, path, kind)
        if kind in (Kind.CHANGE, Kind.LOGIN):
            body, receive = await _body(receive)
            if kind is Kind.CHANGE and not await self._announce(call, scope, body, receive, send):
                return
        else:
            body = b""
        reply = Reply(send, scope, receive, partial(self._answer, call, kind, body))
        token = CAUSE.set(call.cause)
        try:
            await self._app(scope, receive, reply)
        except Exception:
            if call.cause.failure is None or reply.is_begun:
                raise
            await problem_of(call.cause.failure)(scope, receive, send)
        finally:
            CAUSE.reset(token)

    async def _call(self, scope: Scope, path: str, kind: Kind) -> _Call:
        request = Request(scope)
        what = f"{scope['method']} {printable(path)}"
        content: dict[str, object] = {"call": uuid4().hex, "address": (scope.get("client") or ("",))[0]}
        is_machine = False
        if _MACHINE.match(path):
            principal = TASK
            task = claimed_task(bearer(request))
            content["task_instance"] = task
            what = f"{what} by {task}"
            is_machine = not _MACHINE_CHANGES.match(path)
        else:
            # The pages' many reads are looked up only where they are denied.
            is_looked_up = kind is not Kind.LOGIN and (kind is not Kind.OTHER or path.startswith("/auth/"))
            principal = await _user(_token(request)) if is_looked_up else NOBODY
        caller = Caller(principal, request_id=printable(request.headers.get("x-request-id", ""))[:64])
        return _Call(caller, ("call", f"{scope['method']} {printable(path)}"), content, Cause(caller, what, is_machine))

    async def _announce(self, call: _Call, scope: Scope, body: bytes, receive: Receive, send: Send) -> bool:
        """Return whether the call may go on: it is on record."""
        action = (
            AuditAction.ANONYMOUS_CALL_RECEIVED
            if call.caller.principal == NOBODY
            else AuditAction.AIRFLOW_CALL_RECEIVED
        )
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        digests = self._recorder.digests
        content = {**call.content, "query": digests.summary(query, _CLEAR), "body": self._summary(body)}
        try:
            await in_thread(
                partial(self._recorder.record, self._recorder.event(call.caller, action, call.target, content))
            )
        except HoldfastError as error:
            await problem_of(error)(scope, receive, send)
            return False
        return True

    def _summary(self, body: bytes) -> object:
        if not body:
            return None
        digests = self._recorder.digests
        if len(body) > _MOST_BODY_BYTES:
            return f"more than {_MOST_BODY_BYTES} bytes"
        return digests.summary(_document(body), _CLEAR)

    async def _answer(self, call: _Call, kind: Kind, body: bytes, message: Message, scope: Scope) -> None:
        """Record how a call was answered, before the answer is sent; raises Unavailable where that keeps the answer back."""
        if call.cause.failure is not None:
            raise call.cause.failure
        status = int(message["status"])
        content = {**call.content, "status": status}
        outcome = Outcome.SUCCEEDED if status < 400 else Outcome.REFUSED
        event: Callable[..., dict[str, object]] = partial(self._recorder.event, outcome=outcome)
        if kind is Kind.LOGIN:
            session = _session_of(message)
            user = await _user(session) if session else NOBODY
            await in_thread(partial(self._record_login, call, body, status, user, is_safe=scope["method"] in _SAFE))
        elif status in (401, 403):
            caller = call.caller
            if kind is Kind.OTHER and caller.principal == NOBODY:
                caller = Caller(await _user(_token(Request(scope))), request_id=caller.request_id)
            denial = event(caller, AuditAction.CALL_DENIED, call.target, content)
            await in_thread(partial(self._recorder.record, denial))
        elif kind is Kind.READ and status < 400:
            read = event(call.caller, AuditAction.AIRFLOW_OBJECT_READ, call.target, content)
            await in_thread(partial(self._recorder.record, read))
        elif kind is Kind.CHANGE and call.caller.principal != NOBODY:
            answered = event(call.caller, AuditAction.AIRFLOW_CALL_ANSWERED, call.target, content)
            try:
                await in_thread(partial(self._recorder.record, answered))
            except HoldfastError as error:
                # What was asked for is on record, and done: to say that it is not would be wrong.
                logger.warning("the answer of %s was not recorded: %s", call.target[1], error)

    def _record_login(self, call: _Call, body: bytes, status: int, user: str, *, is_safe: bool) -> None:
        is_in = status == 201 or (status < 400 and user != NOBODY)
        if is_safe and not is_in:
            return  # the page, or a step on the way to a log-in elsewhere
        document = _document(body)
        name = document.get("username") if isinstance(document, dict) else None
        content: dict[str, object] = {**call.content, "status": status}
        caller = Caller(user, request_id=call.caller.request_id)
        if isinstance(name, str) and name:
            # Who does not exist may be a password in the wrong field.
            is_known = user_is_known(name)
            content["username"] = printable(name)[:200] if is_known else self._recorder.digests.of(name)
            if is_in and is_known and user == NOBODY:
                caller = Caller(f"user:{name}", request_id=caller.request_id)
        self._recorder.record(
            self._recorder.event(
                caller,
                AuditAction.LOGIN_ATTEMPTED,
                call.target,
                content,
                outcome=Outcome.SUCCEEDED if is_in else Outcome.REFUSED,
            )
        )


def _token(request: Request) -> str | None:
    return bearer(request) or request.cookies.get(COOKIE_NAME_JWT_TOKEN)


async def _user(token: str | None) -> str:
    if not token:
        return NOBODY
    try:
        user = await get_auth_manager().get_user_from_token(token)
    except Exception:  # noqa: BLE001 - each auth manager has its own; whatever it is, nobody has been shown
        return NOBODY
    return f"user:{user.get_name()}" if user is not None else NOBODY


async def _body(receive: Receive) -> tuple[bytes, Receive]:
    """Return the beginning of a body, at least as much as is looked at, and what gives all of it to the application."""
    messages: list[Message] = []
    size = 0
    while size <= _MOST_BODY_BYTES:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    body = b"".join(message.get("body", b"") for message in messages)
    waiting = iter(messages)

    async def replay() -> Message:
        return next(waiting, None) or await receive()

    return body, replay


def _document(body: bytes) -> Any:
    """Return a body's document: JSON, or the fields of a form; what is neither is taken as it stands."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=500))
    except ValueError:
        return body.decode("latin-1")


def _session_of(message: Message) -> str | None:
    """Return the token of the session that an answer begins, None where it begins none."""
    for name, value in message.get("headers", ()):
        if name.lower() == b"set-cookie":
            given = SimpleCookie(value.decode("latin-1"))
            if COOKIE_NAME_JWT_TOKEN in given and (token := given[COOKIE_NAME_JWT_TOKEN].value):
                return token
    return None
