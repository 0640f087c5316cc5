"""Orders to the agent in a pod and its reports, over one exec: a process in the pod answers as long as it is asked.

To start that process and its Python takes longer than most orders do, so it is started once for all of them. Every order may be given
again, in this dialogue or in another.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient, CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from websocket import WebSocketException

from holdfast.core.errors import Unavailable
from holdfast.core.run import ErrorClass
from holdfast.dataplane.kubernetes.manifest import agent_command
from holdfast.dataplane.kubernetes.refusal import reached, refusal_of
from holdfast.dataplane.plane import StepFailed, failure_of

_PIECE_BYTES = 256 << 10
_ORDER_TIMEOUT_S = 3600
# How long the other side may take nothing of what is sent.
_STALL_S = 60
# How often it is asked whether it is there while it works, and how long it may say nothing at all: what it has not taken yet it answers after that.
_PING_S = 20.0
_SILENCE_S = 300.0
_RIGHT = "create pods/exec"


class Dialogue:
    """One container's agent, who is asked one thing after the other; connected at the first, and again after a break.

    Args:
        client: configured and authenticated.
        namespace: of the pod.
        name: of the pod.
        container: whose agent it is.
    """

    def __init__(self, client: ApiClient, namespace: str, name: str, container: str) -> None:
        self._client, self._namespace, self._name, self._container = client, namespace, name, container
        self._socket: Any = None
        self._heard_at = 0.0

    def ask(self, command: str, order: Mapping[str, Any] | None = None, content: Path | None = None) -> dict[str, Any]:
        """Give an order, and the bytes of a file with it, and return the result.

        Raises:
            StepFailed: the agent's own, or the cluster refuses the call.
            Unavailable: no report came; the order may have been carried out, and may be given again.
        """
        try:
            with reached(_RIGHT, self._namespace):
                said = self._exchange(_framed(command, order or {}, content))
        except ApiException as error:
            self.close()
            if error.status in (401, 403):
                raise refusal_of(error.status, error.body or error.reason, _RIGHT, self._namespace) from None
            # Not there yet, not there any more, or its node does not answer: which of them, the pod's state tells.
            raise Unavailable(
                f"container {self._container!r} of pod {self._namespace}/{self._name} takes no order:"
                f" {_said(str(error.reason))[:300]}"
            ) from None
        except BaseException:
            self.close()
            raise
        try:
            report = _report(said)
        except ValueError:
            self.close()
            last = said.decode(errors="replace").strip().splitlines()[-1:] or ["no report"]
            if last[0].startswith("usage:"):
                raise StepFailed(
                    ErrorClass.PLATFORM,
                    "the agent's image is of another version of Holdfast: it takes no orders as this one gives them",
                    "Set agent_image to the image of this version",
                ) from None
            raise Unavailable(
                f"the agent in pod {self._namespace}/{self._name} broke off in {command!r}: {last[0][:300]}"
            ) from None
        if "failure" in report:
            raise failure_of(report)
        return dict(report["result"])

    def close(self) -> None:
        """End the dialogue; the agent's process ends with it."""
        if self._socket is not None:
            with suppress(WebSocketException, OSError):
                self._socket.close()
            self._socket = None

    def _exchange(self, frames: Iterator[bytes]) -> bytes:
        """Return the line that answers; where there is none, what the process complained of."""
        if self._socket is None or not self._socket.is_open():
            self.close()
            self._socket = self._connected()
        socket, held = self._socket, b""
        for frame in frames:
            socket.write_stdin(frame)
            socket.update(timeout=0)
            if not socket.is_open():
                break
        deadline = time.monotonic() + _ORDER_TIMEOUT_S
        asked_at = self._heard_at = time.monotonic()
        while b"\n" not in held:
            asked_at = self._check_there(asked_at)
            # One look more after the end: the last words come before it.
            is_over = not socket.is_open() or time.monotonic() > deadline
            held += socket.read_stdout(timeout=0 if is_over else 1)
            if is_over and b"\n" not in held:
                return held or bytes(socket.read_stderr(timeout=0))
        return held

    def _connected(self) -> Any:
        try:
            # A client of its own: for the time of a call the library replaces the client's way to send requests.
            made = stream(
                CoreV1Api(ApiClient(self._client.configuration)).connect_get_namespaced_pod_exec,
                self._name,
                self._namespace,
                container=self._container,
                command=agent_command("answer"),
                stdin=True,
                stdout=True,
                stderr=True,
                tty=False,
                _preload_content=False,
                binary=True,
            )
        except AttributeError as error:
            # The library trips over a refusal without a body; the refusal is what it was about to raise.
            if isinstance(error.__context__, ApiException):
                raise error.__context__ from None
            raise
        made.sock.settimeout(_STALL_S)
        receive = made.sock.recv_frame

        def heard() -> Any:
            frame = receive()
            self._heard_at = time.monotonic()
            return frame

        # The client tells nobody of an answer to a ping.
        made.sock.recv_frame = heard
        return made

    def _check_there(self, asked_at: float) -> float:
        """Return when the other side was last asked whether it is there; raises Unavailable where it has said nothing for too long."""
        now = time.monotonic()
        if now - self._heard_at > _SILENCE_S:
            raise Unavailable(
                f"the cluster has not answered for {_SILENCE_S:.0f} s while pod {self._namespace}/{self._name} works",
                remedy="Check that its API server and the pod's node still do anything",
            )
        if self._socket.is_open() and now - max(self._heard_at, asked_at) > _PING_S:
            self._socket.sock.ping()
            return now
        return asked_at


def _report(said: bytes) -> dict[str, Any]:
    """Return the report that a line is; raises ValueError for another line."""
    report = json.loads(said)
    if not isinstance(report, dict) or not isinstance(report.get("failure", report.get("result")), dict):
        raise ValueError("no report")  # noqa: TRY004 - as for what is no JSON
    return report


def _framed(command: str, order: Mapping[str, Any], content: Path | None) -> Iterator[bytes]:
    encoded = json.dumps(order).encode()
    size = content.stat().st_size if content else 0
    header = {"command": command, "order_bytes": len(encoded), "content_bytes": size}
    yield json.dumps(header).encode() + b"\n"
    for start in range(0, len(encoded), _PIECE_BYTES):
        yield encoded[start : start + _PIECE_BYTES]
    if content:
        with content.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece


def _said(reason: str) -> str:
    """Return what the cluster says of a web socket that it refuses: the client puts the reply's headers before it."""
    body = reason.rpartition(" -+-+- ")[2]
    try:
        return str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        return body
