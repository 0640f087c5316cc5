"""The bytes of an Artifact, fetched under a grant and checked while they arrive."""

from collections.abc import Iterator

import httpx

from holdfast.client.transport import error_of, trust
from holdfast.core import digest as digests
from holdfast.core.errors import IntegrityViolation, NotFound, Unavailable
from holdfast.objects.checked import checked
from holdfast.wire.run import Grant

_ATTEMPTS = 2


def read_content(grant: Grant, *, ca_file: str | None = None, timeout_s: float = 60.0) -> Iterator[bytes]:
    """Yield the bytes of a grant's object, the last piece only when all of them are what was recorded.

    Raises:
        IntegrityViolation: the store holds other bytes, or stops at the same byte every time, which is how it refuses to give them.
        Unavailable: the store does not answer. In both cases what was yielded so far must not be used.
    """
    yield from checked(_pieces(grant, ca_file, timeout_s), grant.object_key, digests.parse(grant.digest))


def _pieces(grant: Grant, ca_file: str | None, timeout_s: float) -> Iterator[bytes]:
    """Yield the bytes; a connection that breaks off is opened once more, and what was yielded before is passed over."""
    broke_at: list[int] = []
    given = 0
    with httpx.Client(verify=trust(ca_file), trust_env=False, timeout=timeout_s) as http:
        while len(broke_at) < _ATTEMPTS:
            position = 0
            try:
                with http.stream(
                    "GET", grant.url, headers={**grant.headers, "Accept-Encoding": "identity"}
                ) as response:
                    _check_status(response, grant)
                    for piece in response.iter_raw():
                        fresh = piece[max(0, given - position) :]
                        position += len(piece)
                        given += len(fresh)
                        yield fresh
            except httpx.RemoteProtocolError:
                broke_at.append(position)
            except httpx.HTTPError as error:
                raise _unavailable(grant, position, type(error).__name__) from None
            else:
                return
    if len(set(broke_at)) > 1:
        raise _unavailable(grant, max(broke_at), "the connection was closed")
    raise IntegrityViolation(
        f"the object store gives {broke_at[0]} of {grant.size_bytes} bytes of {grant.name!r} and stops there every time",
        remedy="That is how it refuses bytes that are not what was recorded: restore the object and find out who changed it",
        details={"recorded_digest": grant.digest, "object_key": grant.object_key},
    )


def _unavailable(grant: Grant, position: int, why: str) -> Unavailable:
    return Unavailable(
        f"the object store broke off {grant.name!r} at byte {position} of {grant.size_bytes} ({why})",
        remedy="Check that it runs, and try again",
    )


def _check_status(response: httpx.Response, grant: Grant) -> None:
    if response.is_success:
        return
    response.read()
    error = error_of(response)
    if isinstance(error, NotFound):
        # The grant was given for an Artifact that is recorded: that its bytes are gone is not the caller's mistake.
        raise IntegrityViolation(f"the bytes of {grant.name!r} are gone: {error.message}", remedy=error.remedy)
    raise error
