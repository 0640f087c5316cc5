"""Data in S3 from which DatasetVersions are made: which a Project may read, and grants for exactly the versions that were found or recorded.

The service itself reads none of it: who holds the grants does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.core.access import Permission
from holdfast.core.audit import AuditAction
from holdfast.core.digest import text_of
from holdfast.core.errors import NotFound
from holdfast.core.lifetime import lifetime
from holdfast.core.names import check_path
from holdfast.core.sources import S3Location, SourceRules
from holdfast.ports import SourceListing, SourceStore
from holdfast.service.transaction import Change, Transactions
from holdfast.wire.dataset import SourceGrant, SourceGrants, SourceRequest
from holdfast.wire.run import Grant

PAGE_BYTES = 16 << 30
"""So much is read under the grants of one page; how long they are good follows from it (core/lifetime.py)."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The installation's S3 sources.

    Attributes:
        rules: which Project may read which.
        store: where they are; None where no Project may read any.
    """

    rules: SourceRules
    store: SourceStore | None = None

    def check(self, project: str, source: str) -> tuple[S3Location, SourceStore]:
        """Return where a source is, and by what it is read; raises PolicyViolation where the Project may not read it."""
        location = self.rules.check(project, source)
        if self.store is None:
            raise RuntimeError("there are rules about sources, and no store of them")
        return location, self.store


NO_SOURCES = Sources(SourceRules({}))


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file of a DatasetVersion, as it is on record."""

    path: str
    version_id: str
    digest: bytes
    size_bytes: int


def grant_page(
    transactions: Transactions, sources: Sources, lifetime_s: int, name: str, request: SourceRequest
) -> SourceGrants:
    """Return leave to read a page of a source's current versions; that it was given is on record.

    Raises:
        PolicyViolation: the Project may not read the source, or its bucket keeps no versions.
        NotFound: there is nothing at the source.
        InvalidRequest: a key cannot be the path of a file.
    """
    with transactions.read(Permission.DATASET_WRITE, name):
        location, store = sources.check(name, request.source)
    listing = store.list(location, request.limit, PAGE_BYTES, request.cursor)
    if not listing.objects:
        if request.cursor is None and listing.next is None:
            raise nothing_at(location)
        return SourceGrants(files=[], next=listing.next)
    expires_at = datetime.now(UTC) + lifetime(lifetime_s, sum(found.size_bytes for found in listing.objects))
    made = SourceGrants(files=list(_granted(location, store, listing, expires_at)), next=listing.next)

    def apply(change: Change) -> SourceGrants:
        content = {
            "source": request.source,
            "first": made.files[0].path,
            "last": made.files[-1].path,
            "file_count": len(made.files),
            "size_bytes": sum(file.size_bytes for file in made.files),
        }
        change.record(AuditAction.DATASET_SOURCE_GRANTED, "dataset_source", request.source, content)
        return made

    return transactions.change(
        "datasets.grant_source", Permission.DATASET_WRITE, name, request, None, SourceGrants, apply
    )


def staged(
    sources: Sources, project: str, source: str, input_name: str, files: Iterable[RecordedFile], expires_at: datetime
) -> Iterator[Grant]:
    """Yield leave to read exactly the versions that a DatasetVersion has recorded; raises PolicyViolation."""
    location, store = sources.check(project, source)
    for file in files:
        key = location.key_of(file.path)
        signed = store.grant(location, key, file.version_id, expires_at)
        yield Grant.model_construct(
            name=f"{input_name}/{file.path}",
            method="GET",
            url=signed.url,
            headers=dict(signed.headers),
            object_key=key,
            digest=text_of(file.digest),
            size_bytes=file.size_bytes,
            expires_at=expires_at,
        )


def nothing_at(location: S3Location) -> NotFound:
    """Return the error for a source without an object."""
    what = "holds no object" if location.is_prefix else "is no object"
    slash = "" if location.is_prefix else "; for everything below it write a slash at its end"
    return NotFound(f"source {location} {what}", remedy=f"Check the address{slash}")


def _granted(
    location: S3Location, store: SourceStore, listing: SourceListing, expires_at: datetime
) -> Iterator[SourceGrant]:
    for found in listing.objects:
        path = check_path(location.path_of(found.key), f"the key {found.key[:200]!r} below the source, as a path,")
        signed = store.grant(location, found.key, found.version_id, expires_at)
        yield SourceGrant(
            path=path,
            version_id=found.version_id,
            size_bytes=found.size_bytes,
            url=signed.url,
            headers=dict(signed.headers),
            expires_at=expires_at,
        )
