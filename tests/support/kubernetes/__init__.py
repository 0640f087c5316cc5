"""A throw-away Kubernetes cluster: real control plane, real nodes, on one machine and without a registry or an engine for containers."""

from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.selection import throw_away_cluster

__all__ = ["Cluster", "throw_away_cluster"]
