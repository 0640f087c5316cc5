"""The object store for a laptop and for the demo: one directory, one file a version, named by the digest of its bytes.

It never overwrites and never follows a key out of its root. It has no retention lock: whoever owns the directory owns the bytes.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self

from holdfast.core.digest import text_of
from holdfast.core.errors import IntegrityViolation, InvalidRequest, Unavailable
from holdfast.core.names import check_path
from holdfast.objects.checked import PROBE_KEY, checked, missing, no_upload
from holdfast.objects.grants import ObjectGrant, check_grant
from holdfast.ports import ObjectFacts, SignedUrl, StoreCheck, Upload

CHUNK_BYTES = 1 << 20
_HEX_DIGITS = frozenset("0123456789abcdef")
_LONGEST_PART_BYTES = 254  # a file name has 255, and one of them is the escape


class FilesystemStore:
    """Implements `ports.ObjectStore` on a directory.

    A version's id is the hexadecimal SHA-256 of its bytes, so that storing the same bytes again is the same version.
    """

    def __init__(self, root: Path, grant_key: bytes, api_url: str) -> None:
        self._root = root
        self._grant_key = grant_key
        self._api_url = api_url

    def __repr__(self) -> str:
        return f"FilesystemStore({str(self._root)!r})"

    @property
    def place(self) -> str:
        """Where it is, as records name it."""
        return self._root.as_uri()

    @property
    def has_lock(self) -> bool:
        """Whether it is of a kind that has locks of its own: whoever owns a directory owns the bytes."""
        return False

    def stat(self, key: str, version_id: str) -> ObjectFacts:
        """Return the facts of one version; raises NotFound. The digest is the recorded one: `read` is what checks the bytes."""
        path = self._path(key, version_id)
        try:
            facts = path.lstat()
        except FileNotFoundError:
            raise missing(key) from None
        except OSError as error:
            raise _unreadable(error) from error
        return ObjectFacts(key, version_id, bytes.fromhex(version_id), _size_of_regular(facts, key))

    def read(self, key: str, version_id: str, digest: bytes) -> Iterator[bytes]:
        """Yield the bytes; raises NotFound, and IntegrityViolation instead of the last piece where they are not those of the digest."""
        with _open_regular(self._path(key, version_id), key) as file:
            yield from checked(_pieces(file), key, digest)

    def grant(
        self, method: str, key: str, *, version_id: str | None, digest: bytes, size_bytes: int, expires_at: datetime
    ) -> SignedUrl:
        """Return a URL that allows one method on one object with this content until a time."""
        del version_id  # the digest is the version
        self._path(key, digest.hex())
        granted = ObjectGrant(method, key, digest, size_bytes, int(expires_at.timestamp()))
        return SignedUrl(granted.url(self._api_url, self._grant_key))

    def begin_upload(
        self, key: str, *, digest: bytes, size_bytes: int, parts: Sequence[bytes], expires_at: datetime
    ) -> Upload:
        """Return leave to store an object whole until a time; this store takes no parts, and needs none."""
        del parts
        signed = self.grant("PUT", key, version_id=None, digest=digest, size_bytes=size_bytes, expires_at=expires_at)
        return Upload((signed,))

    def hold(self, key: str, version_id: str) -> None:
        """Raise InvalidRequest: whoever owns the directory owns the bytes."""
        del key, version_id
        raise _no_lock()

    def release(self, key: str, version_id: str) -> None:
        """Raise InvalidRequest."""
        del key, version_id
        raise _no_lock()

    def is_held(self, key: str, version_id: str) -> bool:
        """Return that it is not."""
        del key, version_id
        return False

    def complete_upload(self, key: str, upload_id: str, digest: bytes, size_bytes: int) -> ObjectFacts:
        """Raise NotFound: this store begins no uploads that would have to be completed."""
        del upload_id, digest, size_bytes
        raise no_upload(key)

    def abort_uploads(self, prefix: str) -> int:
        """Return 0: there are none."""
        del prefix
        return 0

    def check(self) -> list[StoreCheck]:
        """Return whether the directory takes an object and gives it back; raises Unavailable where it cannot be used. Nothing is left."""
        body = secrets.token_bytes(32)
        facts = self.write(PROBE_KEY, [body], digest := hashlib.sha256(body).digest(), len(body))
        place = self._path(PROBE_KEY, facts.version_id)
        try:
            b"".join(self.read(PROBE_KEY, facts.version_id, digest))
        finally:
            with suppress(OSError):
                place.unlink()
                place.parent.rmdir()
                place.parent.parent.rmdir()
        return [StoreCheck("directory", "takes objects and gives them back")]

    def check_grant(self, method: str, key: str, query: dict[str, str], now: datetime) -> ObjectGrant:
        """Return the grant that a URL carries; raises PolicyViolation."""
        return check_grant(self._grant_key, method, key, query, now)

    def writer(self, key: str, digest: bytes, size_bytes: int) -> "Writer":
        """Return a writer for one version; nothing is stored before its `commit`."""
        return Writer(self._path(key, digest.hex()), key, digest, size_bytes)

    def write(self, key: str, pieces: Iterable[bytes], digest: bytes, size_bytes: int) -> ObjectFacts:
        """Store one version.

        Raises:
            InvalidRequest: the bytes are not those of digest and size; nothing is stored.
            Unavailable: the directory cannot be written (full, read-only); nothing is stored.
        """
        with self.writer(key, digest, size_bytes) as writer:
            for piece in pieces:
                writer.write(piece)
            writer.commit()
        return ObjectFacts(key, digest.hex(), digest, size_bytes)

    def _path(self, key: str, version_id: str) -> Path:
        check_path(key, "object key")
        if len(version_id) != 64 or not _HEX_DIGITS.issuperset(version_id):
            raise InvalidRequest(
                f"{version_id[:80]!r} is not a version id of this store", remedy="Give the one that was returned"
            )
        if any(len(part.encode()) > _LONGEST_PART_BYTES for part in key.split("/")):
            raise InvalidRequest(
                f"a part of the object key {key[:80]!r}… is too long",
                remedy=f"Give the file a name of at most {_LONGEST_PART_BYTES} bytes",
            )
        return directory_of(self._root, key) / version_id


def directory_of(root: Path, key: str) -> Path:
    """Return the directory of a key's versions; the escape keeps a key that ends like another's version apart from it."""
    return root.joinpath(*(f"={part}" for part in key.split("/")))


class Writer:
    """Writes one version: first beside its place, then, checked and on disk, into it."""

    def __init__(self, path: Path, key: str, digest: bytes, size_bytes: int) -> None:
        self._path, self._key, self._digest, self._size = path, key, digest, size_bytes
        self._hash = hashlib.sha256()
        self._written = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._discard()

    def write(self, piece: bytes) -> None:
        """Take more bytes; raises InvalidRequest as soon as they are too many."""
        self._written += len(piece)
        if self._written > self._size:
            raise self._mismatch()
        self._hash.update(piece)
        try:
            self._open_file().write(piece)
        except OSError as error:
            raise _unwritable(error) from error

    def commit(self) -> None:
        """Make the version readable; the same version again changes nothing. Raises InvalidRequest, IntegrityViolation, Unavailable."""
        if self._written != self._size or self._hash.digest() != self._digest:
            raise self._mismatch()
        try:
            file = self._open_file()
            file.flush()
            os.fsync(file.fileno())
            try:
                os.link(file.name, self._path)
            except FileExistsError:
                self._check_same()
            sync_directory(self._path.parent)
            self._discard()
        except OSError as error:
            raise _unwritable(error) from error

    def _check_same(self) -> None:
        """Return when what stands in the place can be the version; whether it is, `read` tells. Raises IntegrityViolation."""
        if _size_of_regular(self._path.lstat(), self._key) != self._size:
            raise IntegrityViolation(
                f"another file stands where this version of {self._key!r} belongs",
                remedy="Find out who changed the object store, and move the file away",
            )

    def _open_file(self) -> BinaryIO:
        """Return the file, made by the first that needs it: by a thread that may wait for the disk."""
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = open(self._path.parent / f".{secrets.token_hex(8)}", "xb", opener=_open_private)  # noqa: SIM115
        return self._file

    def _discard(self) -> None:
        """Remove the file beside the version's place, if there is one."""
        if self._file is not None:
            self._file.close()
            with suppress(FileNotFoundError):
                Path(self._file.name).unlink()
            self._file = None

    def _mismatch(self) -> InvalidRequest:
        return InvalidRequest(
            f"the bytes sent for {self._key!r} are not those announced",
            remedy="Nothing was stored; hash the file again and ask for a new grant",
            details={
                "announced_digest": text_of(self._digest),
                "announced_size": self._size,
                "received_size": self._written,
            },
        )


def sync_directory(path: Path) -> None:
    """Return when what stands in a directory stays there though the machine stops; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o400)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    try:
        while piece := file.read(CHUNK_BYTES):
            yield piece
    except OSError as error:
        raise _unreadable(error) from error


def _open_regular(path: Path, key: str) -> BinaryIO:
    """Open a version; a link in its place is not followed, and a pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise missing(key) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_regular(key) from None
        raise _unreadable(error) from error
    file = os.fdopen(descriptor, "rb")
    try:
        _size_of_regular(os.fstat(descriptor), key)
    except IntegrityViolation:
        file.close()
        raise
    return file


def _size_of_regular(facts: os.stat_result, key: str) -> int:
    if not stat.S_ISREG(facts.st_mode):
        raise _not_regular(key)
    return facts.st_size


def _not_regular(key: str) -> IntegrityViolation:
    return IntegrityViolation(
        f"what stands for {key!r} in the object store is not a regular file",
        remedy="Do not use it; restore the object and find out who changed the object store",
    )


def _unreadable(error: OSError) -> Unavailable:
    return Unavailable(
        f"the object store's directory cannot be read: {error.strerror}", remedy="Mend its mount or its permissions"
    )


def _unwritable(error: OSError) -> Unavailable:
    return Unavailable(
        f"the object store's directory cannot be written: {error.strerror}",
        remedy="Free space or mend its mount; nothing was stored",
    )


def _no_lock() -> InvalidRequest:
    return InvalidRequest(
        "the object store is a directory, which locks nothing: legal holds are kept by the database alone",
        remedy="Use a bucket with Object Lock; docs/how-to/bring-your-s3.md says how",
    )
