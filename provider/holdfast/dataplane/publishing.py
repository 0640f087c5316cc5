"""What a Run made, from its hashes to stored versions: grants asked for, bytes stored under them, parts put together."""

from collections.abc import Callable, Iterable
from uuid import UUID

from holdfast.ports import Runs
from holdfast.wire.run import Grants, OutputFile, StoredFile, UploadCompletion, UploadedFile, UploadRequest


def publish_outputs(
    runs: Runs, project: str, run: UUID, files: Iterable[OutputFile], publish: Callable[[Grants], dict[str, str]]
) -> list[StoredFile]:
    """Store a Run's files and return where they are; what breaks off leaves parts that go when the Run ends.

    Args:
        runs: the governance functions.
        project: the Run's Project.
        run: the Run.
        files: what it made.
        publish: lets the agent store the bytes, and returns the version id of each file that is not in parts.
    """
    if not (wanted := list(files)):
        return []
    grants = runs.grant_uploads(project, run, UploadRequest(files=wanted))
    versions = publish(grants)
    stored = [
        StoredFile(
            name=grant.name,
            digest=grant.digest,
            size_bytes=grant.size_bytes,
            object_key=grant.object_key,
            version_id=versions[grant.name],
        )
        for grant in grants.grants
    ]
    if not grants.multipart:
        return stored
    uploaded = [
        UploadedFile(name=grant.name, digest=grant.digest, size_bytes=grant.size_bytes, upload_id=grant.upload_id)
        for grant in grants.multipart
    ]
    return stored + runs.complete_uploads(project, run, UploadCompletion(files=uploaded)).files
