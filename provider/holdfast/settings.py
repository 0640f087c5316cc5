"""The settings of a service process, read once when it starts, and what is opened from them.

Every variable is `HOLDFAST_<NAME>`; a value may also stand in a file named by `HOLDFAST_<NAME>_FILE` for the secrets.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Engine

from holdfast.core.access import Bearer, Caller
from holdfast.core.errors import InvalidRequest, Unavailable
from holdfast.core.sources import SourceRules
from holdfast.ledger.place import DirectoryPlace, Place
from holdfast.objects.filesystem import FilesystemStore
from holdfast.objects.guarded import GuardedStore
from holdfast.ports import ObjectStore
from holdfast.service.governance import GovernanceService
from holdfast.service.sources import NO_SOURCES, Sources
from holdfast.store.engine import open_engine

if TYPE_CHECKING:
    from holdfast.ledger.keys import FileSigner
    from holdfast.ledger.sequencer import Sequencer

logger = logging.getLogger("holdfast.settings")


def _postgresql(url: SecretStr) -> SecretStr:
    scheme, separator, rest = url.get_secret_value().partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError("it is not a PostgreSQL URL; write it as postgresql+psycopg://user:password@host/database")
    return SecretStr(f"postgresql+psycopg://{rest}")


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("it is not an absolute directory")
    return path


def _source_rules(text: str) -> str:
    try:
        SourceRules.parse(text)
    except InvalidRequest as error:
        raise ValueError(str(error)) from None
    return text


DatabaseUrl = Annotated[SecretStr, AfterValidator(_postgresql)]


class _Environment(BaseSettings):
    """Settings that come from variables, or, for the secrets, from files that variables name."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", extra="ignore", frozen=True)

    @classmethod
    def load(cls) -> Self:
        """Return the settings of this process's environment.

        Raises:
            InvalidRequest: a variable is missing or has no meaning; names it and not its value.
        """
        values: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            variable = f"HOLDFAST_{name.upper()}_FILE"
            if field.annotation is SecretStr and (path := os.environ.get(variable)):
                try:
                    values[name] = Path(path).read_text().strip()
                except (OSError, UnicodeDecodeError) as error:
                    raise InvalidRequest(
                        f"{variable} cannot be read: {getattr(error, 'strerror', 'it is not text')}",
                        remedy="Mount the file",
                    ) from None
        try:
            return cls(**values)
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False, include_context=False)
            names = ", ".join(
                sorted({f"HOLDFAST_{str(item['loc'][0]).upper()} ({item['msg']})" for item in problems if item["loc"]})
            ) or "; ".join(item["msg"] for item in problems)
            raise InvalidRequest(
                f"the settings are missing or wrong: {names}",
                remedy="Set them in the environment; docs/reference/settings.md lists them",
            ) from None


class Settings(_Environment):
    """What a service process needs to know."""

    database_url: DatabaseUrl = Field(description="PostgreSQL URL of the service role, postgresql+psycopg://…")
    objects_root: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        default=None, description="absolute directory of the file system object store, for one machine"
    )
    s3_bucket: str | None = Field(
        default=None,
        min_length=3,
        description="bucket of the S3 object store, with versions and Object Lock; either this or a directory",
    )
    s3_endpoint_url: str | None = Field(
        default=None, description="URL of the S3 server; Amazon's own where none is given"
    )
    s3_region: str = Field(default="us-east-1", description="region, as the S3 server calls it")
    s3_sources: Annotated[str, AfterValidator(_source_rules)] = Field(
        default="",
        description="what data in S3 each Project may read, as `project=s3://bucket/prefix/`, separated by commas; "
        "on the same S3 server, whether the object store is there or not",
    )
    grant_key: SecretStr = Field(min_length=32, description="secret that signs grants; the same in every replica")
    api_url: str = Field(description="URL at which data planes reach the API, up to and including /holdfast/api/v1")
    body_limit_bytes: int = Field(default=4 << 20, ge=1024, description="largest JSON body that a call may have")
    grant_lifetime_s: int = Field(
        default=900,
        ge=10,
        le=86400,
        description="seconds after which a grant no longer moves an object's bytes; one more for each 4 MiB that are moved with it",
    )
    pool_size: int = Field(default=10, ge=1, le=200, description="database connections at most, kept open")

    @model_validator(mode="after")
    def _check_one_store(self) -> Self:
        if (self.objects_root is None) == (self.s3_bucket is None):
            raise ValueError("exactly one of HOLDFAST_OBJECTS_ROOT and HOLDFAST_S3_BUCKET names the object store")
        return self


class OwnerSettings(_Environment):
    """What `holdfast db` needs to know, and nothing else does: the owner's login never reaches a service process."""

    owner_url: DatabaseUrl = Field(description="PostgreSQL URL of the owner role, postgresql+psycopg://…")


class LedgerSettings(_Environment):
    """What the audit ledger needs to know: where the log is, and, for who extends it, its key."""

    ledger_root: Annotated[Path, AfterValidator(_absolute)] = Field(
        description="absolute directory of the log: entries, tiles and checkpoint, which anybody may read"
    )
    ledger_key: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        default=None, description="file of the log's private key, mode 0600; only for processes that extend the log"
    )
    ledger_copies: str = Field(
        default="", description="directories that get every checkpoint, as witnesses' folders; separated by commas"
    )

    def signer(self) -> "FileSigner":
        """Return the log's key; raises InvalidRequest."""
        # Only who extends the log signs: every other process of the service starts without the library for it.
        from holdfast.ledger.keys import FileSigner

        if self.ledger_key is None:
            raise InvalidRequest(
                "the log's key is not named", remedy="Set HOLDFAST_LEDGER_KEY; `holdfast ledger key` makes one"
            )
        return FileSigner.read(self.ledger_key)

    def log(self) -> Place:
        """Return where the log is read."""
        return DirectoryPlace(self.ledger_root)

    def copies(self) -> list[Place]:
        """Return what gets every checkpoint."""
        return [DirectoryPlace(Path(path.strip())) for path in self.ledger_copies.split(",") if path.strip()]


class DatabaseSettings(_Environment):
    """What a process needs to know that opens the governance database and nothing else."""

    database_url: DatabaseUrl = Field(description="PostgreSQL URL of the service role, postgresql+psycopg://…")


class ExportSettings(DatabaseSettings):
    """What an exporter needs to know beside where the log is: it holds no grant key and opens no object store."""

    export_sinks: Annotated[Path, AfterValidator(_absolute)] = Field(
        description="absolute path of the TOML file that names the sinks of the export, for `holdfast export`"
    )


def open_sequencer(engine: Engine, settings: LedgerSettings) -> "Sequencer":
    """Return the sequencer of these settings; raises InvalidRequest where the key cannot be read."""
    from holdfast.ledger.keys import is_signed
    from holdfast.ledger.publish import Publisher
    from holdfast.ledger.sequencer import Sequencer

    return Sequencer(engine, Publisher(engine, settings.signer(), is_signed, settings.log(), settings.copies()))


def open_store(settings: Settings) -> FilesystemStore | GuardedStore:
    """Return the object store of these settings; nothing is connected yet. Raises InvalidRequest where a package is missing."""
    if settings.objects_root is not None:
        key = settings.grant_key.get_secret_value().encode()
        return FilesystemStore(settings.objects_root, key, settings.api_url)
    session = _s3_session("HOLDFAST_S3_BUCKET")
    from holdfast.objects.s3 import S3Store

    bucket = settings.s3_bucket or ""
    return GuardedStore(S3Store(bucket, session, endpoint_url=settings.s3_endpoint_url, region=settings.s3_region))


def open_sources(settings: Settings) -> Sources:
    """Return the S3 sources of these settings; nothing is connected yet. Raises InvalidRequest where a package is missing."""
    rules = SourceRules.parse(settings.s3_sources)
    if not rules.allowed:
        return NO_SOURCES
    session = _s3_session("HOLDFAST_S3_SOURCES")
    from holdfast.objects.s3_sources import S3Sources

    return Sources(rules, S3Sources(session, endpoint_url=settings.s3_endpoint_url, region=settings.s3_region))


def _s3_session(because: str) -> Any:
    # Only an installation with S3 has boto3; its credentials come as boto3 finds them, from a workload identity for one.
    try:
        import boto3
    except ImportError:
        raise InvalidRequest(f"{because} is set and boto3 is not installed", remedy="Install holdfast[s3]") from None
    return boto3.Session()


def check_store(objects: ObjectStore) -> None:
    """Return when an object store may be used, or does not answer now, which is logged: it is looked at again before its first use.

    Raises:
        InvalidRequest: the bucket, the credentials or the clock are wrong; the service must not start.
        IntegrityViolation: the store takes other bytes than those that a grant is for.
    """
    if not isinstance(objects, GuardedStore):
        return
    try:
        objects.admit()
    except Unavailable as error:
        logger.warning("starting without the object store, which is looked at again when it is needed: %s", error)


@dataclass(frozen=True, slots=True)
class Platform:
    """An open engine, object store and sources; governance functions are made from it for one caller at a time."""

    settings: Settings
    engine: Engine
    objects: ObjectStore
    sources: Sources = NO_SOURCES

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Return the platform of these settings; nothing is connected yet."""
        engine = open_engine(settings.database_url.get_secret_value(), pool_size=settings.pool_size)
        return cls(settings, engine, open_store(settings), open_sources(settings))

    def governance(self, caller: Caller | Bearer) -> GovernanceService:
        """Return the governance functions on behalf of a caller."""
        lifetime_s = self.settings.grant_lifetime_s
        return GovernanceService(self.engine, self.objects, caller, grant_lifetime_s=lifetime_s, sources=self.sources)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()
