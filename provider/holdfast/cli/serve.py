"""`holdfast serve`: the REST API alone."""

import socket
from importlib.metadata import entry_points
from typing import Annotated

import typer

from holdfast.cli.session import session_of
from holdfast.core.errors import InvalidRequest, Unavailable


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8090,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
) -> None:
    """Serve the REST API alone, for service tokens only: the same application as inside Airflow's api-server.

    The settings come from the environment (HOLDFAST_DATABASE_URL, …); docs/reference/settings.md lists them.
    """
    import uvicorn

    from holdfast.settings import Settings, check_store, open_store

    settings = Settings.load()
    found = list(entry_points(group="holdfast.asgi", name="api"))
    if not found:
        raise InvalidRequest("the REST API is not installed", remedy="Install the wheel `holdfast` whole")
    _check_free(host, port)
    check_store(open_store(settings))  # every process does, and this one can still say so by its exit code
    session_of(context).present.note(
        f"serving http://{host}:{port}/holdfast/api/v1 (data planes are told {settings.api_url}); Ctrl-C ends it"
    )
    # No access log: the URL of a grant is a secret, and an access log would keep it.
    uvicorn.run(
        found[0].value, factory=True, host=host, port=port, workers=workers, access_log=False, server_header=False
    )


def _check_free(host: str, port: int) -> None:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind(address)
    except OSError as error:
        raise Unavailable(
            f"{host} port {port} cannot be listened on: {error.strerror}", remedy="Give another --host or --port"
        ) from None
