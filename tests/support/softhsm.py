"""A PKCS#11 token in software: SoftHSM, with a directory of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.support.debian import require

PIN = "5678-of-the-tests"
EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is ready.

    Attributes:
        label: of the token.
        pin: file of the user's PIN.
        environment: what a process that uses it needs.
    """

    label: str
    pin: Path
    environment: dict[str, str]

    def uri(self, name: str, identity: str = "", *, pin: Path | None = None, token: str | None = None) -> str:
        """Return the URI of a key in it."""
        wanted = f"token={quote(token or self.label)};object={quote(name, safe='')}"
        if identity:
            wanted += f";id={identity}"
        return f"pkcs11:{wanted}?module-path={module()}&pin-source={pin or self.pin}"


def module() -> Path:
    """Return the library that speaks to the token; Debian has it at a place of each architecture, and a link to it."""
    return Path("/usr/lib/softhsm/libsofthsm2.so")


def token_in(directory: Path, label: str = "holdfast") -> Token:
    """Make tokens in a directory, of which the second has another label and no key; installs SoftHSM where it is missing."""
    require({"softhsm2-util": "softhsm2"})
    (directory / "tokens").mkdir()
    (directory / "softhsm2.conf").write_text(
        f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    (directory / "pin").write_text(PIN + "\n")
    (directory / "pin").chmod(0o600)
    environment = {"SOFTHSM2_CONF": str(directory / "softhsm2.conf")}
    for name in (label, EMPTY):
        command = ["softhsm2-util", "--init-token", "--free", "--label", name, "--so-pin", "1234-of-the-tests"]
        subprocess.run(
            [*command, "--pin", PIN], check=True, capture_output=True, timeout=60, env={**os.environ, **environment}
        )
    return Token(label, directory / "pin", environment)
