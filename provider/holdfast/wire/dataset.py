"""DatasetVersions: a source and the digest and size of every file in it."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from holdfast.wire.types import Digest, RelativePath, Size, Text, Time, Uri, Wire

DatasetState = Literal["available", "deprecated", "expired", "purged"]


class FileEntry(Wire):
    """One file: its path below the source, digest and size."""

    path: RelativePath
    digest: Digest
    size_bytes: Size
    version_id: Annotated[str, Field(max_length=1024)] | None = None


class DatasetVersionRequest(Wire):
    """A DatasetVersion to register; the same files again are the same DatasetVersion."""

    source: Uri
    source_type: Literal["file", "s3"]
    files: Annotated[list[FileEntry], Field(min_length=1, max_length=100_000)]
    schema_ref: Uri | None = None
    statistics_ref: Uri | None = None
    description: Text = ""


class DatasetVersion(Wire):
    """A DatasetVersion; its digest is that of the sorted list of its files."""

    id: UUID
    project: str
    dataset: str
    number: int
    source: str
    source_type: str
    digest: Digest
    file_count: int
    size_bytes: Size
    schema_ref: str | None
    statistics_ref: str | None
    state: DatasetState
    created_by: str
    created_at: Time
