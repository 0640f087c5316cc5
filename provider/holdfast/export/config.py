"""The file that names the sinks: TOML, a table each. Secrets stand in files that it names, never in it."""

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from holdfast.core.errors import InvalidRequest
from holdfast.core.names import check_name

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Format(StrEnum):
    """How an event is written for a sink."""

    JSON = "json"
    OCSF = "ocsf"
    CEF = "cef"


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("it is not an absolute path")
    return path


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError("it is not a URL") from None
    if not is_whole or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("it is not a URL; write it as https://host/path")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a URL is no place for a secret: use authorization_file")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("it does not begin with https://; without TLS only this machine itself is reached")
    return url


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class SinkSettings(BaseModel):
    """What every sink is told.

    Attributes:
        format: how an event is written.
        batch: events that are handed over at once, at most.
        linger_s: how long a batch that is not full waits for more.
        limit_bytes: of a record; a larger one goes without its event.
        begin: the index it begins with, when it is new: `first`, `now`, or a number.
        retry_first_s: the wait after the first failure; it doubles with each.
        retry_longest_s: the longest wait.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format = Format.JSON
    batch: int = Field(default=500, ge=1, le=4096)
    linger_s: float = Field(default=0, ge=0, le=3600)
    limit_bytes: int = Field(default=1 << 20, ge=2048, le=16 << 20)
    begin: Literal["first", "now"] | Annotated[int, Field(ge=0, le=2**53 - 1)] = "first"
    retry_first_s: float = Field(default=1, gt=0, le=3600)
    retry_longest_s: float = Field(default=300, gt=0, le=86400)


class WebhookSettings(SinkSettings):
    """A receiver over HTTPS.

    Attributes:
        url: where batches are posted.
        key_file: of the key that signs them, 32 bytes at least.
        ca_file: PEM of the authorities that sign its certificate.
        authorization_file: holds the value of the header `Authorization`.
        timeout_s: for each step of a call.
    """

    kind: Literal["webhook"]
    url: Annotated[str, AfterValidator(_url)]
    key_file: AbsolutePath
    ca_file: AbsolutePath | None = None
    authorization_file: AbsolutePath | None = None
    timeout_s: float = Field(default=15, gt=0, le=300)


class SyslogSettings(SinkSettings):
    """A syslog receiver over TLS.

    Attributes:
        protocol: `tls` is RFC 5425; `relp` is RELP over TLS, where each message is acknowledged.
        host: its name, which its certificate has to be for.
        port: where it listens.
        sender: the name under which it knows this one; the machine's own where none is given.
        ca_file: PEM of the authorities that sign its certificate.
        certificate_file: PEM of the certificate that is shown to it.
        certificate_key_file: PEM of that certificate's private key, where it is in another file.
        timeout_s: for each step.
    """

    kind: Literal["syslog"]
    protocol: Literal["tls", "relp"] = "tls"
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=6514, ge=1, le=65535)
    sender: str = Field(default="", max_length=255)
    ca_file: AbsolutePath | None = None
    certificate_file: AbsolutePath | None = None
    certificate_key_file: AbsolutePath | None = None
    timeout_s: float = Field(default=15, gt=0, le=300)
    limit_bytes: int = Field(default=8000, ge=2048, le=16 << 20)


class FilesSettings(SinkSettings):
    """Segments of lines in a directory.

    Attributes:
        directory: made where it is not there.
    """

    kind: Literal["files"]
    directory: AbsolutePath
    batch: int = Field(default=4096, ge=1, le=4096)
    linger_s: float = Field(default=10, ge=0, le=3600)


AnySinkSettings = WebhookSettings | SyslogSettings | FilesSettings
_FILE: TypeAdapter[AnySinkSettings] = TypeAdapter(Annotated[AnySinkSettings, Field(discriminator="kind")])


def read_sinks(path: Path) -> dict[str, AnySinkSettings]:
    """Return the sinks of a file, by name.

    Raises:
        InvalidRequest: names the file, the sink and the key that is wrong, and never a value.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InvalidRequest(f"the sinks in {path} cannot be read: {reason}", remedy="Mount the file") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(
            f"{path} is not TOML: {error}", remedy="docs/how-to/export-events.md has a whole one"
        ) from None
    sinks = document.pop("sinks", None)
    if document or not isinstance(sinks, dict) or not sinks:
        raise InvalidRequest(
            f"{path} names no sinks", remedy="Write a table for each, as [sinks.siem], and nothing beside them"
        )
    return {name: _sink(path, name, table) for name, table in sinks.items()}


def _sink(path: Path, name: str, table: object) -> AnySinkSettings:
    try:
        check_name("sink", name)
        return _FILE.validate_python(table)
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}", remedy=error.remedy) from None
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        # Behind the kind by which the model was chosen, the key.
        wrong = "; ".join(f"{'.'.join(map(str, each['loc'][1:])) or 'kind'} ({each['msg']})" for each in problems)
        raise InvalidRequest(
            f"sink {name!r} in {path} is missing something, or it is wrong: {wrong}",
            remedy="docs/reference/export.md lists what a sink may be told",
        ) from None
