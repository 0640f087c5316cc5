"""DatasetVersions over HTTP."""

from dataclasses import dataclass
from uuid import UUID

from holdfast.client.transport import Transport
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.dataset import DatasetVersion, DatasetVersionRequest, FileEntry, SourceGrants, SourceRequest
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class DatasetClient:
    """Implements `ports.Datasets`."""

    transport: Transport

    def register(
        self, name: str, dataset: str, request: DatasetVersionRequest, *, key: str | None = None
    ) -> DatasetVersion:
        """Register a DatasetVersion."""
        return self.transport.post(f"/projects/{name}/datasets/{dataset}/versions", DatasetVersion, request, key)

    def grant_source(self, name: str, request: SourceRequest) -> SourceGrants:
        """Return leave to read a page of a source's current versions."""
        return self.transport.post(f"/projects/{name}/dataset-sources/grants", SourceGrants, request, None)

    def get(self, name: str, version: UUID) -> DatasetVersion:
        """Return a DatasetVersion."""
        return self.transport.get(f"/projects/{name}/dataset-versions/{version}", DatasetVersion)

    def list(
        self, name: str, dataset: str | None = None, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[DatasetVersion]:
        """Return DatasetVersions."""
        return self.transport.get(
            f"/projects/{name}/dataset-versions",
            Page[DatasetVersion],
            {"dataset": dataset, "limit": limit, "cursor": cursor},
        )

    def files(
        self, name: str, version: UUID, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[FileEntry]:
        """Return the files of a DatasetVersion."""
        return self.transport.get(
            f"/projects/{name}/dataset-versions/{version}/files", Page[FileEntry], {"limit": limit, "cursor": cursor}
        )
