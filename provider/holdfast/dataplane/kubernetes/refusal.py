"""Whose failure it is when a cluster refuses a call or does not answer, and what to do: one table."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError
from websocket import WebSocketException

from holdfast.core.errors import Unavailable
from holdfast.core.run import ErrorClass
from holdfast.dataplane.plane import StepFailed


def refusal_of(status: int | None, body: Any, right: str, namespace: str) -> StepFailed:
    """Return a refusal as a Run's failure.

    Args:
        status: HTTP status.
        body: the API's reply, a Status object in JSON.
        right: verb and resource of the call, for example `create pods`.
        namespace: where.
    """
    message = _message(body)
    rules: tuple[tuple[bool, ErrorClass, str, str], ...] = (
        (
            status == 401,
            ErrorClass.PLATFORM,
            f"the cluster does not know who calls it: {message}",
            "Renew the credentials in the kubeconfig or the Kubernetes connection",
        ),
        (
            "exceeded quota" in message,
            ErrorClass.PLATFORM,
            f"namespace {namespace!r} has no room for the Run: {message}",
            "Let other Runs end, or let the Platform Owner raise the quota",
        ),
        (
            "violates PodSecurity" in message
            or "ValidatingAdmissionPolicy" in message
            or "denied the request" in message,
            ErrorClass.POLICY,
            f"the cluster's admission refuses the pod: {message}",
            "Change what the message names",
        ),
        (
            status == 404 and "namespaces" in message,
            ErrorClass.PLATFORM,
            f"there is no namespace {namespace!r} in the cluster",
            "Apply what `holdfast cluster manifests` prints",
        ),
        (
            status == 403 and "being terminated" in message,
            ErrorClass.PLATFORM,
            f"namespace {namespace!r} is being removed",
            "Wait for its end and make it again",
        ),
        (
            status == 403,
            ErrorClass.PLATFORM,
            f"the cluster does not allow to {right} in {namespace!r}: {message}",
            f"Give the caller the right to {right} there; docs/how-to/bring-your-cluster.md lists all of them",
        ),
        (
            status in (400, 422),
            ErrorClass.USER,
            f"the cluster does not understand the pod: {message}",
            "Correct what the message names",
        ),
    )
    for applies, error_class, what, remedy in rules:
        if applies:
            return StepFailed(error_class, what, remedy)
    return StepFailed(
        ErrorClass.PLATFORM, f"the cluster failed when asked to {right} in {namespace!r}: {status} {message}".rstrip()
    )


def _message(body: Any) -> str:
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        found = json.loads(text)
    except ValueError:
        return text[:500]
    return str(found.get("message", "") if isinstance(found, dict) else text)[:500]


@contextmanager
def reached(right: str, where: str) -> Iterator[None]:
    """Turn what a call raises that does not reach the cluster into Unavailable; refusals pass."""
    try:
        yield
    except (HTTPError, WebSocketException, OSError) as error:
        why, remedy = _why(error)
        raise Unavailable(
            f"the cluster does not answer when asked to {right} in {where} ({why})", remedy=remedy
        ) from None


def _why(error: BaseException) -> tuple[str, str]:
    """Return what kept a call from the cluster, and what to do; of the error itself nothing but its kind, it may quote an address."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        reason = getattr(following, "reason", None)
        following = reason if isinstance(reason, BaseException) else following.__cause__ or following.__context__
    for found in chain:
        match found:
            case ssl.SSLCertVerificationError():
                said = f"its certificate is not trusted: {found.verify_message}"
                return (
                    said,
                    "Check certificate-authority-data and server in the kubeconfig: it may lead to another cluster",
                )
            case ssl.SSLError():
                return f"TLS: {found.reason}", "Check that the kubeconfig's server speaks HTTPS"
            case NameResolutionError() | socket.gaierror():
                return "its name is not known", "Check the kubeconfig's server, and the name server of this machine"
            case ConnectionRefusedError():
                return "nothing listens there", "Check address and port of the kubeconfig's server"
            case NewConnectionError():
                continue  # to urllib3 a kind of timeout, whatever its cause is
            case ConnectTimeoutError() | TimeoutError() | ReadTimeoutError():
                return "it took too long", "Check the network to the kubeconfig's server, firewalls above all"
    return type(error).__name__, "Check the kubeconfig's server and the network to it"
