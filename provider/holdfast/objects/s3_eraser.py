"""Takes objects out of a bucket, every version of each, and looks afterwards what is left. The service itself has no such thing.

Source: Amazon S3 API, DeleteObjects (at most 1000 versions a call) and ListObjectVersions (ordered by key).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import boto3

from holdfast.core.canonical import recordable
from holdfast.core.errors import IntegrityViolation
from holdfast.core.names import check_path
from holdfast.objects.canary import with_digests
from holdfast.objects.s3 import open_client
from holdfast.objects.s3_errors import translated

_PAGE = 1000
_LEAST, _PARALLEL = 25, 8
_LONGEST = 300
_AFTER_SURROGATES = 0xE000


class _Version(NamedTuple):
    key: str
    id: str
    is_marker: bool

    def __str__(self) -> str:
        return f"{'delete marker' if self.is_marker else 'version'} {self.id}"


class S3Eraser:
    """Implements `ports.Eraser` on a bucket.

    Args:
        bucket: its name.
        session: where the credentials come from: the disposer's own.
        endpoint_url: of a store that is not Amazon's.
        region: as the store calls it.
    """

    def __init__(self, bucket: str, session: boto3.Session, *, endpoint_url: str | None = None, region: str) -> None:
        self._bucket = bucket
        self._client = with_digests(open_client(session, endpoint_url, region))

    @property
    def place(self) -> str:
        """Where it is, as records name it."""
        return f"{self._client.meta.endpoint_url}/{self._bucket}"

    @property
    def has_lock(self) -> bool:
        """Whether it is of a kind that has locks of its own."""
        return True

    def shows(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the versions and delete markers that the store lists under these keys, by key; raises what `erase` raises."""
        return self._by_key(keys, str)

    def erase(self, keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Remove every version under these keys, delete markers too, and return what the store still lists, by key, each with why.

        Raises:
            Unavailable: the store does not answer, or refuses; some may be gone, and doing it again goes on.
            IntegrityViolation: its list has no end.
        """
        for key in keys:
            check_path(key, "object key")
        said: dict[_Version, str] = {}
        found = list(self._versions(keys))
        # A store works through a call's versions one after the other, and through several calls at once.
        size = min(_PAGE, max(_LEAST, -(-len(found) // _PARALLEL)))
        parts = [found[begin : begin + size] for begin in range(0, len(found), size)]
        with ThreadPoolExecutor(_PARALLEL, "holdfast-erase") as threads:
            for refused in threads.map(self._delete, parts):
                said.update(refused)
        if not found:
            return {}
        deleted = "the store said that it is deleted"
        return self._by_key(keys, lambda one: f"{one} is still there: {said.get(one, deleted)}")

    def _by_key(self, keys: Sequence[str], say: Callable[["_Version"], str]) -> Mapping[str, Sequence[str]]:
        shown = defaultdict[str, list[str]](list)
        for one in self._versions(keys):
            shown[one.key].append(say(one))
        return shown

    def _delete(self, versions: Sequence[_Version]) -> dict[_Version, str]:
        objects = [{"Key": one.key, "VersionId": one.id} for one in versions]
        with translated(self._bucket):
            reply = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
        by_name = {(one.key, one.id): one for one in versions}
        refused = {}
        for error in reply.get("Errors", ()):
            if one := by_name.get((error.get("Key"), error.get("VersionId"))):
                why = recordable(f"{error.get('Code', 'no reason')}: {error.get('Message', '')}")
                refused[one] = f"the store refused ({why[:_LONGEST]})"
        return refused

    def _versions(self, keys: Sequence[str]) -> Iterator[_Version]:
        """Yield what the store lists under keys. It lists all keys in order, so that many of them cost few calls."""
        wanted = sorted(set(keys))
        while wanted:
            after: dict[str, str] = {"KeyMarker": _before(wanted[0])}
            while True:
                page = self._page(after, len(wanted))
                here = set(wanted)
                listed = [*_listed(page, "Versions", is_marker=False), *_listed(page, "DeleteMarkers", is_marker=True)]
                yield from (one for one in listed if one.key in here)
                if not page.get("IsTruncated"):
                    return
                following = {
                    "KeyMarker": page.get("NextKeyMarker", ""),
                    "VersionIdMarker": page.get("NextVersionIdMarker", ""),
                }
                if following == after or following["KeyMarker"] < after["KeyMarker"]:
                    raise IntegrityViolation(
                        f"the list of versions in bucket {self._bucket!r} has no end",
                        remedy="Nothing is taken for gone; see docs/how-to/probe-the-store.md",
                    )
                after = {name: value for name, value in following.items() if value}
                wanted = [key for key in wanted if key >= after["KeyMarker"]]
                if not wanted or wanted[0] != after["KeyMarker"]:
                    break  # what is wanted next may be far away

    def _page(self, after: Mapping[str, str], count: int) -> Any:
        with translated(self._bucket):
            return self._client.list_object_versions(
                Bucket=self._bucket, MaxKeys=min(_PAGE, max(10, 2 * count)), **after
            )


def _listed(page: Any, name: str, *, is_marker: bool) -> Iterator[_Version]:
    return (_Version(one["Key"], one["VersionId"], is_marker) for one in page.get(name, ()))


def _before(key: str) -> str:
    """Return a key that comes before another, with hardly anything between them."""
    last = ord(key[-1])
    return f"{key[:-1]}{chr(last - 1)}~" if ord("!") < last != _AFTER_SURROGATES else key[:-1]
