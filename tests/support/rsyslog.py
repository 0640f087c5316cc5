"""rsyslog as a receiver: syslog over TLS and RELP over TLS, on ports of its own, into a file."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import require
from tests.support.s3 import listens
from tests.support.server import free_ports
from tests.support.tls import Authority

_CONFIGURATION = """
global(
    workDirectory="{directory}"
    maxMessageSize="64k"
    defaultNetstreamDriver="ossl"
    defaultNetstreamDriverCAFile="{ca}"
    defaultNetstreamDriverCertFile="{certificate}"
    defaultNetstreamDriverKeyFile="{certificate}"
    parser.escapeControlCharactersOnReceive="off"
)
module(load="imrelp" tls.tlslib="openssl")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="as-it-came" type="string" string="%rawmsg%\\n")
ruleset(name="keep") {{ action(type="omfile" file="{taken}" template="as-it-came" flushOnTXEnd="on" asyncWriting="off") }}
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="keep")
input(
    type="imrelp" address="127.0.0.1" port="{relp}" ruleset="keep" maxDataSize="64k"
    tls="on" tls.caCert="{ca}" tls.myCert="{certificate}" tls.myPrivKey="{certificate}" tls.authMode="certvalid"
)
"""
_MODULES = ("rsyslog-relp", "rsyslog-openssl")


@dataclass
class Rsyslog:
    """A receiver that can be ended and started again.

    Attributes:
        directory: with its configuration and what it has taken.
        tls: port of RFC 5425.
        relp: port of RELP, where a certificate has to be shown.
    """

    directory: Path
    tls: int
    relp: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def taken(self) -> list[str]:
        """Messages, as they came."""
        path = self.directory / "taken"
        return path.read_text().splitlines() if path.exists() else []

    def start(self) -> None:
        """Start it, and return when it listens."""
        command = ["rsyslogd", "-n", "-f", self.directory / "rsyslog.conf", "-i", self.directory / "pid"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        for port in (self.tls, self.relp):
            while not listens("127.0.0.1", port):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"rsyslogd does not listen: {(self.directory / 'log').read_text()[-2000:]}")
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None


@contextmanager
def rsyslog(authority: Authority, directory: Path) -> Iterator[Rsyslog]:
    """Start one that shows a certificate of the authority."""
    require({"rsyslogd": "rsyslog", **{f"/var/lib/dpkg/info/{name}.list": name for name in _MODULES}})
    tls, relp = free_ports(2)
    receiver = Rsyslog(directory, tls, relp)
    (directory / "rsyslog.conf").write_text(
        _CONFIGURATION.format(
            directory=directory,
            ca=authority.ca_file,
            certificate=authority.issue(),
            taken=directory / "taken",
            tls=tls,
            relp=relp,
        )
    )
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
