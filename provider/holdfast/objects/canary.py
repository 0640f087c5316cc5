"""Canaries: small versions of the honesty probe in a bucket, what is tried on them, and what is read back.

Every call's answer is kept as the store gave it, a refusal as well; what is raised is only that the store does not answer.
"""

import base64
import hashlib
import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from holdfast.core.errors import HoldfastError
from holdfast.core.probe import Evidence, Expected, Lock, Mode, Seen, Try
from holdfast.objects.s3_check import meaning_of
from holdfast.objects.s3_errors import code_of, translated

LOCK_S = 120
"""Seconds for which a canary is under retention: longer than a probe takes, and no longer, since nothing takes it away before."""

NO_LOCK, HELD = Lock(), Lock(is_held=True)
_UNLOCKED = frozenset(
    {"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest", "NoSuchRetention"}
)
_AT_ONCE = 8
Item = TypeVar("Item")
Made = TypeVar("Made")
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "503"})


@dataclass(frozen=True, slots=True)
class Clock:
    """The store's clock, read once and carried on by our own, which never jumps.

    Attributes:
        began: what the store's clock was.
        began_s: what our monotonic one was then.
    """

    began: datetime
    began_s: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """Return the store's time."""
        return self.began + timedelta(seconds=time.monotonic() - self.began_s)

    def soon(self, seconds: int = LOCK_S) -> datetime:
        """Return the time in so many seconds, in whole ones."""
        return self.now().replace(microsecond=0) + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Canary:
    """One version.

    Attributes:
        what: it is, as in "the version under legal hold".
        key: its key.
        version_id: empty where it could not be stored.
        body: its bytes.
        lock: what it was stored with, or is to get.
        refused: why it could not be stored.
        before: what was read back before anything was tried.
    """

    what: str
    key: str
    version_id: str
    body: bytes
    lock: Lock
    refused: str = ""
    before: Seen | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried on a canary; whether the rule was kept is seen once everything has been tried."""

    canary: Canary
    expected: Expected
    tries: tuple[Try, ...]
    why_untried: str = ""


@dataclass(frozen=True, slots=True)
class Cage:
    """Canaries below one prefix of one bucket.

    Attributes:
        client: of the store.
        bucket: its name.
        prefix: of every key.
        clock: the store's.
    """

    client: Any
    bucket: str
    prefix: str
    clock: Clock

    def put(self, name: str, what: str, lock: Lock = NO_LOCK, *, is_locked_now: bool = True) -> Canary:
        """Store a canary and read it back.

        Args:
            name: the end of its key.
            what: it is.
            lock: to store it with.
            is_locked_now: False where it is to get the lock later.
        """
        key = f"{self.prefix}{name}"
        return self.stored(what, key, lock, lambda body: self._put(key, body, lock if is_locked_now else NO_LOCK))

    def stored(self, what: str, key: str, lock: Lock, store: Callable[[bytes], Any], body: bytes = b"") -> Canary:
        """Return the canary that a call has stored, as it is read back."""
        body = body or body_of(key)
        try:
            with answered():
                reply = store(body)
        except ClientError as error:
            return Canary(what, key, "", body, lock, word_of(error))
        canary = Canary(what, key, str(reply.get("VersionId") or "null"), body, lock)
        return replace(canary, before=self.see(canary))

    def see(self, canary: Canary) -> Seen:
        """Return what is there of a canary, by its bytes and its lock.

        Raises:
            Unavailable: the store does not answer.
            InvalidRequest: the credential may not look.
        """
        where = {"Bucket": self.bucket, "Key": canary.key, "VersionId": canary.version_id}
        with self._looking():
            try:
                found = self.client.get_object(**where)
                body = found["Body"].read()
            except ClientError as error:
                if _status(error) not in (400, 404, 405):
                    raise
                return Seen(is_there=False)
        if body != canary.body:
            return Seen(is_there=False)
        beside = {
            "Status": found.get("ObjectLockLegalHoldStatus"),
            "Mode": found.get("ObjectLockMode"),
            "RetainUntilDate": found.get("ObjectLockRetainUntilDate"),
        }
        held = self._part(lambda: self.client.get_object_legal_hold(**where)["LegalHold"], beside)
        retained = self._part(lambda: self.client.get_object_retention(**where)["Retention"], beside)
        mode, until = retained.get("Mode"), retained.get("RetainUntilDate")
        if mode not in set(Mode) or until is None:
            return Seen(is_there=True, lock=Lock(is_held=held.get("Status") == "ON"))
        return Seen(is_there=True, lock=Lock(held.get("Status") == "ON", Mode(mode), until.astimezone(UTC)))

    def attempt(self, what: str, call: Callable[[], Any]) -> Try:
        """Return what was answered to a call."""
        try:
            with answered():
                call()
        except ClientError as error:
            return Try(what, word_of(error))
        return Try(what)

    def delete(self, canary: Canary, *, has_bypass: bool = False) -> Try:
        """Try to delete a version."""
        more = {"BypassGovernanceRetention": True} if has_bypass else {}
        return self.attempt(
            "a deletion with the bypass header" if has_bypass else "a deletion",
            lambda: self.client.delete_object(Bucket=self.bucket, Key=canary.key, VersionId=canary.version_id, **more),
        )

    def hold(self, canary: Canary, *, is_held: bool = True) -> Try:
        """Try to place a legal hold on a version, or to lift it."""
        return self.attempt(
            f"a legal hold {'ON' if is_held else 'OFF'}",
            lambda: self.client.put_object_legal_hold(
                Bucket=self.bucket,
                Key=canary.key,
                VersionId=canary.version_id,
                LegalHold={"Status": "ON" if is_held else "OFF"},
            ),
        )

    def retain(self, canary: Canary, mode: Mode, until: datetime, *, has_bypass: bool = False) -> Try:
        """Try to give a version a retention."""
        more = {"BypassGovernanceRetention": True} if has_bypass else {}
        return self.attempt(
            f"a retention under {mode} until {until:%H:%M:%S}",
            lambda: self.client.put_object_retention(
                Bucket=self.bucket,
                Key=canary.key,
                VersionId=canary.version_id,
                Retention={"Mode": mode.value, "RetainUntilDate": until},
                **more,
            ),
        )

    def evidence(self, tried: Tried) -> Evidence:
        """Return what a try comes to, by what is read back now."""
        canary = tried.canary
        after = self.see(canary) if canary.version_id else Seen(is_there=False)
        why = tried.why_untried
        if canary.refused:
            why = f"{canary.what} could not be stored: the store refuses it ({canary.refused})"
        return Evidence(
            canary.what, tried.expected, canary.lock, canary.before, tried.tries, after, self.clock.now(), why
        )

    def tidy(self, *, kept: str = "") -> list[str]:
        """Remove every canary that no lock keeps any more, lift the holds, and return what is left.

        Args:
            kept: a prefix below the cage's whose canaries stay.
        """
        for upload in self._uploads():
            self.attempt(
                "",
                lambda upload=upload: self.client.abort_multipart_upload(  # type: ignore[misc]
                    Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                ),
            )
        at_once(self._remove, self.versions(without=kept))
        return [f"version {left.version_id} of {left.key!r}" for left in self.versions(without=kept)]

    def _remove(self, canary: Canary) -> None:
        if self.delete(canary).refused:
            self.hold(canary, is_held=False)
            if self.delete(canary).refused:
                self.delete(canary, has_bypass=True)

    def versions(self, *, without: str = "") -> list[Canary]:
        """Return every version and delete marker below the prefix."""
        with translated(self.prefix):
            pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=self.prefix)
            found = [one for page in pages for kind in ("Versions", "DeleteMarkers") for one in page.get(kind, ())]
        return [
            Canary("", one["Key"], str(one["VersionId"]), b"", NO_LOCK)
            for one in found
            if not (without and one["Key"].startswith(without))
        ]

    def _uploads(self) -> list[Any]:
        with translated(self.prefix):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
            return [upload for page in pages for upload in page.get("Uploads", ())]

    def _put(self, key: str, body: bytes, lock: Lock) -> Any:
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **headers(lock))

    def _part(self, read: Callable[[], Mapping[str, Any]], beside: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a part of a version's lock: of one without it an empty one, and what stood beside the bytes where the call itself fails."""
        with self._looking():
            try:
                return read()
            except ClientError as error:
                if code_of(error) in _UNLOCKED or _status(error) == 404:
                    return {}
                if code_of(error) in _BUSY or _status(error) < 500:
                    raise
        return beside

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Raise what it means that the credential may not look, or that the store does not answer."""
        try:
            with translated(self.prefix):
                yield
        except HoldfastError as refusal:
            raise meaning_of(refusal, self.bucket) from refusal.__cause__


@contextmanager
def answered() -> Iterator[None]:
    """Let a refusal through as the store gave it; raises Unavailable where it did not answer."""
    refusal: ClientError | None = None
    with translated("the canary"):
        try:
            yield
        except ClientError as error:
            if code_of(error) in _BUSY:
                raise
            refusal = error
    if refusal is not None:
        raise refusal


def at_once(do: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """Return what is made of each item, of several at a time: a store far away is waited for a few times and not a hundred."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(do, items))


def body_of(key: str) -> bytes:
    """Return the bytes of a canary."""
    return f"A canary of the honesty probe: {key}\n".encode()


def headers(lock: Lock) -> dict[str, Any]:
    """Return the lock as what a call stores with it."""
    given: dict[str, Any] = {"ObjectLockLegalHoldStatus": "ON"} if lock.is_held else {}
    if lock.mode and lock.until:
        given |= {"ObjectLockMode": lock.mode.value, "ObjectLockRetainUntilDate": lock.until}
    return given


def with_digests(client: Any) -> Any:
    """Return a client that sends the MD5 of every body: with a lock a store wants one, and not every store knows the newer kinds."""
    client.meta.events.register("before-call.s3", _add_md5)
    return client


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    body = params["body"].getvalue() if isinstance(params.get("body"), io.BytesIO) else params.get("body")
    if isinstance(body, bytes) and body:
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


def word_of(error: ClientError) -> str:
    """Return the store's own word for a refusal."""
    return code_of(error) or str(_status(error))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
