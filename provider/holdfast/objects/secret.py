"""Secrets that stand in files of their own and nowhere else: keys of sinks, the PIN of a token."""

from pathlib import Path

from holdfast.core.errors import InvalidRequest


def read_secret(path: Path, *, least_bytes: int = 1) -> bytes:
    """Return what a file holds, without white space around it.

    Raises:
        InvalidRequest: there is no such file, everybody may read it, or it holds less than it should.
    """
    try:
        mode, content = path.stat().st_mode, path.read_bytes().strip()
    except OSError as error:
        raise InvalidRequest(f"the secret {path} cannot be read: {error.strerror}", remedy="Mount the file") from None
    if mode & 0o007:
        raise InvalidRequest(
            f"everybody on this machine may read the secret {path}", remedy=f"Make it private: chmod o= {path}"
        )
    if len(content) < least_bytes:
        raise InvalidRequest(
            f"the secret {path} has {len(content)} bytes, and needs {least_bytes}",
            remedy="Make one: openssl rand -hex 32",
        )
    if b"\n" in content or b"\r" in content:
        raise InvalidRequest(f"the secret {path} has more than one line", remedy="Write it as one line")
    return content
