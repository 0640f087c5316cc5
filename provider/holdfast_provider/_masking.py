"""Keeps service tokens out of logs: a known one in every form in which it may be written, an unknown one by its shape."""

import base64
import re
from functools import lru_cache
from urllib.parse import quote

_SHAPE = r"hft_[0-9a-f]{32}_[A-Za-z0-9_-]{43}"


def mask(text: str, token: str) -> str:
    """Return a text without this token, and without those of other Projects, which nobody here knows.

    What user code says is masked before it is logged: Airflow masks a task's log, and not the echo of it that its executor prints.
    """
    return _pattern(token).sub("***", text)


def mask_unknown(text: str) -> str:
    """Return a text without anything that looks like a service token."""
    return re.sub(_SHAPE, "***", text)


@lru_cache(maxsize=1)
def _pattern(token: str) -> re.Pattern[str]:
    known = "|".join(re.escape(form) for form in sorted(written_forms(token), key=len, reverse=True))
    return re.compile(f"{known}|{_SHAPE}")


def written_forms(secret: str) -> set[str]:
    """Return a secret as it may stand in a text: plain, percent-encoded, and inside anything that was encoded by base64.

    Base64 writes three bytes at a time, so a secret looks in one of three ways, depending on how many bytes stand before it; its first
    and last characters then depend on its neighbours and are left out.
    """
    forms = {secret, quote(secret, safe="")}
    for before in range(3):
        padded = b"\0" * before + secret.encode()
        whole = padded[3 if before else 0 : len(padded) // 3 * 3]
        forms |= {base64.b64encode(whole).decode(), base64.urlsafe_b64encode(whole).decode()}
    return forms
