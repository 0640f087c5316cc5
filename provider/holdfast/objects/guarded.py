"""An object store that is used only once it has been found to do what it has to do.

A service that starts with a bucket without versions would lose what it promises to keep, so it does not start. A store that is merely
down is no reason not to start: it is looked at again before it is first used, and until then every use of it is `Unavailable`.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime

from holdfast.core.errors import HoldfastError, Unavailable
from holdfast.ports import ObjectFacts, ObjectStore, SignedUrl, StoreCheck, Upload

logger = logging.getLogger("holdfast.objects")


class GuardedStore:
    """Implements `ports.ObjectStore` over another one; every use raises Unavailable until that has been found good."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._is_admitted = False

    def __repr__(self) -> str:
        return f"GuardedStore({self._store!r})"

    @property
    def place(self) -> str:
        """Where it is, as records name it."""
        return self._store.place

    @property
    def has_lock(self) -> bool:
        """Whether it is of a kind that has locks of its own."""
        return self._store.has_lock

    def admit(self) -> None:
        """Return when the store does what it has to; raises what is wrong with it, or Unavailable where it does not answer."""
        for check in self._store.check():
            if check.error is not None:
                raise check.error
            if check.warning:
                logger.warning("object store, %s: %s", check.name, check.warning)
        self._is_admitted = True

    def check(self) -> Sequence[StoreCheck]:
        """Return what the store was found to do."""
        return self._store.check()

    def stat(self, key: str, version_id: str) -> ObjectFacts:
        """Return the facts of one version."""
        return self._admitted().stat(key, version_id)

    def read(self, key: str, version_id: str, digest: bytes) -> Iterator[bytes]:
        """Yield the bytes."""
        return self._admitted().read(key, version_id, digest)

    def grant(
        self, method: str, key: str, *, version_id: str | None, digest: bytes, size_bytes: int, expires_at: datetime
    ) -> SignedUrl:
        """Return a URL that allows one method on one object with this content until a time."""
        return self._admitted().grant(
            method, key, version_id=version_id, digest=digest, size_bytes=size_bytes, expires_at=expires_at
        )

    def begin_upload(
        self, key: str, *, digest: bytes, size_bytes: int, parts: Sequence[bytes], expires_at: datetime
    ) -> Upload:
        """Return leave to store an object."""
        return self._admitted().begin_upload(
            key, digest=digest, size_bytes=size_bytes, parts=parts, expires_at=expires_at
        )

    def complete_upload(self, key: str, upload_id: str, digest: bytes, size_bytes: int) -> ObjectFacts:
        """Put an upload together from its parts."""
        return self._admitted().complete_upload(key, upload_id, digest, size_bytes)

    def abort_uploads(self, prefix: str) -> int:
        """Give up every upload under keys that begin so."""
        return self._admitted().abort_uploads(prefix)

    def hold(self, key: str, version_id: str) -> None:
        """Put the store's own legal hold on a version."""
        self._admitted().hold(key, version_id)

    def release(self, key: str, version_id: str) -> None:
        """Take the store's own legal hold off a version."""
        self._admitted().release(key, version_id)

    def is_held(self, key: str, version_id: str) -> bool:
        """Return whether the store says that a version is under its legal hold."""
        return self._admitted().is_held(key, version_id)

    def _admitted(self) -> ObjectStore:
        if not self._is_admitted:
            try:
                self.admit()
            except Unavailable:
                raise
            except HoldfastError as error:
                # Not the caller's mistake, whatever it is.
                raise Unavailable(f"the object store cannot be used: {error.message}", remedy=error.remedy) from error
        return self._store
