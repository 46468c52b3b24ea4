"""Clusters that the end-to-end scenarios run on: kind, or a control plane without nodes on this machine."""

from e2e.clusters.cluster import Cluster

__all__ = ["Cluster"]
