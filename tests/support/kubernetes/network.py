"""The network of a throw-away cluster: one bridge, on which this machine and every node has an address, out of a range for tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.kubernetes import control_groups, owner

# RFC 2544 sets 198.18.0.0/15 apart for tests; a cluster takes a sixteenth of its lower half, and services a /24 of the upper one.
_PLACES = 16
MAX_NODES = 15


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses and names of one cluster.

    Attributes:
        place: which of the clusters beside each other it is.
    """

    place: int

    @property
    def tag(self) -> str:
        """What the names of its links and control groups begin with."""
        return f"hfk{self.place}"

    @property
    def host(self) -> str:
        """The address of this machine that nodes and pods reach."""
        return f"198.18.{16 * self.place}.1"

    @property
    def services(self) -> str:
        """The range of service addresses; nothing routes them."""
        return f"198.19.{self.place}.0/24"

    def node(self, number: int) -> str:
        """Return the address of a node."""
        return f"198.18.{16 * self.place}.{10 + number}"

    def pods(self, number: int) -> str:
        """Return the range of the pods of a node."""
        return f"198.18.{16 * self.place + number}.0/24"

    def link(self, number: int) -> str:
        """Return the name of a node's link to the bridge."""
        return f"{self.tag}n{number}"

    def connect(self, number: int, pid: int) -> None:
        """Give the network namespace of a process its link, as eth0; both go away with the namespace."""
        link = self.link(number)
        # What an earlier node of the number had goes with its namespace, a moment after its last process.
        ip("link", "delete", link, is_needed=False)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("link", "set", link, "master", self.tag, "up")
        ip("route", "replace", self.pods(number), "via", self.node(number))

    def disconnect(self, number: int) -> None:
        """Take a node's link away."""
        ip("link", "delete", self.link(number), is_needed=False)
        ip("route", "delete", self.pods(number), is_needed=False)


@contextmanager
def network() -> Iterator[Network]:
    """Yield a network that nobody else has; its links and routes are gone at the end.

    Raises:
        RuntimeError: every place is taken, or this machine may not make links.
    """
    taken = _claim()
    try:
        ip("addr", "add", f"{taken.host}/24", "dev", taken.tag)
        ip("link", "set", taken.tag, "up")
        yield taken
    finally:
        _remove(taken)


def remove_abandoned() -> None:
    """Take away the networks and control groups of processes that were killed; what ran on their nodes has ended with them."""
    for left in filter(_is_abandoned, map(Network, range(_PLACES))):
        control_groups.remove_all(left.tag)
        _remove(left)


def ip(*arguments: str, is_needed: bool = True) -> str:
    """Run `ip` and return what it prints; raises RuntimeError when it fails and is needed."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=30)
    if is_needed and done.returncode != 0:
        raise RuntimeError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def _claim() -> Network:
    for candidate in map(Network, range(_PLACES)):
        if _links(candidate) or _is_routed(candidate):
            continue
        # Two who want the same place both try to make its bridge, and the kernel lets one.
        made = subprocess.run(
            ["ip", "link", "add", candidate.tag, "type", "bridge"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        if made.returncode == 0:
            try:
                ip("link", "set", candidate.tag, "alias", owner.mark())
            except BaseException:
                _remove(candidate)
                raise
            return candidate
        if "exists" not in made.stderr:
            raise RuntimeError(f"a throw-away cluster needs a bridge, and `ip link add` failed: {made.stderr.strip()}")
    raise RuntimeError(f"all {_PLACES} places for throw-away clusters out of 198.18.0.0/16 are in use on this machine")


def _links(network: Network) -> list[str]:
    names = [path.name for path in Path("/sys/class/net").iterdir()]
    return [name for name in names if name == network.tag or name.startswith(f"{network.tag}n")]


def _is_abandoned(network: Network) -> bool:
    alias = Path("/sys/class/net", network.tag, "ifalias")
    return alias.is_file() and owner.is_gone(alias.read_text().strip())


def _is_routed(network: Network) -> bool:
    return bool(json.loads(ip("-json", "route", "show", "root", f"198.18.{16 * network.place}.0/20") or "[]"))


def _remove(network: Network) -> None:
    for link in _links(network):
        ip("link", "delete", link, is_needed=False)
