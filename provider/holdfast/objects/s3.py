"""The object store of an installation: one S3 bucket with versions and Object Lock. A version's id is the store's own.

A grant is a presigned URL that is good for one method, key and content until a time. For a PUT the signature covers the length and the
SHA-256 of the payload, and the store itself refuses other bytes; the digest also goes into the version's metadata, where `stat` finds it.

Source: AWS Signature Version 4, authenticating requests by query parameters. The usual presigned URL signs UNSIGNED-PAYLOAD instead.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import boto3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

from holdfast.core.digest import SIZE_BYTES
from holdfast.core.errors import IntegrityViolation, StateConflict
from holdfast.core.names import check_path
from holdfast.core.parts import part_sizes
from holdfast.objects.checked import checked, no_upload
from holdfast.objects.s3_check import check_bucket
from holdfast.objects.s3_errors import code_of, refused, translated
from holdfast.ports import ObjectFacts, SignedUrl, StoreCheck, Upload

if TYPE_CHECKING:
    from holdfast.objects.s3_probe import Probed

CHUNK_BYTES = 1 << 20
_CONNECTIONS = 32
DIGEST = "holdfast-sha256"
"""Name of the metadata that holds the SHA-256 of a version, in hexadecimal digits."""
_UPLOAD = "holdfast-upload"
"""Name of the metadata by which a version is found again that came of an upload in parts."""
_PAYLOAD = "x-amz-content-sha256"
# Of a version that has never been held: by Amazon, and by Ceph.
_NEVER_HELD = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"})
_NO_UPLOAD = frozenset({"NoSuchUpload", "NoSuchKey"})


def open_client(session: boto3.Session, endpoint_url: str | None, region: str) -> Any:
    """Return a client whose addresses have the bucket in the path; nothing is connected yet."""
    return session.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            # Not every store knows the newer checksums; ours is in the signature and in the metadata.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=_CONNECTIONS,
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "max_attempts": 4},
        ),
    )


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
        self._endpoint_url = endpoint_url
        self._client = open_client(session, endpoint_url, region)

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
        with translated(key):
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
        with translated(key):
            body = self._client.get_object(Bucket=self._bucket, Key=key, VersionId=version_id)["Body"]
        try:
            with translated(key):
                yield from checked(body.iter_chunks(CHUNK_BYTES), key, digest)
        finally:
            body.close()

    def grant(
        self, method: str, key: str, *, version_id: str | None, digest: bytes, size_bytes: int, expires_at: datetime
    ) -> SignedUrl:
        """Return a URL that allows one method on one object with this content until a time."""
        check_path(key, "object key")
        lifetime_s = max(1, int((expires_at - datetime.now(UTC)).total_seconds()))
        with translated(key):
            if method == "GET":
                here = {"Bucket": self._bucket, "Key": key, "VersionId": version_id}
                return SignedUrl(self._client.generate_presigned_url("get_object", Params=here, ExpiresIn=lifetime_s))
            metadata = {f"x-amz-meta-{DIGEST}": digest.hex()}
            return self._signer(lifetime_s).sign(method, self._url(key), metadata, digest, size_bytes)

    def begin_upload(
        self, key: str, *, digest: bytes, size_bytes: int, parts: Sequence[bytes], expires_at: datetime
    ) -> Upload:
        """Return leave to store an object until a time; one in parts is begun here, with its digest in the metadata."""
        if not parts:
            return Upload(
                (self.grant("PUT", key, version_id=None, digest=digest, size_bytes=size_bytes, expires_at=expires_at),)
            )
        check_path(key, "object key")
        token = secrets.token_hex(8)
        lifetime_s = max(1, int((expires_at - datetime.now(UTC)).total_seconds()))
        with translated(key):
            begun = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, Metadata={DIGEST: digest.hex(), _UPLOAD: token}
            )
            if not (upload := begun.get("UploadId")):
                raise IntegrityViolation(
                    "the object store says that an upload has begun, and does not say which",
                    remedy="Do not use it; see docs/how-to/probe-the-store.md",
                )
            signer = self._signer(lifetime_s)
            urls = (
                f"{self._url(key)}?{urlencode({'partNumber': number, 'uploadId': upload})}"
                for number in range(1, len(parts) + 1)
            )
            signed = tuple(
                signer.sign("PUT", url, {}, part, part_bytes)
                for url, part, part_bytes in zip(urls, parts, part_sizes(size_bytes), strict=True)
            )
        return Upload(signed, f"{token}.{upload}")

    def complete_upload(self, key: str, upload_id: str, digest: bytes, size_bytes: int) -> ObjectFacts:
        """Put an upload together from the parts that the store itself lists, and return the version.

        What the agent says of its parts is not asked: their bytes are bound by the grants, their places by the upload.

        Raises:
            NotFound: there is no such upload under this key.
            StateConflict: a part is missing; those that are there stay.
            IntegrityViolation: the upload was begun for another content; its version is nobody's.
        """
        check_path(key, "object key")
        token, _, upload = upload_id.partition(".")
        with translated(key):
            try:
                parts = self._parts(key, upload, size_bytes)
                version_id = self._client.complete_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
                )["VersionId"]
            except ClientError as error:
                if code_of(error) not in _NO_UPLOAD:
                    raise
                # Completed before, and the reply was lost; or there never was one.
                version_id = self._version_of(key, token)
        facts = self.stat(key, version_id)
        if (facts.digest, facts.size_bytes) != (digest, size_bytes):
            raise IntegrityViolation(
                f"the upload of {key!r} was begun for another content", remedy="Ask for a new grant, and store it again"
            )
        return facts

    def abort_uploads(self, prefix: str) -> int:
        """Give up every upload under keys that begin so, and return how many; what was completed stays."""
        count = 0
        with translated(prefix):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
            for upload in (upload for page in pages for upload in page.get("Uploads", ())):
                try:
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                except ClientError as error:
                    if code_of(error) not in _NO_UPLOAD:  # completed or given up in this moment
                        raise
                count += 1
        return count

    def hold(self, key: str, version_id: str) -> None:
        """Put the legal hold of Object Lock on a version; raises NotFound, Unavailable."""
        self._put_hold(key, version_id, "ON")

    def release(self, key: str, version_id: str) -> None:
        """Take the legal hold of Object Lock off a version; raises NotFound, Unavailable."""
        self._put_hold(key, version_id, "OFF")

    def is_held(self, key: str, version_id: str) -> bool:
        """Return whether the store says that a version is under legal hold; raises NotFound, Unavailable."""
        check_path(key, "object key")
        with translated(key):
            try:
                found = self._client.get_object_legal_hold(Bucket=self._bucket, Key=key, VersionId=version_id)
            except ClientError as error:
                if code_of(error) not in _NEVER_HELD:
                    raise
                return False
        return bool(found["LegalHold"].get("Status") == "ON")

    def _put_hold(self, key: str, version_id: str, status: str) -> None:
        check_path(key, "object key")
        with translated(key):
            self._client.put_object_legal_hold(
                Bucket=self._bucket, Key=key, VersionId=version_id, LegalHold={"Status": status}
            )

    def check(self) -> list[StoreCheck]:
        """Return what the bucket was found to be and to do; nothing is left in it. Raises Unavailable where it does not answer."""
        return check_bucket(self, self._client, self._bucket)

    @property
    def place(self) -> str:
        """Where it is, as records name it."""
        return f"{self._client.meta.endpoint_url}/{self._bucket}"

    @property
    def has_lock(self) -> bool:
        """Whether it is of a kind that has locks of its own; whether it keeps them `probe` says."""
        return True

    def probe(self, tell: Callable[[int, int], None]) -> "Probed":
        """Return what the store did where locks were tried on canaries in the bucket, and in a bucket beside it.

        Args:
            tell: is told how many rules have been tried, of how many.

        Raises:
            Unavailable: the store does not answer; what is left in it, the next probe removes.
        """
        # Only where it is asked for: every process of the service opens the store.
        from holdfast.objects.canary import with_digests
        from holdfast.objects.s3_probe import probe_bucket

        client = with_digests(open_client(self._session, self._endpoint_url, self._region))
        return probe_bucket(self, client, self._bucket, self._region, tell)

    def _parts(self, key: str, upload: str, size_bytes: int) -> list[dict[str, Any]]:
        """Return number and ETag of every part of an upload; raises StateConflict where one is missing."""
        pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload)
        found = {int(part["PartNumber"]): part for page in pages for part in page.get("Parts", ())}
        wanted = dict(enumerate(part_sizes(size_bytes), 1))
        if lacking := sorted(n for n, size in wanted.items() if n not in found or int(found[n]["Size"]) != size):
            raise StateConflict(
                f"{len(lacking)} of {len(wanted)} parts of {key!r} are not stored, the first is part {lacking[0]}",
                remedy="Store them under their grants and complete the upload again, or ask for a new grant",
                details={"missing": lacking[:100]},
            )
        return [{"PartNumber": number, "ETag": found[number]["ETag"]} for number in wanted]

    def _version_of(self, key: str, token: str) -> str:
        """Return the version that came of an upload; raises NotFound."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key)
        for version in (version for page in pages for version in page.get("Versions", ())):
            if version["Key"] == key:
                found = self._client.head_object(Bucket=self._bucket, Key=key, VersionId=version["VersionId"])
                if token and found["Metadata"].get(_UPLOAD) == token:
                    return str(version["VersionId"])
        raise no_upload(key)

    def _signer(self, lifetime_s: int) -> "_Signer":
        credentials = self._session.get_credentials()
        if credentials is None:
            raise refused("there are no credentials for it")
        return _Signer(_SignedPayload(credentials.get_frozen_credentials(), "s3", self._region, expires=lifetime_s))

    def _url(self, key: str) -> str:
        return f"{self._client.meta.endpoint_url}/{self._bucket}/{quote(key, safe='/~')}"


class _SignedPayload(S3SigV4QueryAuth):  # type: ignore[misc]
    """Signs the payload's digest, as a call with an Authorization header does."""

    def payload(self, request: Any) -> str:
        """Return the digest that the request announces."""
        return str(request.headers[_PAYLOAD])


class _Signer:
    """Signs calls that may carry one payload and no other."""

    def __init__(self, auth: _SignedPayload) -> None:
        self._auth = auth

    def sign(self, method: str, url: str, metadata: Mapping[str, str], digest: bytes, size_bytes: int) -> SignedUrl:
        """Return the signed URL with the headers that the call has to carry."""
        headers = {_PAYLOAD: digest.hex(), **metadata}
        request = AWSRequest(method, url, headers={**headers, "content-length": str(size_bytes)})
        self._auth.add_auth(request)
        return SignedUrl(str(request.url), headers)
