"""DatasetVersions."""

from uuid import UUID

from holdfast.wire.dataset import DatasetVersion, DatasetVersionRequest, FileEntry, SourceGrants, SourceRequest
from holdfast.wire.types import Page
from holdfast_plugins.api.routing import DEFAULT_LIMIT, Cursor, Governed, Key, Limit, router

routes = router("datasets")


@routes.post("/projects/{project}/datasets/{dataset}/versions", status_code=201)
def register_dataset_version(
    project: str, dataset: str, request: DatasetVersionRequest, governed: Governed, key: Key
) -> DatasetVersion:
    """Register a DatasetVersion."""
    return governed.datasets.register(project, dataset, request, key=key)


@routes.post("/projects/{project}/dataset-sources/grants")
def grant_source(project: str, request: SourceRequest, governed: Governed) -> SourceGrants:
    """Get leave to read a page of an S3 source's current versions; holds grants."""
    return governed.datasets.grant_source(project, request)


@routes.get("/projects/{project}/dataset-versions")
def list_dataset_versions(
    project: str, governed: Governed, dataset: str | None = None, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[DatasetVersion]:
    """List DatasetVersions."""
    return governed.datasets.list(project, dataset, limit=limit, cursor=cursor)


@routes.get("/projects/{project}/dataset-versions/{version}")
def get_dataset_version(project: str, version: UUID, governed: Governed) -> DatasetVersion:
    """Show a DatasetVersion."""
    return governed.datasets.get(project, version)


@routes.get("/projects/{project}/dataset-versions/{version}/files")
def list_dataset_files(
    project: str, version: UUID, governed: Governed, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[FileEntry]:
    """List the files of a DatasetVersion, by path."""
    return governed.datasets.files(project, version, limit=limit, cursor=cursor)
