"""What every command has: where the governance functions are, in which Project, and how results are shown."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from holdfast.cli.show import Output, Presenter
from holdfast.core.errors import InvalidRequest

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy import Engine

    from holdfast.core.access import Caller
    from holdfast.ports import Governance

_TOKEN = "HOLDFAST_TOKEN"  # noqa: S105 - a variable's name
_MAX_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Session:
    """The options that stand before every command.

    Attributes:
        present: shows results.
        project: the Project's name, if one was given.
        api_url: URL of the API, up to and including /holdfast/api/v1.
        ca_file: PEM file of the authorities that sign the API's certificate.
        is_direct: whether the governance database is opened instead of the API.
    """

    present: Presenter
    project: str | None
    api_url: str | None
    ca_file: str | None
    is_direct: bool

    @property
    def named_project(self) -> str:
        """The Project's name; raises InvalidRequest where none was given."""
        if not self.project:
            raise InvalidRequest("no Project is named", remedy="Give --project NAME, or set HOLDFAST_PROJECT")
        return self.project

    @property
    def named_api_url(self) -> str:
        """The API's URL; raises InvalidRequest where none was given."""
        if not self.api_url:
            raise InvalidRequest(
                "no API is named", remedy="Give --api-url URL, or set HOLDFAST_API_URL; it ends in /holdfast/api/v1"
            )
        return self.api_url

    @contextmanager
    def governance(self) -> "Iterator[Governance]":
        """Yield the governance functions: over the API with the token, or directly with the service's settings.

        Raises:
            InvalidRequest: a setting is missing.
        """
        if self.is_direct:
            from holdfast.settings import Platform, Settings

            platform = Platform.open(Settings.load())
            try:
                yield platform.governance(direct_caller())
            finally:
                platform.close()
            return
        from holdfast.client import GovernanceClient

        with GovernanceClient(self.named_api_url, _token(), ca_file=self.ca_file) as client:
            yield client


def _token() -> str:
    token = os.environ.get(_TOKEN, "")
    if not token and (path := os.environ.get(f"{_TOKEN}_FILE")):
        try:
            token = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(
                f"{_TOKEN}_FILE cannot be read: {getattr(error, 'strerror', 'it is not text')}",
                remedy="Name a file that holds the token",
            ) from None
    if not token.strip():
        raise InvalidRequest(
            "there is no token",
            remedy=f"Set {_TOKEN} or {_TOKEN}_FILE to a service token, or to what `holdfast login` prints",
        )
    if not token.strip().isascii() or not token.strip().isprintable():
        raise InvalidRequest(f"the token in {_TOKEN} holds a character that no token has", remedy="Copy it again")
    return token.strip()


@contextmanager
def engine_at(url: "SecretStr", pool_size: int = 2) -> "Iterator[Engine]":
    """Yield an engine of a login of the governance database, and give its connections back."""
    from holdfast.store.engine import open_engine

    engine = open_engine(url.get_secret_value(), pool_size=pool_size)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def service_database(pool_size: int = 2) -> "Iterator[Engine]":
    """Yield an engine of the service's login, where a command needs nothing else of the service."""
    from holdfast.settings import DatabaseSettings

    with engine_at(DatabaseSettings.load().database_url, pool_size) as engine:
        yield engine


def given(reason: str, what: str) -> str:
    """Return a reason; raises InvalidRequest where none is given, and says with what it stays."""
    if not reason.strip():
        raise InvalidRequest("no reason is given", remedy=f"Say why, by --reason; it stays with the {what}")
    return reason


def direct_caller() -> "Caller":
    """Return who asks where the governance database is opened instead of the API."""
    from holdfast.core.access import Caller

    return Caller(f"system:{_login()}", request_id=uuid4().hex)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def session_of(context: typer.Context) -> Session:
    """Return the session that the options before the command have made."""
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("a command runs below the root command")
    return found


def confirm(question: str, *, is_confirmed: bool) -> None:
    """Return when the person agrees; raises InvalidRequest where there is nobody to ask, typer.Abort where the answer is no."""
    if is_confirmed:
        return
    if not os.isatty(0):
        raise InvalidRequest(question, remedy="Nothing was changed; give --yes if this is meant")
    typer.confirm(f"{question} Go on?", abort=True, err=True)


def group(help_text: str) -> typer.Typer:
    """Return a group of commands, which shows its help when none is named."""
    return typer.Typer(help=help_text, no_args_is_help=True)


Command = Callable[..., None]
Limit = Annotated[int, typer.Option(min=1, max=_MAX_LIMIT, help="Items on a page.")]
Cursor = Annotated[str | None, typer.Option(help="Where the page before ended: its `next`.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit event.")]

__all__ = [
    "Command",
    "Cursor",
    "Limit",
    "Output",
    "Reason",
    "Session",
    "Yes",
    "confirm",
    "direct_caller",
    "group",
    "session_of",
]
