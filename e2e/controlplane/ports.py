"""Ports of 127.0.0.1: finding free ones, and saying clearly that one is taken."""

import contextlib
import socket

from e2e.controlplane.errors import ControlPlaneError

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def require_free(port: int, purpose: str, advice: str) -> None:
    """Raise ControlPlaneError, in one line, if nobody can listen on ``port`` of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ControlPlaneError(
                f"port {port} for {purpose} is not free ({error.strerror}): {advice}"
            ) from error
