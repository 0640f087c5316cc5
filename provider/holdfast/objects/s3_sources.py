"""Data that others have put into S3, as the service sees it: which versions are current, and grants for exactly these. It reads no byte."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import boto3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from holdfast.core.errors import HoldfastError, InvalidRequest, NotFound, Unavailable
from holdfast.core.sources import S3Location, not_versioned
from holdfast.objects.s3 import open_client
from holdfast.objects.s3_errors import code_of, refused, translated
from holdfast.ports import SignedUrl, SourceListing, SourceObject

Objects = list[SourceObject]
_RIGHTS = "s3:GetBucketVersioning and s3:ListBucketVersions on it, s3:GetObjectVersion on its objects"


class S3Sources:
    """Implements `ports.SourceStore` on an S3 server.

    Args:
        session: where the credentials come from.
        endpoint_url: of a store that is not Amazon's; data planes reach it by the same URL.
        region: as the store calls it.
    """

    def __init__(self, session: boto3.Session, *, endpoint_url: str | None = None, region: str) -> None:
        self._session, self._region = session, region
        self._client = open_client(session, endpoint_url, region)

    def list(self, location: S3Location, limit: int, most_bytes: int, cursor: str | None) -> SourceListing:
        """Return a page of the current versions at a location; it may be empty and still not be the last.

        Args:
            location: where.
            limit: how many versions are looked at, older ones included.
            most_bytes: what the objects of a page have together, at most, unless it is a single one.
            cursor: `next` of the page before.

        Raises:
            PolicyViolation: the bucket keeps no versions.
            NotFound: there is no such bucket.
            InvalidRequest: the cursor is not one.
            Unavailable: the store does not answer, or does not let the service look.
        """
        place = _decode(cursor) if cursor else {}
        with _explained(location):
            if not place and self._client.get_bucket_versioning(Bucket=location.bucket).get("Status") != "Enabled":
                raise not_versioned(location.bucket)
            reply = self._client.list_object_versions(
                Bucket=location.bucket, Prefix=location.key, MaxKeys=limit, **place
            )
        after = "" if "VersionIdMarker" in place else place.get("KeyMarker", "")
        found: Objects = []
        for version in reply.get("Versions", ()):
            if not version["IsLatest"] or version["Key"] <= after or not _is_meant(location, version):
                continue
            if found and sum(one.size_bytes for one in found) + int(version["Size"]) > most_bytes:
                return SourceListing(found, _encode(found[-1].key, ""))
            found.append(SourceObject(version["Key"], str(version["VersionId"]), int(version["Size"])))
        is_over = not reply.get("IsTruncated") or (not location.is_prefix and bool(found))
        following = None if is_over else _encode(reply["NextKeyMarker"], reply.get("NextVersionIdMarker") or "")
        return SourceListing(found, following)

    def grant(self, location: S3Location, key: str, version_id: str, expires_at: datetime) -> SignedUrl:
        """Return a URL that reads one version until a time.

        Not by the client's own function, which takes twice as long: a DatasetVersion may have many thousands of files.
        """
        credentials = self._session.get_credentials()
        if credentials is None:
            raise refused("there are no credentials for it")
        lifetime_s = max(1, int((expires_at - datetime.now(UTC)).total_seconds()))
        base = f"{self._client.meta.endpoint_url}/{location.bucket}/{quote(key, safe='/~')}"
        request = AWSRequest("GET", f"{base}?{urlencode({'versionId': version_id})}")
        S3SigV4QueryAuth(credentials.get_frozen_credentials(), "s3", self._region, expires=lifetime_s).add_auth(request)
        return SignedUrl(str(request.url))


def _is_meant(location: S3Location, version: Any) -> bool:
    if not location.is_prefix:
        return bool(version["Key"] == location.key)
    # What consoles make to show a directory; there is nothing in it.
    return not (version["Key"].endswith("/") and int(version["Size"]) == 0)


@contextmanager
def _explained(location: S3Location) -> Iterator[None]:
    try:
        with translated(str(location)):
            yield
    except Unavailable as error:
        match code_of(error.__cause__):
            case "NoSuchBucket":
                raise NotFound(
                    f"there is no bucket {location.bucket!r}", remedy="Check the source's address"
                ) from error
            case "AccessDenied" | "AllAccessDisabled":
                raise Unavailable(
                    f"the store does not let the service look into the bucket {location.bucket!r}",
                    remedy=f"Give the service {_RIGHTS}",
                ) from error
        raise
    except NotFound as error:
        if code_of(error.__cause__) == "InvalidArgument":
            raise _no_cursor() from error
        raise


def _encode(key: str, version: str) -> str:
    return b64encode(json.dumps([key, version]).encode(), b"-_").decode().rstrip("=")


def _decode(cursor: str) -> dict[str, str]:
    try:
        key, version = json.loads(b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, TypeError):
        raise _no_cursor() from None
    if not isinstance(key, str) or not isinstance(version, str):
        raise _no_cursor()
    return {"KeyMarker": key, **({"VersionIdMarker": version} if version else {})}


def _no_cursor() -> HoldfastError:
    return InvalidRequest("this is not a cursor", remedy="Pass `next` of the page before, unchanged")
