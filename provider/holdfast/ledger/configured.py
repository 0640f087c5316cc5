"""What settings mean by a log's places and keys; nothing is connected yet."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl

from holdfast.core.errors import InvalidRequest
from holdfast.core.sources import SCHEME as S3
from holdfast.core.sources import S3Location
from holdfast.ledger.pkcs11_key import SCHEME as PKCS11
from holdfast.ledger.place import DirectoryPlace, Place
from holdfast.ports import Signer


def listed(text: str) -> list[str]:
    """Return the parts of a list that is written with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def check_place(text: str) -> None:
    """Return when a text names a place; raises InvalidRequest."""
    if text.startswith(S3):
        _bucket_of(text)
    elif not Path(text).is_absolute():
        raise InvalidRequest(
            f"{text[:200]!r} is neither an absolute directory nor s3://bucket/prefix/",
            remedy="Write one of them; after an s3:// address may stand ?profile=NAME",
        )


def place_of(text: str, *, endpoint_url: str | None, region: str, retained: timedelta | None = None) -> Place:
    """Return the place that a text names: an absolute directory, or `s3://bucket/prefix/`.

    After an address, `?profile=NAME` takes credentials, endpoint and region from a profile in AWS_CONFIG_FILE.

    Args:
        text: what is written.
        endpoint_url: of the S3 server, where no profile says.
        region: as it calls it, where no profile says.
        retained: how long an S3 version may not go.

    Raises:
        InvalidRequest: the text names no place, there is no such profile, or boto3 is not installed.
    """
    check_place(text)
    if not text.startswith(S3):
        return DirectoryPlace(Path(text))
    try:
        import boto3
        from botocore.exceptions import ProfileNotFound
    except ImportError:
        raise InvalidRequest(f"{text} is in S3 and boto3 is not installed", remedy="Install holdfast[s3]") from None
    from holdfast.ledger.s3_place import S3Place

    location, profile = _bucket_of(text)
    try:
        session = boto3.Session(profile_name=profile)
    except ProfileNotFound:
        raise InvalidRequest(f"there is no AWS profile {profile!r}", remedy="Write it into AWS_CONFIG_FILE") from None
    return S3Place(
        location.bucket,
        location.key.rstrip("/"),
        session,
        endpoint_url=None if profile else endpoint_url,
        region=(session.region_name if profile else None) or region,
        retained=retained,
    )


def check_signer(text: str) -> None:
    """Return when a text names a key; raises InvalidRequest."""
    if text.startswith(PKCS11):
        from holdfast.ledger.pkcs11_key import Pkcs11Uri

        Pkcs11Uri.parse(text)
    elif not Path(text).is_absolute():
        raise InvalidRequest(
            f"{text[:200]!r} is neither an absolute file nor a pkcs11: URI", remedy="Write one of them"
        )


def make_signer(name: str, text: str) -> Signer:
    """Make a log's key in a file or a token, and return it.

    Raises:
        InvalidRequest, StateConflict: the name cannot be one, is not that in the URI, or there is such a key already.
        Unavailable: the token does not answer.
    """
    from holdfast.ledger.keys import FileSigner
    from holdfast.ledger.pkcs11_key import Pkcs11Signer, Pkcs11Uri

    if not text.startswith(PKCS11):
        return FileSigner.make(name, Path(text))
    uri = Pkcs11Uri.parse(text)
    if uri.name != name:
        raise InvalidRequest(f"the URI's object is {uri.name!r} and the log {name!r}", remedy="Write the same name")
    return Pkcs11Signer.make(uri)


def signers_of(texts: Sequence[str]) -> list[Signer]:
    """Return the log's keys: of files, or of PKCS#11 tokens; they have one name.

    Raises:
        InvalidRequest: one cannot be read, is there twice, or has another name.
        Unavailable: a token does not answer.
    """
    from holdfast.ledger.keys import FileSigner
    from holdfast.ledger.pkcs11_key import Pkcs11Signer, Pkcs11Uri

    found: list[Signer] = [
        Pkcs11Signer(Pkcs11Uri.parse(text)) if text.startswith(PKCS11) else FileSigner.read(Path(text))
        for text in texts
    ]
    names = sorted({signer.key.name for signer in found})
    if len(names) != 1 or len({signer.key.public for signer in found}) != len(found):
        raise InvalidRequest(
            f"a log has keys of one name, each once, and these are of {', '.join(names) or 'no log'}",
            remedy="Name in HOLDFAST_LEDGER_KEY the key, and beside it only the one that replaces it",
        )
    return found


def _bucket_of(text: str) -> tuple[S3Location, str | None]:
    address, _, query = text.partition("?")
    location = S3Location.parse(address if address.endswith("/") else f"{address}/")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if options.keys() - {"profile"} or (query and not options.get("profile")):
        raise InvalidRequest(
            f"{text[:200]!r} has options that a place does not know",
            remedy="After an s3:// address, write ?profile=NAME",
        )
    return location, options.get("profile")
