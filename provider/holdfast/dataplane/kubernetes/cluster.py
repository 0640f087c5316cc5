"""Calls on a cluster's API, in plain JSON: the client's own models cost more than the calls. What it refuses becomes one of our errors."""

import gc
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from kubernetes.client import ApiClient, AuthorizationV1Api, CoreV1Api, VersionApi
from kubernetes.client.exceptions import ApiException

from holdfast.dataplane.kubernetes.dialogue import Dialogue
from holdfast.dataplane.kubernetes.lines import Lines
from holdfast.dataplane.kubernetes.refusal import reached, refusal_of
from holdfast.dataplane.plane import StepFailed

Pod = dict[str, Any]
_PAGE = 250
LINE_LIMIT = 16 << 10
"""Bytes of a line of a log at most."""
END_LINE = b"\x04"
"""What a command's process 1 says last, on each of its two streams."""


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

    def pod_pages(self, selector: str, namespace: str | None = None) -> Iterator[list[Pod]]:
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
            token = page["metadata"].get("continue")
            # It is the caller's alone: two pages at a time would be twice the memory.
            yield page.pop("items")
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

    def log(self, namespace: str, name: str, container: str) -> Iterator[str]:
        """Yield what a container has said, line by line, each cut where it is very long; raises StepFailed, Unavailable."""
        with _answered("get pods/log", namespace):
            response = self._core.read_namespaced_pod_log(name, namespace, container=container, **_RAW)
            for line in _lines(response, LINE_LIMIT):
                if line != END_LINE:
                    yield line.decode(errors="backslashreplace")

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

    def dialogue(self, namespace: str, name: str, container: str) -> Dialogue:
        """Return a dialogue with the agent in a pod, through exec; nothing is connected yet."""
        return Dialogue(self._client, namespace, name, container)


_RAW: dict[str, Any] = {"_preload_content": False}


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


def _lines(response: Any, limit_bytes: int | None = None) -> Iterator[bytes]:
    lines = Lines(limit_bytes)
    try:
        for piece in response.stream(amt=None, decode_content=False):
            yield from lines.feed(piece)
        if last := lines.rest():
            yield last
    finally:
        response.close()
        response.release_conn()


@contextmanager
def _answered(right: str, where: str, *expected: int) -> Iterator[None]:
    """Turn what a call raises into our errors, but for refusals with an expected status, which mean something to its caller."""
    try:
        with reached(right, where):
            yield
    except ApiException as error:
        if error.status in expected:
            raise
        raise refusal_of(error.status, error.body, right, where) from None
