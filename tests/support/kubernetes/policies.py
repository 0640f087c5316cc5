"""What the NetworkPolicies among documents let through, by somebody else's judgement: cyclonus, asked through `netverdict`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.go_program import GoProgram

Document = dict[str, Any]
ANALYSER = GoProgram("cyclonus", Path(__file__).parent / "netverdict", "github.com/mattfenwick/cyclonus")


@dataclass(frozen=True, slots=True, order=True)
class Traffic:
    """A connection that somebody begins.

    Attributes:
        source: `namespace/pod` of a document, or an address outside of the cluster.
        destination: likewise.
        port: of the destination.
        protocol: TCP, UDP or SCTP.
    """

    source: str
    destination: str
    port: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the policies of the source let it out, and those of the destination let it in."""

    egress: bool
    ingress: bool

    @property
    def is_allowed(self) -> bool:
        return self.egress and self.ingress


def verdicts(documents: Iterable[Document], asked: Iterable[Traffic]) -> dict[Traffic, Verdict]:
    """Return what the analyser says to each connection.

    Args:
        documents: a cluster's, of any kind; Namespaces, Pods with a `status.podIP` and NetworkPolicies are looked at.
        asked: the connections.

    Raises:
        RuntimeError: the analyser refuses the question, or cannot be built.
    """
    traffic = list(asked)
    question = {"documents": list(documents), "traffic": [asdict(one) for one in traffic]}
    done = subprocess.run(
        [ANALYSER.directory() / ANALYSER.source.name],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the analyser refuses: {done.stderr[-2000:]}")
    return dict(zip(traffic, (Verdict(**said) for said in json.loads(done.stdout)), strict=True))


if __name__ == "__main__":
    print(f"cyclonus is in {ANALYSER.directory()}")
