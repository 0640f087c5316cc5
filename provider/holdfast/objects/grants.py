"""Grants of the file system store: a URL that allows one method on one object with one content until a time.

Source: the shape follows presigned URLs; the signature is HMAC-SHA-256 (RFC 2104) over every part, each with its length.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from holdfast.core.digest import SIZE_BYTES
from holdfast.core.errors import PolicyViolation

_DOMAIN = b"holdfast.grant/1"
SIGNATURE = "grant_token"
"""The parameter that makes the URL a secret; Airflow's access log blots out what is called a token."""


@dataclass(frozen=True, slots=True)
class ObjectGrant:
    """What is allowed: one method on one object whose content is fixed."""

    method: str
    key: str
    digest: bytes
    size_bytes: int
    expires_at: int

    def signature(self, secret: bytes) -> str:
        """Return the signature over every part, in hexadecimal digits."""
        parts = (
            _DOMAIN,
            self.method.encode(),
            self.key.encode(),
            self.digest,
            str(self.size_bytes).encode(),
            str(self.expires_at).encode(),
        )
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(secret, message, hashlib.sha256).hexdigest()

    def url(self, api_url: str, secret: bytes) -> str:
        """Return the URL; it is a secret."""
        query = {
            "digest": self.digest.hex(),
            "size": str(self.size_bytes),
            "expires": str(self.expires_at),
            SIGNATURE: self.signature(secret),
        }
        return f"{api_url.rstrip('/')}/objects/{quote(self.key)}?{urlencode(query)}"


def check_grant(secret: bytes, method: str, key: str, query: dict[str, str], now: datetime) -> ObjectGrant:
    """Return the grant that a URL carries.

    Raises:
        PolicyViolation: it was not given by this service, is for something else, or has expired. The message repeats no part of it.
    """
    try:
        digest, size, expires = bytes.fromhex(query["digest"]), int(query["size"]), int(query["expires"])
        signature = query[SIGNATURE]
    except (KeyError, ValueError):
        raise _refusal("the URL is not a grant") from None
    grant = ObjectGrant(method, key, digest, size, expires)
    if len(digest) != SIZE_BYTES or not hmac.compare_digest(grant.signature(secret).encode(), signature.encode()):
        raise _refusal("the grant is not for this call")
    if now.timestamp() >= expires:
        raise _refusal("the grant has expired")
    return grant


def _refusal(message: str) -> PolicyViolation:
    return PolicyViolation(
        message,
        remedy="Ask the service for a new grant",
        details={"rule": "objects.grant", "version": 1, "changed_by": "nobody"},
    )
