"""Models, ModelVersions and aliases over HTTP."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from holdfast.client.transport import Transport
from holdfast.ports import DEFAULT_LIMIT
from holdfast.wire.model import AliasAssignment, Model, ModelVersion, ModelVersionRequest
from holdfast.wire.types import Page


@dataclass(frozen=True, slots=True)
class ModelClient:
    """Implements `ports.Models`."""

    transport: Transport

    def register(self, name: str, model: str, request: ModelVersionRequest, *, key: str | None = None) -> ModelVersion:
        """Register a ModelVersion."""
        return self.transport.post(f"/projects/{name}/models/{model}/versions", ModelVersion, request, key)

    def get_version(self, name: str, version: UUID) -> ModelVersion:
        """Return a ModelVersion."""
        return self.transport.get(f"/projects/{name}/model-versions/{version}", ModelVersion)

    def list(self, name: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[Model]:
        """Return Models."""
        return self.transport.get(f"/projects/{name}/models", Page[Model], {"limit": limit, "cursor": cursor})

    def list_versions(
        self, name: str, model: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[ModelVersion]:
        """Return the ModelVersions of a Model."""
        return self.transport.get(
            f"/projects/{name}/models/{model}/versions", Page[ModelVersion], {"limit": limit, "cursor": cursor}
        )

    def history(
        self, name: str, model: str, *, alias: str | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[AliasAssignment]:
        """Return where the aliases pointed."""
        return self.transport.get(
            f"/projects/{name}/models/{model}/history",
            Page[AliasAssignment],
            {"alias": alias, "limit": limit, "cursor": cursor},
        )

    def at(
        self, name: str, model: str, alias: str, time: datetime | None = None, known_at: datetime | None = None
    ) -> AliasAssignment:
        """Return what an alias pointed at, at a time."""
        return self.transport.get(
            f"/projects/{name}/models/{model}/aliases/{alias}", AliasAssignment, {"time": time, "known_at": known_at}
        )
