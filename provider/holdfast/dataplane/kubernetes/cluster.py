"""Calls on a cluster's API, in plain JSON: the client's own models cost more than the calls. What it refuses becomes one of our errors."""

import gc
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import orjson
from kubernetes.client import ApiClient, AuthorizationV1Api, CoreV1Api, VersionApi
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from urllib3.exceptions import HTTPError
from websocket import WebSocketException

from holdfast.core.errors import Unavailable
from holdfast.dataplane.kubernetes.manifest import agent_command
from holdfast.dataplane.kubernetes.refusal import refusal_of
from holdfast.dataplane.plane import StepFailed, failure_of

Pod = dict[str, Any]
_PIECE_BYTES = 256 << 10
_PAGE = 500
_ORDER_TIMEOUT_S = 3600


class Cluster:
    """One cluster, as the holder of a client may use it.

    Args:
        client: configured and authenticated.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._core = CoreV1Api(client)

    def create_pod(self, manifest: Pod) -> Pod | None:
        """Create a pod and return it; None where one of that name is there already.

        Raises:
            StepFailed: the cluster refuses it; the class says whose failure that is.
            Unavailable: the cluster does not answer; the pod may have been created.
        """
        namespace = manifest["metadata"]["namespace"]
        try:
            with _answered("create pods", namespace, 409):
                return _json(self._core.create_namespaced_pod(namespace, manifest, **_RAW))
        except ApiException as error:
            if "AlreadyExists" in str(error.body):
                return None
            raise refusal_of(error.status, error.body, "create pods", namespace) from None

    def find_pod(self, namespace: str, name: str) -> Pod | None:
        """Return a pod, None where there is none; raises StepFailed, Unavailable."""
        try:
            with _answered("get pods", namespace, 404):
                return _json(self._core.read_namespaced_pod(name, namespace, **_RAW))
        except ApiException:
            return None

    def delete_pod(self, namespace: str, name: str, uid: str) -> bool:
        """Delete exactly the pod with this UID; return whether it was there. Raises StepFailed, Unavailable."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            with _answered("delete pods", namespace, 404, 409):
                self._core.delete_namespaced_pod(name, namespace, body=body, **_RAW)
        except ApiException:
            return False
        return True

    def mark_pod(
        self, namespace: str, name: str, uid: str, labels: Mapping[str, str], annotations: Mapping[str, str]
    ) -> bool:
        """Give exactly the pod with this UID labels and annotations; return whether it was there. Raises StepFailed, Unavailable."""
        body = {"metadata": {"uid": uid, "labels": dict(labels), "annotations": dict(annotations)}}
        try:
            with _answered("patch pods", namespace, 404, 409):
                self._core.patch_namespaced_pod(name, namespace, body, **_RAW)
        except ApiException:
            return False
        return True

    def namespace(self, name: str) -> dict[str, Any]:
        """Return a namespace; raises StepFailed where there is none, Unavailable."""
        with _answered("get namespaces", name):
            return _json(self._core.read_namespace(name, **_RAW))

    def pods(self, selector: str, namespace: str | None = None) -> Iterator[Pod]:
        """Yield the pods that a label selector finds, page by page, so that memory stays flat; raises StepFailed, Unavailable."""
        token: str | None = None
        where = namespace or "every namespace"
        while True:
            more: dict[str, Any] = {"label_selector": selector, "limit": _PAGE, **_RAW}
            if token:
                more["_continue"] = token
            with _answered("list pods", where):
                page = _json(
                    self._core.list_namespaced_pod(namespace, **more)
                    if namespace
                    else self._core.list_pod_for_all_namespaces(**more)
                )
            yield from page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return

    def watch_pod(self, namespace: str, name: str, timeout_s: float) -> Iterator[Pod | None]:
        """Yield a pod each time it has changed, beginning with what it is now, for so long; None where it is gone."""
        deadline = time.monotonic() + timeout_s
        while True:
            pod = self.find_pod(namespace, name)
            yield pod
            left = deadline - time.monotonic()
            if pod is None or left <= 0:
                return
            with _answered("watch pods", namespace):
                response = self._core.list_namespaced_pod(
                    namespace,
                    field_selector=f"metadata.name={name}",
                    resource_version=pod["metadata"]["resourceVersion"],
                    watch=True,
                    timeout_seconds=max(1, int(left)),
                    **_RAW,
                )
                for line in _lines(response):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    yield None if event["type"] == "DELETED" else event["object"]

    def time(self) -> datetime:
        """Return the cluster's time; raises StepFailed, Unavailable."""
        with _answered("get its version", "the cluster"):
            response = VersionApi(self._client).get_code(**_RAW)
        return parsedate_to_datetime(response.headers["Date"])

    def may(self, verb: str, resource: str, namespace: str) -> bool:
        """Return whether the caller has a right in a namespace; raises StepFailed, Unavailable."""
        name, _, subresource = resource.partition("/")
        asked = {"verb": verb, "resource": name, "subresource": subresource, "namespace": namespace}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        with _answered("create selfsubjectaccessreviews", "the cluster"):
            answer = _json(AuthorizationV1Api(self._client).create_self_subject_access_review(review, **_RAW))
        return bool(answer["status"]["allowed"])

    def dry_run(self, manifest: Pod) -> StepFailed | None:
        """Return how the cluster would refuse a pod, None where it would take it; nothing is made. Raises Unavailable."""
        namespace = manifest["metadata"]["namespace"]
        try:
            with _answered("create pods", namespace):
                self._core.create_namespaced_pod(namespace, manifest, dry_run="All", **_RAW)
        except StepFailed as refusal:
            return refusal
        return None

    def ask(
        self,
        namespace: str,
        name: str,
        container: str,
        command: str,
        order: Mapping[str, Any] | None = None,
        content: Path | None = None,
    ) -> dict[str, Any]:
        """Give the agent in a pod an order through exec and return its result.

        Raises:
            StepFailed: the agent's own, or the cluster refuses the call.
            Unavailable: no report came; the order may have been carried out, and may be given again.
        """
        try:
            with _reached("create pods/exec", namespace):
                said = self._exec(namespace, name, container, agent_command(command), _framed(order or {}, content))
        except ApiException as error:
            if error.status in (401, 403):
                raise refusal_of(error.status, error.body or error.reason, "create pods/exec", namespace) from None
            # Not there yet, not there any more, or its node does not answer: which of them, the pod's state tells.
            raise Unavailable(
                f"container {container!r} of pod {namespace}/{name} takes no order: {_said(str(error.reason))[:300]}"
            ) from None
        try:
            report = json.loads(said)
        except ValueError:
            last = said.decode(errors="replace").strip().splitlines()[-1:] or ["no report"]
            raise Unavailable(
                f"the agent in pod {namespace}/{name} broke off in {command!r}: {last[0][:300]}"
            ) from None
        if "failure" in report:
            raise failure_of(report)
        return dict(report["result"])

    def _exec(self, namespace: str, name: str, container: str, command: list[str], frames: Iterator[bytes]) -> bytes:
        socket = self._socket(namespace, name, container, command)
        try:
            for frame in frames:
                socket.write_stdin(frame)
                socket.update(timeout=0)
                if not socket.is_open():
                    break
            socket.run_forever(timeout=_ORDER_TIMEOUT_S)
            said: bytes = socket.read_stdout(timeout=0) or socket.read_stderr(timeout=0)
            return said
        finally:
            socket.close()

    def _socket(self, namespace: str, name: str, container: str, command: list[str]) -> Any:
        try:
            # A client of its own: for the time of a call the library replaces the client's way to send requests.
            return stream(
                CoreV1Api(ApiClient(self._client.configuration)).connect_get_namespaced_pod_exec,
                name,
                namespace,
                container=container,
                command=command,
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


_RAW: dict[str, Any] = {"_preload_content": False}


def _framed(order: Mapping[str, Any], content: Path | None) -> Iterator[bytes]:
    encoded = json.dumps(order).encode()
    size = content.stat().st_size if content else 0
    yield json.dumps({"order_bytes": len(encoded), "content_bytes": size}).encode() + b"\n"
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


def _json(response: Any) -> dict[str, Any]:
    # A page of pods is half a million objects and no cycle: to look for one takes three times as long as to read it.
    collects = gc.isenabled()
    gc.disable()
    try:
        found: dict[str, Any] = orjson.loads(response.data)
    finally:
        if collects:
            gc.enable()
    return found


def _lines(response: Any) -> Iterator[bytes]:
    held = b""
    try:
        for piece in response.stream(amt=None, decode_content=False):
            *lines, held = (held + piece).split(b"\n")
            yield from filter(None, lines)
    finally:
        response.close()
        response.release_conn()


@contextmanager
def _answered(right: str, where: str, *expected: int) -> Iterator[None]:
    """Turn what a call raises into our errors, but for refusals with an expected status, which mean something to its caller."""
    try:
        with _reached(right, where):
            yield
    except ApiException as error:
        if error.status in expected:
            raise
        raise refusal_of(error.status, error.body, right, where) from None


@contextmanager
def _reached(right: str, where: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, WebSocketException, OSError) as error:
        raise Unavailable(
            f"the cluster does not answer when asked to {right} in {where} ({type(error).__name__})",
            remedy="Check the kubeconfig's server and the network to it",
        ) from None
