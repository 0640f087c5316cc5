"""Where the data of DatasetVersions may come from: `s3://` addresses, and the rule of which of them a Project may read.

An address is taken letter by letter: a key is no path to the store, so nothing in it is decoded, resolved or folded.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.core.errors import InvalidRequest, PolicyViolation
from holdfast.core.names import check_name, check_path

SCHEME = "s3://"
RULE = "dataset.source"
RULE_VERSIONED = "dataset.source-versioned"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class S3Location:
    """One object, or everything below a prefix.

    Attributes:
        bucket: its name.
        key: of the object; of a prefix it ends with a slash, or is empty for the whole bucket.
    """

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "S3Location":
        """Return what `s3://bucket/key` or `s3://bucket/prefix/` means.

        Raises:
            InvalidRequest: it is no such address, or has parts that other programs would resolve (`..`, `.`, nothing between slashes).
        """
        bucket, slash, key = uri.removeprefix(SCHEME).partition("/")
        if not uri.startswith(SCHEME) or not slash or not _BUCKET.fullmatch(bucket):
            raise InvalidRequest(
                f"{uri[:200]!r} is no address in S3",
                remedy="Write s3://bucket/key for one object, s3://bucket/prefix/ for everything below",
            )
        if key:
            check_path(key, "source")
        return cls(bucket, key)

    @property
    def is_prefix(self) -> bool:
        """Whether it means everything below."""
        return not self.key or self.key.endswith("/")

    def covers(self, other: "S3Location") -> bool:
        """Whether another location lies in this one."""
        return self.bucket == other.bucket and (
            other.key.startswith(self.key) if self.is_prefix else other.key == self.key
        )

    def path_of(self, key: str) -> str:
        """Return the path of an object's key below the source."""
        return key.removeprefix(self.key) if self.is_prefix else key.rpartition("/")[2]

    def key_of(self, path: str) -> str:
        """Return the key of a path below the source; raises InvalidRequest where the source has no such path."""
        check_path(path, "path")
        if not self.is_prefix and path != self.path_of(self.key):
            raise InvalidRequest(
                f"source {self} is one object, and {path[:200]!r} is not its name",
                remedy="Register the files that the source has",
            )
        return self.key + path if self.is_prefix else self.key

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class SourceRules:
    """Which S3 sources each Project may read: those that are listed, and no other."""

    allowed: Mapping[str, tuple[S3Location, ...]]

    @classmethod
    def parse(cls, text: str) -> "SourceRules":
        """Return the rules of `project=s3://bucket/prefix/`, separated by commas or white space; a Project may stand more than once.

        Raises:
            InvalidRequest: an entry is no such thing, or its prefix has no slash at the end and would let in what merely begins alike.
        """
        allowed: dict[str, list[S3Location]] = {}
        for entry in filter(None, re.split(r"[\s,]+", text)):
            project, _, uri = entry.partition("=")
            check_name("Project", project)
            location = S3Location.parse(uri)
            if not location.is_prefix:
                raise InvalidRequest(
                    f"{entry[:200]!r} ends without a slash, and would let in every prefix that begins alike",
                    remedy="Write project=s3://bucket/prefix/",
                )
            allowed.setdefault(project, []).append(location)
        return cls({project: tuple(found) for project, found in allowed.items()})

    def check(self, project: str, source: str) -> S3Location:
        """Return where a source is, when the Project may read it.

        Raises:
            InvalidRequest: it is no address in S3.
            PolicyViolation: the Project may not; the message does not say what others may read.
        """
        location = S3Location.parse(source)
        if any(allowed.covers(location) for allowed in self.allowed.get(project, ())):
            return location
        raise PolicyViolation(
            f"Project {project!r} may not read {source[:200]!r}",
            remedy="The Platform Owner lists what each Project may read in HOLDFAST_S3_SOURCES",
            details={"rule": RULE, "version": 1, "changed_by": "platform_owner"},
        )


def not_versioned(bucket: str) -> PolicyViolation:
    """Return the refusal of a bucket that keeps no versions: what was read once could be something else the next time."""
    return PolicyViolation(
        f"the bucket {bucket!r} keeps no versions, so nothing in it can be bound",
        remedy=f"Let it keep versions: aws s3api put-bucket-versioning --bucket {bucket}"
        " --versioning-configuration Status=Enabled",
        details={"rule": RULE_VERSIONED, "version": 1, "changed_by": "platform_owner"},
    )


def check_layout(paths: Sequence[str]) -> None:
    """Return when files can lie beside each other; raises InvalidRequest where one is a directory of another, as keys in S3 can be."""
    files = frozenset(paths)
    for path in paths:
        if clash := files.intersection(_parents(path)):
            raise InvalidRequest(
                f"{min(clash)[:200]!r} is a file, and {path[:200]!r} lies below it",
                remedy="Rename one of the two; no file system holds both",
            )


def _parents(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))
