"""Service tokens: how one is made, and who the bearer of one is."""

import base64
import hashlib
import hmac
import os
import re
from dataclasses import replace
from uuid import UUID

from sqlalchemy import Engine

from holdfast.core.access import Caller, Permission, Unauthenticated
from holdfast.service.refusals import translate
from holdfast.store.engine import read_only
from holdfast.store.queries.access import service_token

_SECRET = re.compile(r"hft_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


def new_secret(token: UUID) -> tuple[str, bytes]:
    """Return a token's secret (`hft_<id>_<43 characters>`, 256 random bits) and the SHA-256 that is stored instead of it."""
    secret = f"hft_{token.hex}_{base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip('=')}"
    return secret, hashlib.sha256(secret.encode()).digest()


def authenticate_token(engine: Engine, secret: str, caller: Caller | None = None) -> Caller:
    """Return who bears the token.

    Args:
        engine: the governance database.
        secret: as sent by the bearer.
        caller: carries request and trace id into the result.

    Raises:
        Unauthenticated: the token is malformed, unknown, expired or revoked.
        Unavailable: the database does not answer.
    """
    match = _SECRET.fullmatch(secret)
    if match is None:
        raise Unauthenticated("this is not a service token; one begins with hft_")
    with translate(), read_only(engine) as connection:
        found = service_token(connection, UUID(match[1]))
    hashed = hashlib.sha256(secret.encode()).digest()
    if found is None or not hmac.compare_digest(found[0].secret_hash, hashed):
        raise Unauthenticated("the service token is unknown; make one with `holdfast token create`")
    row, project, expired = found
    if row.revoked_at is not None:
        raise Unauthenticated(f"service token {row.name!r} was revoked; make another with `holdfast token create`")
    if expired:
        raise Unauthenticated(f"service token {row.name!r} has expired; make another with `holdfast token create`")
    scope = frozenset(Permission(item) for item in row.scope)
    return replace(caller or Caller(""), principal=f"token:{row.id}", project=project, scope=scope)
