"""The object store of an installation: one S3 bucket with versions and Object Lock. A version's id is the store's own.

A grant is a presigned URL that is good for one method, key and content until a time. For a PUT the signature covers the length and the
SHA-256 of the payload, and the store itself refuses other bytes; the digest also goes into the version's metadata, where `stat` finds it.

Source: AWS Signature Version 4, authenticating requests by query parameters. The usual presigned URL signs UNSIGNED-PAYLOAD instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import boto3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from holdfast.core.digest import SIZE_BYTES
from holdfast.core.errors import HoldfastError, IntegrityViolation, Unavailable
from holdfast.core.names import check_path
from holdfast.objects.checked import checked, missing
from holdfast.ports import ObjectFacts, SignedUrl

CHUNK_BYTES = 1 << 20
DIGEST = "holdfast-sha256"
"""Name of the metadata that holds the SHA-256 of a version, in hexadecimal digits."""
_PAYLOAD = "x-amz-content-sha256"
_GONE = {"404", "NoSuchKey", "NoSuchVersion", "InvalidArgument", "405", "MethodNotAllowed"}


class S3Store:
    """Implements `ports.ObjectStore` on a bucket.

    Args:
        bucket: its name; it has versions, and Object Lock.
        session: where the credentials come from: the service's own, which no data plane ever sees.
        endpoint_url: of a store that is not Amazon's; addresses have the bucket in the path.
        region: as the store calls it.
    """

    def __init__(self, bucket: str, session: boto3.Session, *, endpoint_url: str | None = None, region: str) -> None:
        self._bucket, self._session, self._region = bucket, session, region
        self._client: Any = session.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                # Not every store knows the newer checksums; ours is in the signature and in the metadata.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "max_attempts": 4},
            ),
        )

    def __repr__(self) -> str:
        return f"S3Store({self._bucket!r})"

    def stat(self, key: str, version_id: str) -> ObjectFacts:
        """Return the facts of one version.

        Raises:
            NotFound: the store holds no such version.
            IntegrityViolation: it was not stored under a grant of this service.
            Unavailable: the store does not answer, or refuses the service.
        """
        check_path(key, "object key")
        with _translated(key):
            found = self._client.head_object(Bucket=self._bucket, Key=key, VersionId=version_id)
        digest = found["Metadata"].get(DIGEST, "")
        if len(digest) != 2 * SIZE_BYTES:
            raise IntegrityViolation(
                f"version {version_id} of {key!r} was not stored under a grant of this service",
                remedy="Do not use it; find out who else writes to the bucket",
            )
        return ObjectFacts(key, version_id, bytes.fromhex(digest), int(found["ContentLength"]))

    def read(self, key: str, version_id: str, digest: bytes) -> Iterator[bytes]:
        """Yield the bytes; raises what `stat` raises, and IntegrityViolation instead of the last piece where they have another digest."""
        check_path(key, "object key")
        with _translated(key):
            body = self._client.get_object(Bucket=self._bucket, Key=key, VersionId=version_id)["Body"]
        try:
            with _translated(key):
                yield from checked(body.iter_chunks(CHUNK_BYTES), key, digest)
        finally:
            body.close()

    def grant(
        self, method: str, key: str, *, version_id: str | None, digest: bytes, size_bytes: int, expires_at: datetime
    ) -> SignedUrl:
        """Return a URL that allows one method on one object with this content until a time."""
        check_path(key, "object key")
        lifetime_s = max(1, int((expires_at - datetime.now(UTC)).total_seconds()))
        with _translated(key):
            if method == "GET":
                here = {"Bucket": self._bucket, "Key": key, "VersionId": version_id}
                return SignedUrl(self._client.generate_presigned_url("get_object", Params=here, ExpiresIn=lifetime_s))
            headers = {_PAYLOAD: digest.hex(), f"x-amz-meta-{DIGEST}": digest.hex()}
            request = AWSRequest(method, self._url(key), headers={**headers, "content-length": str(size_bytes)})
            credentials = self._session.get_credentials()
            if credentials is None:
                raise _refused("there are no credentials for it")
            _SignedPayload(credentials.get_frozen_credentials(), "s3", self._region, expires=lifetime_s).add_auth(
                request
            )
            return SignedUrl(str(request.url), headers)

    def _url(self, key: str) -> str:
        return f"{self._client.meta.endpoint_url}/{self._bucket}/{quote(key, safe='/~')}"


class _SignedPayload(S3SigV4QueryAuth):  # type: ignore[misc]
    """Signs the payload's digest, as a call with an Authorization header does."""

    def payload(self, request: Any) -> str:
        """Return the digest that the request announces."""
        return str(request.headers[_PAYLOAD])


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Turn what boto raises into the six errors."""
    try:
        yield
    except ClientError as error:
        raise _error_of(error, key) from error
    except (BotoCoreError, HTTPError) as error:
        raise Unavailable(
            f"the object store does not answer ({type(error).__name__})",
            remedy="Check that it runs, and HOLDFAST_S3_ENDPOINT_URL; then try again",
        ) from error


def _error_of(error: ClientError, key: str) -> HoldfastError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return _refused("there is no such bucket")
    if code in _GONE:
        return missing(key)
    if status in (401, 403):
        return _refused(f"it does not let the service in ({code})")
    return Unavailable(f"the object store failed ({code or status})", remedy="Look into its log; then try again")


def _refused(why: str) -> Unavailable:
    return Unavailable(
        f"the object store cannot be used: {why}",
        remedy="Check HOLDFAST_S3_BUCKET and the credentials of the service",
    )
