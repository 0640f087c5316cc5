"""`python -m tests.support.kubernetes [NODES]` runs a cluster until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal

from tests.support.kubernetes.selection import throw_away_cluster


def main() -> None:
    """Start a cluster, say how it is reached, and stop it when asked to, whether it is up yet or not."""
    # Also where a shell has started this in the background, which ignores Ctrl-C there.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.kubernetes", description="A throw-away Kubernetes, until Ctrl-C or SIGTERM."
    )
    parser.add_argument("nodes", metavar="NODES", type=int, nargs="?", default=2, help="how many nodes it has; 2")
    nodes = parser.parse_args().nodes
    try:
        with throw_away_cluster(nodes) as cluster:
            print(f"export KUBECONFIG={cluster.kubeconfig}")
            print(f"alias kubectl={cluster.kubectl_path}")
            print(f"# pods reach servers of this machine at {cluster.host}; Ctrl-C stops the cluster", flush=True)
            try:
                signal.pause()
            finally:
                # A second Ctrl-C of the impatient would leave half of it behind.
                for each in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(each, signal.SIG_IGN)
    except KeyboardInterrupt:
        print("stopped", flush=True)


if __name__ == "__main__":
    main()
