"""Pods that are quarantined or removed, on record before they are touched."""

from holdfast.wire.pod import PodRecord, PodRequest, PodUid
from holdfast_plugins.api.routing import Governed, Key, router

routes = router("pods")


@routes.post("/projects/{project}/pods/{uid}/quarantine", status_code=201)
def quarantine_pod(project: str, uid: PodUid, request: PodRequest, governed: Governed, key: Key) -> PodRecord:
    """Have it on record that a pod is quarantined; one that is already keeps its time."""
    return governed.pods.quarantine(project, uid, request, key=key)


@routes.post("/projects/{project}/pods/{uid}/removal", status_code=201)
def remove_pod(project: str, uid: PodUid, request: PodRequest, governed: Governed, key: Key) -> PodRecord:
    """Have it on record that a pod is removed."""
    return governed.pods.remove(project, uid, request, key=key)
