"""A secret in the forms in which it might have been written somewhere."""

from __future__ import annotations

import json
from urllib.parse import quote


def written_forms(secret: str) -> list[str]:
    """Return a secret as it is, percent-encoded with and without slashes, as JSON in three ways, and in hexadecimal."""
    return [
        secret,
        quote(secret, safe=""),
        quote(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        secret.encode().hex(),
    ]
