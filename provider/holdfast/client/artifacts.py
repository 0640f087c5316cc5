"""Artifacts over HTTP."""

from dataclasses import dataclass
from uuid import UUID

from holdfast.client.transport import Transport
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.artifact import Artifact, ArtifactRequest
from holdfast.wire.run import Grant
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class ArtifactClient:
    """Implements `ports.Artifacts`."""

    transport: Transport

    def register(self, name: str, request: ArtifactRequest, *, key: str | None = None) -> Artifact:
        """Attach a stored file to an open Run."""
        return self.transport.post(f"/projects/{name}/artifacts", Artifact, request, key)

    def get(self, name: str, artifact: UUID) -> Artifact:
        """Return an Artifact."""
        return self.transport.get(f"/projects/{name}/artifacts/{artifact}", Artifact)

    def list(
        self, name: str, *, run: UUID | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[Artifact]:
        """Return Artifacts."""
        return self.transport.get(
            f"/projects/{name}/artifacts", Page[Artifact], {"run": run, "limit": limit, "cursor": cursor}
        )

    def grant_download(self, name: str, artifact: UUID) -> Grant:
        """Return leave to read an Artifact's bytes."""
        return self.transport.get(f"/projects/{name}/artifacts/{artifact}/grant", Grant)
