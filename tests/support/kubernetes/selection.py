"""Chooses the cluster: the one that is given, kind where containers run, and else one of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.own import own_cluster


@contextmanager
def throw_away_cluster(nodes: int = 2) -> Iterator[Cluster]:
    """Yield a cluster."""
    with own_cluster(nodes) as cluster:
        yield cluster
