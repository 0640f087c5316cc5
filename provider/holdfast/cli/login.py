"""`holdfast login`: an Airflow access token for a person."""

import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from holdfast.cli.session import session_of
from holdfast.core.errors import HoldfastError, InvalidRequest, PolicyViolation, Unavailable

_MOUNT = "/holdfast/api/"


def login(
    context: typer.Context,
    user: Annotated[str, typer.Option("--user", "-u", help="The Airflow user.")],
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input.")] = False,
) -> None:
    """Print an Airflow access token, which acts as this user until it expires: export HOLDFAST_TOKEN=$(holdfast login …)."""
    import httpx

    from holdfast.client.transport import trust

    session = session_of(context)
    url = f"{_airflow_of(session.named_api_url)}/auth/token"
    password = (
        sys.stdin.readline().rstrip("\n") if password_stdin else typer.prompt("Password", hide_input=True, err=True)
    )
    try:
        with httpx.Client(verify=trust(session.ca_file), trust_env=False, timeout=60) as http:
            reply = http.post(url, json={"username": user, "password": password})
    except httpx.HTTPError as error:
        raise Unavailable(
            f"Airflow at {url} does not answer ({type(error).__name__})", remedy="Check --api-url and that it runs"
        ) from None
    if not reply.is_success:
        raise _refusal(user, url, reply.status_code)
    token = str(reply.json()["access_token"])
    session.present.secret(token, access_token=token)


def _airflow_of(api_url: str) -> str:
    """Return the URL of the Airflow in whose api-server the API is."""
    base, mount, _ = api_url.partition(_MOUNT)
    if not mount or not urlsplit(base).netloc:
        raise InvalidRequest(
            f"{api_url!r} is not the API inside an Airflow", remedy="It ends in /holdfast/api/v1; log-in needs Airflow"
        )
    return base


def _refusal(user: str, url: str, status: int) -> HoldfastError:
    if status in (400, 401, 403, 422):
        return PolicyViolation(f"Airflow does not let {user!r} in with this password", remedy="Check both")
    return Unavailable(
        f"Airflow at {url} answered {status}",
        remedy="Its auth manager has to give tokens at /auth/token, as FAB's does",
    )
