"""Whether a bucket is what Holdfast needs: there, with versions and Object Lock, by a clock like ours, and refusing other bytes.

It tries rather than believes where trying leaves nothing behind: a bad payload has to be refused, and an upload in parts is given up again.
"""

import http.client
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from holdfast.core.digest import of
from holdfast.core.errors import HoldfastError, IntegrityViolation, InvalidRequest, Unavailable
from holdfast.core.parts import PART_BYTES
from holdfast.objects.checked import PROBE_KEY
from holdfast.objects.s3_errors import NO_CREDENTIALS, code_of, translated
from holdfast.ports import ObjectStore, SignedUrl, StoreCheck

CLOCK_WARNING_S = 60
CLOCK_LIMIT_S = 300
_LIFETIME = timedelta(minutes=5)
_TIMEOUT_S = 10
_GRANTED, _OTHER = b"x", b"y"
_GIVE_CREDENTIALS = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the workload identity"
_MAKE_A_BUCKET = "Make a bucket with `aws s3api create-bucket --object-lock-enabled-for-bucket`, which has both"


def check_bucket(store: ObjectStore, client: Any, bucket: str) -> list[StoreCheck]:
    """Return what was found, in the order in which it matters; what a failure hides is not listed.

    Raises:
        Unavailable: the store does not answer, or fails by itself.
    """
    before_s = time.time()
    refusal: HoldfastError | None = None
    try:
        with translated(bucket):
            reply = client.get_bucket_versioning(Bucket=bucket)
    except HoldfastError as error:
        refusal, reply = error, getattr(error.__cause__, "response", {})
    if refusal is not None and isinstance(refusal.__cause__, NO_CREDENTIALS):
        # The store was not asked, so nothing is known of its clock.
        why = InvalidRequest(refusal.message, remedy=_GIVE_CREDENTIALS)
        return [StoreCheck("bucket", "cannot be used", why)]
    clock = check_clock((before_s + time.time()) / 2, date_of(reply))
    if clock.error is not None:
        return [clock]
    if refusal is not None:
        return [clock, StoreCheck("bucket", "cannot be used", meaning_of(refusal, bucket))]
    return [
        clock,
        StoreCheck("bucket", f"{bucket!r} is there, and the credentials are good"),
        _versions(reply, bucket),
        _lock(client, bucket),
        _tried("grants", lambda: _try_whole(store, client, bucket)),
        _tried("parts", lambda: _try_parts(store)),
    ]


def check_clock(here_s: float, date: str | None) -> StoreCheck:
    """Compare this process's clock with the store's.

    Args:
        here_s: seconds since the epoch, when the store answered.
        date: what the store said in its reply, to the second.
    """
    if date is None:
        return StoreCheck("clock", "the store does not say what time it is", warning="the clocks cannot be compared")
    difference_s = round(here_s - parsedate_to_datetime(date).timestamp())
    ahead = f"{abs(difference_s)} s {'ahead of' if difference_s > 0 else 'behind'} the store's"
    if abs(difference_s) > CLOCK_LIMIT_S:
        error = InvalidRequest(
            f"this machine's clock is {ahead}, and grants would be good at the wrong times",
            remedy="Set the clocks by NTP, here and on the store",
        )
        return StoreCheck("clock", ahead, error)
    return StoreCheck("clock", ahead, warning=f"it is {ahead}" if abs(difference_s) > CLOCK_WARNING_S else "")


def _versions(reply: Any, bucket: str) -> StoreCheck:
    if reply.get("Status") == "Enabled":
        return StoreCheck("versions", "are kept")
    wrong = InvalidRequest(f"the bucket {bucket!r} keeps no versions", remedy=_MAKE_A_BUCKET)
    return StoreCheck("versions", "are not kept", wrong)


def _lock(client: Any, bucket: str) -> StoreCheck:
    try:
        with translated(bucket):
            reply = client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        is_enabled = reply.get("ObjectLockEnabled") == "Enabled"
    except HoldfastError as error:
        if code_of(error.__cause__) != "ObjectLockConfigurationNotFoundError":
            return StoreCheck("object lock", "cannot be looked at", meaning_of(error, bucket))
        is_enabled = False
    if is_enabled:
        return StoreCheck("object lock", "is enabled")
    wrong = InvalidRequest(f"the bucket {bucket!r} has no Object Lock", remedy=_MAKE_A_BUCKET)
    return StoreCheck("object lock", "is not enabled", wrong)


def meaning_of(error: HoldfastError, bucket: str) -> HoldfastError:
    """Return what a refusal says of the settings or the rights; raises it as it is where the store itself fails."""
    match code_of(error.__cause__):
        case "NoSuchBucket":
            return InvalidRequest(f"there is no bucket {bucket!r}", remedy="Make it, or set HOLDFAST_S3_BUCKET")
        case "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" as code:
            return InvalidRequest(
                f"the store does not know the service's credentials ({code})",
                remedy=_GIVE_CREDENTIALS,
            )
        case "AccessDenied" | "AllAccessDisabled" as code:
            return InvalidRequest(
                f"the store does not let the service use the bucket {bucket!r} ({code})",
                remedy="Give it the rights that docs/how-to/bring-your-s3.md lists",
            )
        case _:
            raise error


def _tried(name: str, attempt: Callable[[], StoreCheck]) -> StoreCheck:
    """Return what an attempt finds; a call of it that is refused is a right that is missing."""
    try:
        return attempt()
    except IntegrityViolation as error:
        return StoreCheck(name, "are taken and come to nothing", error)
    except HoldfastError as error:
        return StoreCheck(name, "cannot be tried", meaning_of(error, PROBE_KEY))


def _try_whole(store: ObjectStore, client: Any, bucket: str) -> StoreCheck:
    signed = store.grant("PUT", PROBE_KEY, version_id=None, digest=of(_GRANTED), size_bytes=1, expires_at=_soon())
    status, version_id = _put(signed, _OTHER)
    if status >= 300:
        return StoreCheck("grants", "other bytes are refused")
    return StoreCheck("grants", "other bytes are taken", _takes_anything(_remove(client, bucket, version_id)))


def _try_parts(store: ObjectStore) -> StoreCheck:
    """Try an upload in two parts, of which the second has one byte; nothing of it is completed."""
    try:
        upload = store.begin_upload(
            PROBE_KEY, digest=of(_GRANTED), size_bytes=PART_BYTES + 1, parts=[of(_GRANTED)] * 2, expires_at=_soon()
        )
        other, _ = _put(upload.parts[1], _OTHER)
        granted, _ = _put(upload.parts[1], _GRANTED)
    finally:
        store.abort_uploads(PROBE_KEY)
    if other < 300:
        return StoreCheck("parts", "other bytes are taken", _takes_anything(""))
    if granted >= 300:
        error = InvalidRequest(
            f"the store refuses what a grant is for (status {granted})",
            remedy="Check HOLDFAST_S3_ENDPOINT_URL and HOLDFAST_S3_REGION: both are in the signature",
        )
        return StoreCheck("parts", "granted bytes are refused", error)
    return StoreCheck("parts", "granted bytes are taken, others are refused")


def _takes_anything(left: str) -> IntegrityViolation:
    return IntegrityViolation(
        f"the store takes other bytes than those that a grant is for{left}",
        remedy="Use a store that checks x-amz-content-sha256 in a presigned URL; see docs/how-to/bring-your-s3.md",
    )


def _remove(client: Any, bucket: str, version_id: str) -> str:
    """Remove what should not have been stored; return what to say where that is not allowed."""
    with suppress(ClientError):
        client.delete_object(Bucket=bucket, Key=PROBE_KEY, VersionId=version_id)
        return ""
    return f"; version {version_id} of {PROBE_KEY!r} is left in the bucket"


def _put(signed: SignedUrl, body: bytes) -> tuple[int, str]:
    """Send a body under a grant and return status and version id; raises Unavailable where there is no answer."""
    parts = urlsplit(signed.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("PUT", f"{parts.path}?{parts.query}", body, dict(signed.headers))
        reply = connection.getresponse()
        reply.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"the object store does not answer ({type(error).__name__})") from None
    finally:
        connection.close()
    if reply.status >= 500:
        raise Unavailable(f"the object store failed ({reply.status})", remedy="Look into its log; then try again")
    return reply.status, reply.getheader("x-amz-version-id") or "null"


def _soon() -> datetime:
    return datetime.now(UTC) + _LIFETIME


def date_of(reply: Any) -> str | None:
    """Return what a store's reply says of its time; None where it says nothing."""
    date = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return str(date) if date else None
