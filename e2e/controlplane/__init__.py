"""A real etcd and kube-apiserver on this machine, built once without root, for demonstrations and tests."""

from e2e.controlplane.errors import CommandError, ControlPlaneError
from e2e.controlplane.plane import ControlPlane

__all__ = ["CommandError", "ControlPlane", "ControlPlaneError"]
