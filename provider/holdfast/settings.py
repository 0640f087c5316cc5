"""The settings of a service process, read once when it starts, and what is opened from them.

Every variable is `HOLDFAST_<NAME>`; a value may also stand in a file named by `HOLDFAST_<NAME>_FILE` for the secrets.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Engine

from holdfast.core.access import Bearer, Caller
from holdfast.core.errors import InvalidRequest, Unavailable
from holdfast.core.hold import LONGEST_COOLING_OFF_S, SHORTEST_COOLING_OFF_S
from holdfast.core.keyed import MIN_KEY_BYTES, KeyedDigests, derived_key
from holdfast.core.sources import SCHEME as S3
from holdfast.core.sources import SourceRules
from holdfast.ledger.configured import check_place, check_signer, listed, place_of, signers_of
from holdfast.ledger.copies import Copier
from holdfast.ledger.place import Place
from holdfast.ledger.publish import Publisher
from holdfast.ledger.sequencer import Sequencer
from holdfast.ledger.status import PROOF_AGE_LIMIT_S
from holdfast.objects.filesystem import FilesystemStore
from holdfast.objects.guarded import GuardedStore
from holdfast.ops.log_keys import record_keys
from holdfast.ports import Eraser, ObjectStore, Signer
from holdfast.service.governance import GovernanceService
from holdfast.service.holds import COOLING_OFF_S
from holdfast.service.sources import NO_SOURCES, Sources
from holdfast.store.engine import open_engine
from holdfast.store.turn import STANDSTILL_S

if TYPE_CHECKING:
    from holdfast.objects.s3 import S3Store

logger = logging.getLogger("holdfast.settings")


def _postgresql(url: SecretStr) -> SecretStr:
    scheme, separator, rest = url.get_secret_value().partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError("it is not a PostgreSQL URL; write it as postgresql+psycopg://user:password@host/database")
    return SecretStr(f"postgresql+psycopg://{rest}")


def _endpoint(url: str | None) -> str | None:
    # What stands before an @ would be a password, and is repeated nowhere.
    if not url:  # a Dag has an empty variable where a person would have none
        return None
    found = urlsplit(url)
    if found.scheme not in ("http", "https") or not found.hostname or found.username or found.query:
        raise ValueError("it is not the URL of a server; write it as https://s3.example")
    return url


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


def _places(text: str) -> str:
    return _each(text, check_place)


def _signers(text: str) -> str:
    return _each(text, check_signer)


def _each(text: str, check: Callable[[str], None]) -> str:
    try:
        for part in listed(text):
            check(part)
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


class _S3Server(_Environment):
    """Where the S3 server is."""

    s3_endpoint_url: Annotated[str | None, AfterValidator(_endpoint)] = Field(
        default=None, description="URL of the S3 server; Amazon's own where none is given"
    )
    s3_region: str = Field(default="us-east-1", description="region, as the S3 server calls it")


class _Places(_S3Server):
    """What both the service and the audit ledger need to know."""

    ledger_log: Annotated[str, AfterValidator(_places)] = Field(
        default="",
        description="where the audit ledger's log is: entries, tiles and checkpoint, which anybody may read; an absolute directory, "
        "or `s3://bucket/prefix/` on the S3 server, or `s3://bucket/prefix/?profile=NAME` by a profile in AWS_CONFIG_FILE",
    )

    def _place(self, text: str, retained: timedelta | None = None) -> Place:
        return place_of(text, endpoint_url=self.s3_endpoint_url, region=self.s3_region, retained=retained)


def _digest_key(key: SecretStr) -> SecretStr:
    if 0 < len(key.get_secret_value()) < MIN_KEY_BYTES:
        raise ValueError(f"it has fewer than {MIN_KEY_BYTES} characters")
    return key


class DatabaseSettings(_Environment):
    """What a process needs to know that opens the governance database and nothing else."""

    database_url: DatabaseUrl = Field(description="PostgreSQL URL of the service role, postgresql+psycopg://…")


class RecordSettings(DatabaseSettings):
    """What a process needs to know that records what people change in Airflow: the api-server, and commands of `airflow`."""

    grant_key: SecretStr = Field(min_length=32, description="secret that signs grants; the same in every replica")
    digest_key: Annotated[SecretStr, AfterValidator(_digest_key)] = Field(
        default=SecretStr(""),
        description="secret under which events say of passwords and the like whether they are equal, at least 32 characters; "
        "while there is none, it follows from HOLDFAST_GRANT_KEY, and with a new one of that nothing is equal any more",
    )
    pool_size: int = Field(default=10, ge=1, le=200, description="database connections at most, kept open")

    def digests(self) -> KeyedDigests:
        """Return what makes keyed digests."""
        own = self.digest_key.get_secret_value().encode()
        return KeyedDigests(own or derived_key(self.grant_key.get_secret_value().encode()))


class _StoreSettings(_S3Server):
    """Which bucket is the object store, and how old its newest probe may be."""

    s3_bucket: str | None = Field(
        default=None,
        min_length=3,
        description="bucket of the S3 object store, with versions and Object Lock; either this or a directory",
    )
    store_probe_limit_s: int = Field(
        default=48 * 3600,
        ge=60,
        description="seconds after which an honesty probe of the object store counts no more, and holds are `database only` until the next",
    )


class _ObjectSettings(_StoreSettings):
    """Which object store there is, of either kind."""

    objects_root: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        default=None, description="absolute directory of the file system object store, for one machine"
    )

    @model_validator(mode="after")
    def _check_one_store(self) -> Self:
        if (self.objects_root is None) == (self.s3_bucket is None):
            raise ValueError("exactly one of HOLDFAST_OBJECTS_ROOT and HOLDFAST_S3_BUCKET names the object store")
        return self


class BucketSettings(_StoreSettings, DatabaseSettings):
    """What a process needs to know that works on the locks of the object store: it holds no grant key."""


class Settings(_Places, _ObjectSettings, RecordSettings):
    """What a service process needs to know."""

    s3_sources: Annotated[str, AfterValidator(_source_rules)] = Field(
        default="",
        description="what data in S3 each Project may read, as `project=s3://bucket/prefix/`, separated by commas; "
        "on the same S3 server, whether the object store is there or not",
    )
    api_url: str = Field(description="URL at which data planes reach the API, up to and including /holdfast/api/v1")
    body_limit_bytes: int = Field(default=4 << 20, ge=1024, description="largest JSON body that a call may have")
    grant_lifetime_s: int = Field(
        default=900,
        ge=10,
        le=86400,
        description="seconds after which a grant no longer moves an object's bytes; one more for each 4 MiB that are moved with it",
    )
    proof_age_limit_s: int = Field(
        default=PROOF_AGE_LIMIT_S,
        ge=1,
        description="seconds after which an event that cannot be proved yet means that the log is behind: what alerts ask for",
    )

    hold_cooling_off_s: int = Field(
        default=COOLING_OFF_S,
        ge=SHORTEST_COOLING_OFF_S,
        le=LONGEST_COOLING_OFF_S,
        description="seconds for which the release of a legal hold has to be asked for before it can be approved; a hold keeps what was "
        "set when it was placed",
    )

    def log(self) -> Place | None:
        """Return where the audit ledger is read, None where none is kept; raises InvalidRequest."""
        return self._place(self.ledger_log) if self.ledger_log else None


class OwnerSettings(_Environment):
    """What `holdfast db` needs to know, and nothing else does: the owner's login never reaches a service process."""

    owner_url: DatabaseUrl = Field(description="PostgreSQL URL of the owner role, postgresql+psycopg://…")


class DisposerSettings(_Environment):
    """What a process needs to know that disposes of audit events, and nothing else does: it may not read what is in them."""

    disposer_url: DatabaseUrl = Field(
        description="PostgreSQL URL of a login with the disposer role, postgresql+psycopg://…, for `holdfast ledger retain`, "
        "`holdfast audit erase` and `holdfast retention apply`"
    )


class DisposalSettings(_ObjectSettings, DisposerSettings):
    """What a process needs to know that carries out retention plans: it takes objects out of the store, and holds no grant key."""


class LedgerSettings(_Places):
    """What the audit ledger needs to know: where the log is, and, for who extends it, its keys."""

    ledger_key: Annotated[str, AfterValidator(_signers)] = Field(
        default="",
        description="the log's private key, only for processes that extend the log: a file of mode 0600, or a `pkcs11:` URI "
        "(RFC 7512) with token, object, module-path and pin-source; while keys are changed the old one and the new one, "
        "separated by a comma",
    )
    ledger_copies: Annotated[str, AfterValidator(_places)] = Field(
        default="",
        description="what gets every checkpoint, as witnesses' folders and WORM storage: directories and `s3://` addresses, "
        "separated by commas",
    )
    ledger_copy_retention_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="days for which no checkpoint in an S3 copy may be overwritten or removed, whoever asks for it (Object Lock "
        "in mode COMPLIANCE); has to be given where there is such a copy, because it cannot be taken back",
    )

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        if not self.ledger_log:
            raise ValueError("HOLDFAST_LEDGER_LOG does not say where the log is")
        if S3 in self.ledger_copies and self.ledger_copy_retention_days is None:
            raise ValueError(
                "HOLDFAST_LEDGER_COPIES has an S3 address, and HOLDFAST_LEDGER_COPY_RETENTION_DAYS does not say for how long"
            )
        return self

    def signers(self) -> list[Signer]:
        """Return the log's keys; raises InvalidRequest, Unavailable."""
        if not self.ledger_key:
            raise InvalidRequest(
                "the log's key is not named", remedy="Set HOLDFAST_LEDGER_KEY; `holdfast ledger key` makes one"
            )
        return signers_of(listed(self.ledger_key))

    def log(self) -> Place:
        """Return where the log is; raises InvalidRequest."""
        return self._place(self.ledger_log)

    def copies(self) -> list[Place]:
        """Return what gets every checkpoint; raises InvalidRequest."""
        retained = timedelta(days=self.ledger_copy_retention_days or 0)
        return [self._place(text, retained) for text in listed(self.ledger_copies)]


class ExportSettings(DatabaseSettings):
    """What an exporter needs to know beside where the log is: it holds no grant key and opens no object store."""

    export_sinks: Annotated[Path, AfterValidator(_absolute)] = Field(
        description="absolute path of the TOML file that names the sinks of the export, for `holdfast export`"
    )


def open_sequencer(
    engine: Engine,
    settings: LedgerSettings,
    probe: Callable[[str], None] = lambda _: None,
    *,
    standstill_s: int = STANDSTILL_S,
) -> Sequencer:
    """Return the sequencer of these settings; raises InvalidRequest where a key cannot be read, Unavailable where its token is away."""
    # Only who extends the log signs: every other process of the service starts without the library for it.
    from holdfast.ledger.keys import is_signed

    publisher = Publisher(engine, settings.signers(), is_signed, settings.log(), probe)
    copiers = [Copier(engine, publisher.keys, is_signed, place) for place in settings.copies()]
    begin = partial(record_keys, engine, publisher.keys)
    return Sequencer(engine, publisher, copiers, probe, begin=begin, standstill_s=standstill_s)


def open_ledger(settings: LedgerSettings, database_url: SecretStr | None) -> tuple[Place, Engine | None]:
    """Return where the log is, and the governance database where one is named: for one of several processes that verify."""
    return settings.log(), open_engine(database_url.get_secret_value(), pool_size=2) if database_url else None


def open_store(settings: Settings) -> FilesystemStore | GuardedStore:
    """Return the object store of these settings; nothing is connected yet. Raises InvalidRequest where a package is missing."""
    if settings.objects_root is not None:
        key = settings.grant_key.get_secret_value().encode()
        return FilesystemStore(settings.objects_root, key, settings.api_url)
    return GuardedStore(open_bucket(settings))


def open_bucket(settings: _StoreSettings) -> "S3Store":
    """Return the bucket of these settings; nothing is connected yet. Raises InvalidRequest where none is named, or a package is missing."""
    if settings.s3_bucket is None:
        raise InvalidRequest(
            "HOLDFAST_S3_BUCKET names no bucket: a directory has no Object Lock, and its hold level is `database only`",
            remedy="Set it to the bucket of the object store",
        )
    session = _s3_session("HOLDFAST_S3_BUCKET")
    from holdfast.objects.s3 import S3Store

    return S3Store(settings.s3_bucket, session, endpoint_url=settings.s3_endpoint_url, region=settings.s3_region)


def open_eraser(settings: DisposalSettings) -> Eraser:
    """Return what takes objects out of the store of these settings, by this process's own credentials."""
    if settings.objects_root is not None:
        from holdfast.objects.filesystem_eraser import FilesystemEraser

        return FilesystemEraser(settings.objects_root)
    session = _s3_session("HOLDFAST_S3_BUCKET")
    from holdfast.objects.s3_eraser import S3Eraser

    bucket = settings.s3_bucket or ""
    return S3Eraser(bucket, session, endpoint_url=settings.s3_endpoint_url, region=settings.s3_region)


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
    log: Place | None = None

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Return the platform of these settings; nothing is connected yet."""
        engine = open_engine(settings.database_url.get_secret_value(), pool_size=settings.pool_size)
        return cls(settings, engine, open_store(settings), open_sources(settings), settings.log())

    def governance(self, caller: Caller | Bearer) -> GovernanceService:
        """Return the governance functions on behalf of a caller."""
        return GovernanceService(
            self.engine,
            self.objects,
            caller,
            grant_lifetime_s=self.settings.grant_lifetime_s,
            sources=self.sources,
            log=self.log,
            store_probe_limit=timedelta(seconds=self.settings.store_probe_limit_s),
            hold_cooling_off_s=self.settings.hold_cooling_off_s,
        )

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()
