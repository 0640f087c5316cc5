"""Webhook: batches as signed POSTs over HTTPS.

The signature is HMAC-SHA256 over the time, a full stop and the body, so that a receiver knows who sent it, when, and that it is whole.
What the receiver answers with 2xx it has taken; with another 4xx than 408 and 429 it will never take it; all else is no answer.
"""

import hashlib
import hmac
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson

from holdfast import __version__
from holdfast.core.errors import Unavailable
from holdfast.export.sink import Batch, Refused
from holdfast.export.trust import client_context
from holdfast.objects.secret import read_secret

TIMESTAMP = "Holdfast-Timestamp"
SIGNATURE = "Holdfast-Signature"
FORMAT = "holdfast.export-batch/1"
KEY_BYTES = 32
_ANSWER_LIMIT_BYTES = 64 << 10
_AGAIN = (408, 429)


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """Return the value of the signature's header."""
    return "v1=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def body_of(batch: Batch, *, is_json: bool) -> bytes:
    """Return the body of a batch.

    Args:
        batch: what is sent.
        is_json: whether its lines are JSON objects; else they are sent as strings.
    """
    lines = batch.lines if is_json else [orjson.dumps(line.decode()) for line in batch.lines]
    head = {
        "format": FORMAT,
        "log": batch.log.origin,
        "first": batch.first,
        "last": batch.last,
        "replay": batch.replay or None,
        "checkpoint": batch.note,
    }
    return orjson.dumps(head)[:-1] + b',"records":[' + b",".join(lines) + b"]}"


class WebhookSink:
    """Implements `sink.Sink` over HTTPS.

    Args:
        url: where batches are posted.
        key_file: of the key that signs; it is read for each batch, so that a new key is used as soon as it is there.
        is_json: whether lines are JSON objects.
        ca_file: PEM of the authorities that sign the receiver's certificate; the usual ones where it is None.
        authorization_file: holds the value of the header `Authorization`, where the receiver wants one.
        timeout_s: for each step of a call.
        now: the time in seconds.
    """

    def __init__(
        self,
        url: str,
        key_file: Path,
        *,
        is_json: bool,
        ca_file: Path | None = None,
        authorization_file: Path | None = None,
        timeout_s: float = 15,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._key_file, self._is_json = url, key_file, is_json
        self._authorization_file, self._now = authorization_file, now
        parts = urlsplit(url)
        self._shown = f"{parts.scheme}://{parts.netloc}"  # a path may be a secret of the receiver's
        verify = client_context(ca_file) if parts.scheme == "https" else False
        self._http = httpx.Client(
            verify=verify,
            timeout=timeout_s,
            trust_env=False,
            headers={"User-Agent": f"holdfast/{__version__}", "Content-Type": "application/json"},
        )
        self._timeout_s = timeout_s

    def deliver(self, batch: Batch) -> int:
        """Return the index behind the last event, once the receiver has said that it has them; raises Refused, Unavailable."""
        body = body_of(batch, is_json=self._is_json)
        timestamp = str(int(self._now()))
        key = read_secret(self._key_file, least_bytes=KEY_BYTES)
        headers = {TIMESTAMP.encode(): timestamp.encode(), SIGNATURE.encode(): signature(key, timestamp, body).encode()}
        if self._authorization_file is not None:
            headers[b"Authorization"] = read_secret(self._authorization_file)
        try:
            status = self._status(headers, body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{self._shown} does not answer ({_cause(error)})") from None
        if 200 <= status < 300:
            return batch.last + 1
        if 400 <= status < 500 and status not in _AGAIN:
            raise Refused(f"{self._shown} answers {status}")
        raise Unavailable(f"{self._shown} answers {status}")

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def _status(self, headers: dict[bytes, bytes], body: bytes) -> int:
        """Return the status of an answer; of its body no more is read than tells that the answer is whole."""
        deadline = time.monotonic() + 2 * self._timeout_s
        with self._http.stream("POST", self._url, content=body, headers=headers) as response:
            size = 0
            for chunk in response.iter_raw():
                size += len(chunk)
                if size > _ANSWER_LIMIT_BYTES or time.monotonic() > deadline:
                    raise httpx.ReadError("the answer does not end")
            return response.status_code


def _cause(error: Exception) -> str:
    """Return what has happened, without what may hold the URL's path."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {found.verify_message}"
        found = found.__cause__ or found.__context__
    return type(error).__name__
