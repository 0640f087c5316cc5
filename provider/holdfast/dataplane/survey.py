"""What a source of data holds: every file with its digest, found out by an agent, never by the service."""

from collections.abc import Callable
from typing import Any

from holdfast.core.errors import InvalidRequest
from holdfast.core.sources import SCHEME
from holdfast.dataplane.local import LocalDataPlane
from holdfast.dataplane.process import AgentProcess
from holdfast.ports import Datasets
from holdfast.wire.dataset import DatasetVersionRequest, FileEntry, SourceGrants, SourceRequest

MOST_FILES = 100_000
_PAGE = 500

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


def survey(datasets: Datasets, project: str, source: str, data_roots: list[str]) -> DatasetVersionRequest:
    """Return the request that registers what a source holds now.

    A `file:` source is read on this machine. An `s3:` source is read under the service's grants, version by version, in an agent's
    process on this machine: no byte of it reaches this process, the service or the disk.

    Raises:
        StepFailed: the source cannot be read, or is not what was granted.
        HoldfastError: what the service refuses.
    """
    if not source.startswith(SCHEME):
        files = LocalDataPlane(data_roots).survey(source)
        return DatasetVersionRequest(source=source, source_type="file", files=files)
    files, cursor = [], None
    while True:
        page = datasets.grant_source(project, SourceRequest(source=source, limit=_PAGE, cursor=cursor))
        files += hashed(page, AgentProcess().ask)
        if len(files) > MOST_FILES:
            raise InvalidRequest(
                f"source {source!r} holds more than {MOST_FILES} files", remedy="Pack them, or register parts of it"
            )
        if (cursor := page.next) is None:
            break
    if not files:
        raise InvalidRequest(f"source {source!r} holds no object", remedy="Check the address")
    return DatasetVersionRequest(source=source, source_type="s3", files=files)


def hashed(page: SourceGrants, ask: Ask) -> list[FileEntry]:
    """Return the files of a page with the digests that an agent has found."""
    if not page.files:
        return []
    grants = [{"name": file.path, "method": "GET", **file.model_dump(mode="json")} for file in page.files]
    digests = ask("hash", {"grants": grants})["digests"]
    return [
        FileEntry(path=file.path, digest=digests[file.path], size_bytes=file.size_bytes, version_id=file.version_id)
        for file in page.files
    ]
