"""Artifacts, and the bytes of objects under grants."""

from uuid import UUID

from holdfast.wire.artifact import Artifact, ArtifactRequest
from holdfast.wire.run import Grant
from holdfast.wire.types import Page
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Key, Limit, router

routes = router("artifacts")


@routes.post("/projects/{project}/artifacts", status_code=201)
def register_artifact(project: str, request: ArtifactRequest, governed: Governed, key: Key) -> Artifact:
    """Attach a stored file to an open Run."""
    return governed.artifacts.register(project, request, key=key)


@routes.get("/projects/{project}/artifacts")
def list_artifacts(
    project: str, governed: Governed, run: UUID | None = None, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[Artifact]:
    """List Artifacts."""
    return governed.artifacts.list(project, run=run, limit=limit, cursor=cursor)


@routes.get("/projects/{project}/artifacts/{artifact}")
def get_artifact(project: str, artifact: UUID, governed: Governed) -> Artifact:
    """Show an Artifact."""
    return governed.artifacts.get(project, artifact)


@routes.get("/projects/{project}/artifacts/{artifact}/grant")
def grant_download(project: str, artifact: UUID, governed: Governed) -> Grant:
    """Give leave to read an Artifact's bytes; the URL is a secret."""
    return governed.artifacts.grant_download(project, artifact)
