"""Waits in the triggerer for what a Run's pod does next, and follows the log of its command meanwhile."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from holdfast.dataplane.kubernetes.cluster import END_LINE, LINE_LIMIT
from holdfast.dataplane.kubernetes.lines import Lines
from holdfast.dataplane.kubernetes.manifest import USER
from holdfast.dataplane.kubernetes.status import Broken, Ended, Running, Stageable, Waiting, progress_of, running_since
from holdfast_provider._masking import mask
from holdfast_provider.hooks.holdfast import HoldfastHook

_WATCH_S = 60
_BACK_OFF_S = 5.0
_LOG_END_S = 15.0
LEAST_S = 3.0
"""The scheduler may learn that the task has deferred only after the trigger has brought it back; it then takes the task for lost and fails
it (apache/airflow issues 67287 and 72716). So none fires in the first seconds after it."""

MOVED, EXPIRED = "moved", "expired"
"""What a trigger says: the Run can be brought further, or its time is over."""


class RunTrigger(BaseTrigger):
    """Fires once: when the Run's pod can be laid out, its command has ended, it is broken or gone, or the time is over.

    It holds no credential: what it needs it reads from Airflow's connections.

    Args:
        namespace: of the pod.
        pod: its name.
        kubernetes_conn_id: how the cluster is reached.
        conn_id: connection of type `holdfast`.
        project: the Project's name.
        run: the Run's id.
        try_number: of the task.
        is_staged: whether the Run has been laid out, so that only the end of its command is waited for.
        has_ended: whether that is known to have come already, so that only the time is waited for at which to come back to it.
        earliest: when it fires at the earliest, in seconds since the epoch.
        start_by: when the pod must have started, likewise.
        deadline_s: how long the command may run.
        takes_hints: whether it believes a command that says its end; not after one that has said so and gone on.
    """

    def __init__(
        self,
        namespace: str,
        pod: str,
        kubernetes_conn_id: str,
        conn_id: str,
        project: str,
        run: str,
        try_number: int,
        is_staged: bool,
        has_ended: bool,
        earliest: float,
        start_by: float,
        deadline_s: int,
        takes_hints: bool = True,
    ) -> None:
        super().__init__()
        self.namespace, self.pod, self.kubernetes_conn_id = namespace, pod, kubernetes_conn_id
        self.conn_id, self.project, self.run_id = conn_id, project, run
        self.try_number = try_number
        self.is_staged, self.has_ended, self.deadline_s = is_staged, has_ended, deadline_s
        self.earliest, self.start_by = earliest, start_by
        self.takes_hints = takes_hints

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes the same trigger in another process."""
        return (
            "holdfast_provider.triggers.run.RunTrigger",
            {
                "namespace": self.namespace,
                "pod": self.pod,
                "kubernetes_conn_id": self.kubernetes_conn_id,
                "conn_id": self.conn_id,
                "project": self.project,
                "run": self.run_id,
                "try_number": self.try_number,
                "is_staged": self.is_staged,
                "has_ended": self.has_ended,
                "earliest": self.earliest,
                "start_by": self.start_by,
                "deadline_s": self.deadline_s,
                "takes_hints": self.takes_hints,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event."""
        event = MOVED if self.has_ended else await self._watched()
        await asyncio.sleep(self.earliest - time.time())
        yield TriggerEvent({"event": event})

    async def _watched(self) -> str:
        token = await sync_to_async(lambda: HoldfastHook(self.conn_id).token)()
        async with self._core() as core:
            has_begun = asyncio.Event()
            log = asyncio.create_task(self._follow_log(core, token, has_begun))
            moved = asyncio.create_task(self._until_moved(core, has_begun))
            try:
                await asyncio.wait({log, moved}, return_when=asyncio.FIRST_COMPLETED)
                if log.done() and log.result():
                    return MOVED
                event = await moved
                if event == MOVED and self.is_staged:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(asyncio.shield(log), _LOG_END_S)
            finally:
                for each in (log, moved):
                    each.cancel()
                    with suppress(asyncio.CancelledError):
                        await each
        return event

    async def on_kill(self) -> None:
        """End the Run: somebody marked or cleared its task."""
        from holdfast_provider.pods import cancel_run

        given = self.conn_id, self.kubernetes_conn_id, self.project, self.run_id, self.try_number
        await sync_to_async(cancel_run)(*given)

    @asynccontextmanager
    async def _core(self) -> AsyncIterator[Any]:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
        from kubernetes_asyncio.client import CoreV1Api

        async with AsyncKubernetesHook(conn_id=self.kubernetes_conn_id).get_conn() as client:
            yield CoreV1Api(client)

    async def _until_moved(self, core: Any, has_begun: asyncio.Event) -> str:
        """Return once the pod has moved on, or its time is over; a cluster that does not answer is waited for."""
        while True:
            try:
                async for pod in self._changes(core):
                    if pod is not None and isinstance(progress_of(pod), Running | Ended | Broken):
                        has_begun.set()
                    if pod is None or self._has_moved(pod):
                        return MOVED
                    if self._time_left(pod) <= 0:
                        return EXPIRED
            except Exception as error:  # noqa: BLE001 - whatever the client raises: the pod goes on without us
                self.log.warning("pod %s cannot be watched: %s; trying again", self.pod, type(error).__name__)
                await asyncio.sleep(_BACK_OFF_S)

    async def _changes(self, core: Any) -> AsyncIterator[dict[str, Any] | None]:
        """Yield the pod as it is, and each time it has changed, for as long as one watch lasts; None where it is gone."""
        from kubernetes_asyncio.client.exceptions import ApiException

        try:
            response = await core.read_namespaced_pod(self.pod, self.namespace, _preload_content=False)
            pod = json.loads(await response.read())
        except ApiException as error:
            if error.status != 404:
                raise
            yield None
            return
        yield pod
        left = max(1, min(_WATCH_S, int(self._time_left(pod)) + 1))
        response = await core.list_namespaced_pod(
            self.namespace,
            field_selector=f"metadata.name={self.pod}",
            resource_version=pod["metadata"]["resourceVersion"],
            watch=True,
            timeout_seconds=left,
            _preload_content=False,
            _request_timeout=left + 10,
        )
        async for line in _lines(response):
            event = json.loads(line)
            if event["type"] == "ERROR":
                return
            yield None if event["type"] == "DELETED" else event["object"]

    def _has_moved(self, pod: dict[str, Any]) -> bool:
        match progress_of(pod):
            case Ended() | Broken():
                return True
            case Stageable():
                return not self.is_staged
            case _:
                return False

    def _time_left(self, pod: dict[str, Any]) -> float:
        if (since := running_since(pod)) is not None:
            return since.timestamp() + self.deadline_s - time.time()
        if isinstance(progress_of(pod), Waiting | Stageable):
            return self.start_by - time.time()
        return _WATCH_S

    async def _follow_log(self, core: Any, token: str, has_begun: asyncio.Event) -> bool:
        """Log every line of the user's command, masked, as it comes, from the first one; return whether it has said its end, and is believed.

        That is sooner to be had than the cluster's word, by half a second on average. It is a hint: the task looks for itself.
        """
        await has_begun.wait()
        while True:
            try:
                response = await core.read_namespaced_pod_log(
                    self.pod, self.namespace, container=USER, follow=True, _preload_content=False, _request_timeout=None
                )
                if response.status == 200:
                    streams_left = 2
                    async for line in _lines(response, LINE_LIMIT):
                        if line != END_LINE:
                            text = line.decode(errors="backslashreplace")
                            self.log.info("%s", mask(text, token))
                        elif (streams_left := streams_left - 1) == 0 and self.is_staged and self.takes_hints:
                            return True
                    return False
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - the container has not started, or the cluster does not answer
                self.log.debug("no log yet: %s", type(error).__name__)
            await asyncio.sleep(0.3)


async def _lines(response: Any, limit_bytes: int | None = None) -> AsyncIterator[bytes]:
    lines = Lines(limit_bytes)
    async for piece in response.content.iter_any():
        for line in lines.feed(piece):
            yield line
    if last := lines.rest():
        yield last
