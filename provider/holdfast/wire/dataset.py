"""DatasetVersions: a source and the digest and size of every file in it."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, model_validator

from holdfast.core.errors import InvalidRequest
from holdfast.core.sources import SCHEME, S3Location, check_layout
from holdfast.wire.types import Digest, RelativePath, Size, Text, Time, Uri, Whole, Wire

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

    @model_validator(mode="after")
    def _fits_its_source(self) -> "DatasetVersionRequest":
        if (self.source_type == "s3") != self.source.startswith(SCHEME):
            raise ValueError(f"a source of type {self.source_type} does not begin so")
        if self.source_type == "s3":
            if any(not file.version_id for file in self.files):
                raise ValueError("every file of an S3 source has a version_id")
            try:
                location = S3Location.parse(self.source)
                for file in self.files:
                    location.key_of(file.path)
            except InvalidRequest as error:
                raise ValueError(str(error)) from None
        try:
            check_layout([file.path for file in self.files])
        except InvalidRequest as error:
            raise ValueError(str(error)) from None
        return self


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


class SourceRequest(Wire):
    """The source whose current versions are to be read, page by page."""

    source: Annotated[Uri, Field(examples=["s3://landing/oncology/2026-11/"])]
    limit: Annotated[Whole, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, Field(min_length=1, max_length=4000)] | None = None


class SourceGrant(Wire):
    """Leave to read one version of one object of a source, for a short time. The URL is a secret; the call carries the headers as they are."""

    path: RelativePath
    version_id: Annotated[str, Field(min_length=1, max_length=1024)]
    size_bytes: Size
    url: Annotated[str, Field(repr=False)]
    headers: dict[str, str] = Field(default_factory=dict)
    expires_at: Time


class SourceGrants(Wire):
    """A page of a source; it may be empty and still not be the last.

    Attributes:
        files: in order of their keys.
        next: cursor of the next page, None on the last one.
    """

    files: list[SourceGrant]
    next: str | None = None
