"""Serves the API in a thread on a loopback port below 32768."""

from __future__ import annotations

import random
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount

from holdfast.core.access import Caller, Unauthenticated
from holdfast_plugins.access import authenticate_service_token, bearer
from holdfast_plugins.app import MOUNT, VERSION, create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import Request

    from holdfast.settings import Platform


def free_socket() -> socket.socket:
    """Return a listening socket on a free loopback port below the ephemeral ones."""
    # In no order, so that suites beside each other do not take a port that the other has just found free.
    for port in random.sample(range(20000, 32000), 500):
        candidate = socket.socket()
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            candidate.close()
            continue
        candidate.listen(256)
        return candidate
    raise RuntimeError("none of 500 ports between 20000 and 32000 is free")


def free_ports(count: int) -> list[int]:
    """Return free loopback ports, all different, for servers that open them by themselves."""
    with ExitStack() as held:
        return [held.enter_context(free_socket()).getsockname()[1] for _ in range(count)]


async def authenticate_by_name(request: Request, caller: Caller) -> Caller:
    """Stand in for Airflow: the bearer token `as user:mia groups a,b` is taken at its word; service tokens are checked as always."""
    token = bearer(request) or ""
    if token.startswith("hft_"):
        return await authenticate_service_token(request, caller)
    if not token.startswith(("user:", "system:")):
        raise Unauthenticated("who are you?")
    principal, _, groups = token.partition("|")
    return Caller(
        principal, frozenset(filter(None, groups.split(","))), request_id=caller.request_id, trace_id=caller.trace_id
    )


@contextmanager
def serve(platform: Platform) -> Iterator[str]:
    """Yield the URL of API v1 over a platform."""
    listening = free_socket()
    # Compressing what nothing forbids to compress, as Airflow's api-server does.
    app = Starlette(
        routes=[Mount(MOUNT, create_app(platform, authenticate_by_name))], middleware=[Middleware(GZipMiddleware)]
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the API did not start")
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}{MOUNT}{VERSION}"
    server.should_exit = True
    thread.join(20)
    listening.close()
