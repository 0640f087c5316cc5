"""A log's files in a bucket, and copies of its checkpoints that nobody can take back: S3 Object Lock in mode COMPLIANCE."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from holdfast.core.errors import IntegrityViolation, NotFound, Unavailable
from holdfast.objects.s3 import open_client
from holdfast.objects.s3_errors import code_of, translated

_AT_ONCE = 8
_PAGE = 1000


class S3Place:
    """Files in a bucket, below a prefix.

    Args:
        bucket: its name.
        prefix: without a slash at its ends; may be empty.
        session: where the credentials come from.
        endpoint_url: of a store that is not Amazon's.
        region: as the store calls it.
        retained: how long no version that is written may go, whoever asks for it: Object Lock in mode COMPLIANCE; None where the
            bucket's own rules say.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        session: boto3.Session,
        *,
        endpoint_url: str | None,
        region: str,
        retained: timedelta | None = None,
    ) -> None:
        self._bucket, self._prefix, self._retained = bucket, f"{prefix}/" if prefix else "", retained
        self._client = open_client(session, endpoint_url, region)
        self._is_proved = retained is None

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def read(self, path: str) -> bytes:
        """Return a file's bytes; raises NotFound, Unavailable."""
        return self._get(Key=self._prefix + path)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, several at once.

        Raises:
            Unavailable: the store does not answer, or does not let the service write.
            IntegrityViolation: the bucket has no Object Lock, or has taken a version and does not hold it in mode COMPLIANCE.
        """
        if len(files) > 1 and self._is_proved:
            with ThreadPoolExecutor(min(_AT_ONCE, len(files))) as pool:
                list(pool.map(self._put, files, files.values()))
            return
        for path, content in files.items():
            self._put(path, content)

    def below(self, directory: str) -> Iterator[tuple[str, bytes]]:
        """Yield every version of every file right below a directory; raises Unavailable."""
        after: dict[str, str] = {}
        while True:
            with self._explained(directory):
                page = self._client.list_object_versions(
                    Bucket=self._bucket, Prefix=f"{self._prefix}{directory}/", MaxKeys=_PAGE, **after
                )
            found = [(one["Key"], one["VersionId"]) for one in page.get("Versions", [])]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for (key, _), content in zip(found, pool.map(self._version, found), strict=True):
                    yield key.rpartition("/")[2], content
            if not page.get("IsTruncated"):
                return
            after = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _version(self, one: tuple[str, str]) -> bytes:
        return self._get(Key=one[0], VersionId=one[1])

    def _get(self, **what: str) -> bytes:
        with self._explained(what["Key"]):
            body = self._client.get_object(Bucket=self._bucket, **what)["Body"]
            try:
                return bytes(body.read())
            finally:
                body.close()

    def _put(self, path: str, content: bytes) -> None:
        key = self._prefix + path
        lock: dict[str, Any] = {}
        if self._retained is not None:
            until = datetime.now(UTC) + self._retained
            # The store takes a lock only together with a digest of the body, in this form for every one.
            digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
            lock = {
                "ObjectLockMode": "COMPLIANCE",
                "ObjectLockRetainUntilDate": until.replace(microsecond=0),
                "ContentMD5": digest,
            }
        with self._explained(key):
            stored = self._client.put_object(Bucket=self._bucket, Key=key, Body=content, **lock)
        if not self._is_proved:
            self._prove(key, stored.get("VersionId", ""))

    def _prove(self, key: str, version: str) -> None:
        """Look whether the store says of the first version what it was asked for; what it does not hold is no copy to rely on."""
        with self._explained(key):
            facts = self._client.head_object(Bucket=self._bucket, Key=key, VersionId=version) if version else {}
        if facts.get("ObjectLockMode") != "COMPLIANCE":
            raise self._no_lock()
        self._is_proved = True

    def _no_lock(self) -> IntegrityViolation:
        return IntegrityViolation(
            f"the bucket {self._bucket!r} does not hold checkpoints by Object Lock in mode COMPLIANCE",
            remedy="Make a bucket with `aws s3api create-bucket --object-lock-enabled-for-bucket` for the copies",
        )

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            with translated(key):
                yield
        except NotFound:
            raise NotFound(f"the log has no {key.removeprefix(self._prefix)}") from None
        except Unavailable as error:
            because = code_of(error.__cause__) or error.message
            if because == "InvalidRequest" and self._retained is not None:
                raise self._no_lock() from error
            raise Unavailable(
                f"{self} cannot be used: {because}",
                remedy="Check HOLDFAST_LEDGER_LOG, HOLDFAST_LEDGER_COPIES, HOLDFAST_S3_ENDPOINT_URL and the credentials",
            ) from error
