"""What is said of pods before they are touched, over HTTP."""

from dataclasses import dataclass

from holdfast.client.transport import Transport
from holdfast.wire.pod import PodRecord, PodRequest


@dataclass(frozen=True, slots=True)
class PodClient:
    """Implements `ports.Pods`."""

    transport: Transport

    def quarantine(self, name: str, uid: str, request: PodRequest, *, key: str | None = None) -> PodRecord:
        """Have it on record that a pod is quarantined."""
        return self.transport.post(f"/projects/{name}/pods/{uid}/quarantine", PodRecord, request, key)

    def remove(self, name: str, uid: str, request: PodRequest, *, key: str | None = None) -> PodRecord:
        """Have it on record that a pod is removed."""
        return self.transport.post(f"/projects/{name}/pods/{uid}/removal", PodRecord, request, key)
