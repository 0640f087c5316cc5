"""What an S3 server refuses, as one of the six errors; what it said is repeated by its code alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from urllib3.exceptions import HTTPError

from holdfast.core.errors import HoldfastError, Unavailable
from holdfast.objects.checked import missing, no_upload

_GONE = {"404", "NoSuchKey", "NoSuchVersion", "InvalidArgument", "405", "MethodNotAllowed"}

NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
"""What boto raises where the process has nothing to sign with: the store was not even asked."""


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Turn what boto raises into the six errors."""
    try:
        yield
    except ClientError as error:
        raise error_of(error, key) from error
    except NO_CREDENTIALS as error:
        raise refused(f"the service has no credentials for it ({type(error).__name__})") from error
    except (BotoCoreError, HTTPError) as error:
        raise Unavailable(
            f"the object store does not answer ({type(error).__name__})",
            remedy="Check that it runs, and HOLDFAST_S3_ENDPOINT_URL; then try again",
        ) from error


def code_of(error: BaseException | None) -> str:
    """Return the server's name for an error, of a HEAD its status only; empty where it is not the server's."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def error_of(error: ClientError, key: str) -> HoldfastError:
    """Return what a refusal means for the object under a key."""
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return refused("there is no such bucket")
    if code == "NoSuchUpload":
        return no_upload(key)
    if code in _GONE:
        return missing(key)
    if status in (401, 403):
        return refused(f"it does not let the service in ({code})")
    return Unavailable(f"the object store failed ({code or status})", remedy="Look into its log; then try again")


def refused(why: str) -> Unavailable:
    """Return the error for a store that the service cannot use."""
    return Unavailable(
        f"the object store cannot be used: {why}",
        remedy="Check HOLDFAST_S3_BUCKET and the credentials of the service",
    )
