"""Service tokens: how one is made, and who the bearer of one is."""

import base64
import hashlib
import os
import re
from uuid import UUID

from sqlalchemy import Engine

from holdfast.core.access import Bearer, Caller, Unauthenticated
from holdfast.service.refusals import translate
from holdfast.store.engine import read_only
from holdfast.store.queries.access import identify

_SECRET = re.compile(r"hft_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


def new_secret(token: UUID) -> tuple[str, bytes]:
    """Return a token's secret (`hft_<id>_<43 characters>`, 256 random bits) and the SHA-256 that is stored instead of it."""
    secret = f"hft_{token.hex}_{base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip('=')}"
    return secret, hashlib.sha256(secret.encode()).digest()


def bearer_of(secret: str, caller: Caller) -> Bearer:
    """Return the bearer of what looks like a token, with the request and trace ids of a caller; nothing is looked up yet.

    Raises:
        Unauthenticated: it does not look like one.
    """
    match = _SECRET.fullmatch(secret)
    if match is None:
        raise Unauthenticated("this is not a service token; one begins with hft_")
    hashed = hashlib.sha256(secret.encode()).digest()
    return Bearer(UUID(match[1]), hashed, request_id=caller.request_id, trace_id=caller.trace_id)


def authenticate(engine: Engine, bearer: Bearer) -> Caller:
    """Return who bears a token, for what is not done by a governance function: those look it up themselves.

    Raises:
        Unauthenticated: the token is unknown, expired or revoked.
        Unavailable: the database does not answer.
    """
    with translate(), read_only(engine) as connection:
        return identify(connection, bearer)


def authenticate_token(engine: Engine, secret: str, caller: Caller | None = None) -> Caller:
    """Return who bears the token shown, with the request and trace ids of a caller; raises Unauthenticated, Unavailable."""
    return authenticate(engine, bearer_of(secret, caller or Caller("")))
