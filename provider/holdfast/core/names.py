"""The names people choose, and the references that must be exact: commits, image digests, relative paths."""

import re
from itertools import pairwise
from uuid import UUID

from holdfast.core.errors import InvalidRequest

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
IMAGE = re.compile(r"[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}")


def check_name(kind: str, name: str) -> str:
    """Return the name when it is 1 to 63 characters of a-z, 0-9, `.`, `_`, `-`, with a letter or digit at both ends.

    Raises:
        InvalidRequest: it is not; nothing else is looked at.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name[:80]!r} is not a name{f' for a {kind}' if kind else ''}",
            remedy="Use 1 to 63 characters of a-z, 0-9, '.', '_' or '-', with a letter or digit at both ends",
        )
    return name


def parse_numbered(text: str, prefix: str, what: str) -> int | UUID:
    """Return the number or the id by which something is named that people write with a number, as `LH-12`.

    Args:
        text: what was written.
        prefix: before the number.
        what: is named.

    Raises:
        InvalidRequest: it is neither.
    """
    if match := re.fullmatch(f"{prefix}-([1-9][0-9]{{0,17}})", text):
        return int(match[1])
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(f"{text[:40]!r} names no {what}", remedy=f"Write {prefix}-12, or its id") from None


def check_namespace(namespace: str) -> str:
    """Return the name of a Kubernetes namespace.

    Raises:
        InvalidRequest: no cluster takes it.

    Source: RFC 1123, DNS labels, as Kubernetes has them for namespaces.
    """
    if not NAMESPACE.fullmatch(namespace):
        raise InvalidRequest(
            f"{namespace[:80]!r} is not the name of a namespace",
            remedy="Use 1 to 63 characters of a-z, 0-9 or '-', with a letter or digit at both ends",
        )
    return namespace


def check_commit(commit: str) -> str:
    """Return the commit when it is a full object name, so that it cannot move as a branch or a tag does.

    Raises:
        InvalidRequest: it is a branch, a tag or a shortened object name.
    """
    if not COMMIT.fullmatch(commit):
        raise InvalidRequest(
            f"{commit[:80]!r} is not a full commit SHA; a branch, a tag or a short SHA can move",
            remedy="Give the 40 hexadecimal digits of `git rev-parse HEAD`",
        )
    return commit


def check_image(reference: str) -> str:
    """Return the image reference when it names a digest.

    Raises:
        InvalidRequest: it names a tag, or nothing.
    """
    if not IMAGE.fullmatch(reference):
        raise InvalidRequest(
            f"image {reference[:120]!r} is not named by digest; a tag can move",
            remedy="Give name@sha256:<64 hexadecimal digits>, as `docker buildx imagetools inspect` prints it",
        )
    return reference


_NOT_PARTS = frozenset({"", ".", ".."})
_NOT_IN_PATHS = re.compile("[\x00-\x1f\ud800-\udfff]")


def check_path(path: str, what: str = "path") -> str:
    """Return the relative path when it stays below its directory; a trailing slash (a directory) is kept.

    Raises:
        InvalidRequest: it is empty, absolute, not normal, leaves its directory, or holds control characters or a lone surrogate.
    """
    if not _NOT_PARTS.isdisjoint(path.removesuffix("/").split("/")):
        raise InvalidRequest(
            f"{what} {path[:200]!r} does not stay below its directory", remedy="Give a plain relative path without '..'"
        )
    if _NOT_IN_PATHS.search(path):
        raise InvalidRequest(
            f"{what} {path[:200]!r} holds a control character or is not UTF-8", remedy="Rename the file"
        )
    return path


def check_outputs(outputs: dict[str, str]) -> dict[str, str]:
    """Return declared outputs, name → path, when no file can be part of two of them.

    Raises:
        InvalidRequest: names two that have the same path, or of which one is below the other.
    """
    declared = sorted((tuple(path.removesuffix("/").split("/")), name) for name, path in outputs.items())
    # In this order whatever is below a path follows it at once.
    for (path, name), (next_path, next_name) in pairwise(declared):
        if next_path[: len(path)] == path:
            where = "has the same path as" if next_path == path else "is below"
            raise InvalidRequest(
                f"output {next_name!r} {where} output {name!r}", remedy="Give each output a path of its own"
            )
    return outputs
