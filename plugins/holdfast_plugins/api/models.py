"""Models, ModelVersions, aliases."""

from datetime import datetime
from uuid import UUID

from holdfast.wire.model import AliasAssignment, Model, ModelVersion, ModelVersionRequest
from holdfast.wire.types import Page
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Key, Limit, router

routes = router("models")


@routes.get("/projects/{project}/models")
def list_models(project: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[Model]:
    """List Models with what their aliases point at."""
    return governed.models.list(project, limit=limit, cursor=cursor)


@routes.post("/projects/{project}/models/{model}/versions", status_code=201)
def register_model_version(
    project: str, model: str, request: ModelVersionRequest, governed: Governed, key: Key
) -> ModelVersion:
    """Register a ModelVersion."""
    return governed.models.register(project, model, request, key=key)


@routes.get("/projects/{project}/models/{model}/versions")
def list_model_versions(
    project: str, model: str, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ModelVersion]:
    """List the ModelVersions of a Model."""
    return governed.models.list_versions(project, model, limit=limit, cursor=cursor)


@routes.get("/projects/{project}/model-versions/{version}")
def get_model_version(project: str, version: UUID, governed: Governed) -> ModelVersion:
    """Show a ModelVersion."""
    return governed.models.get_version(project, version)


@routes.get("/projects/{project}/models/{model}/history")
def list_alias_history(
    project: str,
    model: str,
    governed: Governed,
    alias: str | None = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[AliasAssignment]:
    """List where the aliases of a Model pointed, newest first."""
    return governed.models.history(project, model, alias=alias, limit=limit, cursor=cursor)


@routes.get("/projects/{project}/models/{model}/aliases/{alias}")
def get_alias(
    project: str,
    model: str,
    alias: str,
    governed: Governed,
    time: datetime | None = None,
    known_at: datetime | None = None,
) -> AliasAssignment:
    """Show what an alias pointed at, at a time, as known at a time."""
    return governed.models.at(project, model, alias, time, known_at)
