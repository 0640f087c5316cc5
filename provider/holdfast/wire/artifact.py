"""Artifacts: what Runs made."""

from typing import Literal
from uuid import UUID

from holdfast.wire.run import StoredFile
from holdfast.wire.types import Digest, Name, Size, Time, Wire

ArtifactState = Literal["available", "expired", "purged"]
Provenance = Literal["output", "attached"]


class ArtifactRequest(Wire):
    """A stored file to register as an Artifact of a Run that has ended (a report made afterwards, say)."""

    run: UUID
    file: StoredFile
    kind: Name = "file"


class Artifact(Wire):
    """An Artifact; always bound to a Run."""

    id: UUID
    project: str
    run: UUID
    name: str
    kind: str
    object_key: str
    version_id: str
    digest: Digest
    size_bytes: Size
    retention_class: str
    provenance: Provenance
    state: ArtifactState
    created_by: str
    created_at: Time
