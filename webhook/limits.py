"""Every size and time limit of the public port, with its unit and its reason.

All of them are fields of one value, so that a test can hand in a smaller one. docs/security.md shows those
that a sender can meet.
"""

import resource
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one process takes from the network at a time, and for how long."""

    body: int = 2 * MIB
    """Bytes of one body. A webhook is 1 to 100 KB; Event Grid sends batches of up to 1 MB."""

    headers: int = 32 * KIB
    """Bytes of a request's line and headers: a bearer token of Entra ID alone may take 8 KB."""

    first_request: float = 10.0
    """Seconds from accepting a connection to the end of its first headers, TLS handshake included: a
    sender writes them at once."""

    idle: float = 75.0
    """Seconds that a connection may wait for its next request, or take to send its headers: longer than the
    60 s after which Azure's and most load balancers drop an idle connection, so that they close first."""

    body_seconds: float = 10.0
    """Seconds from a request's headers to the end of its body. ACR is gone after 5 s, Event Grid after 30 s;
    a body that comes one byte a second must not hold its place."""

    unread: float = 10.0
    """Seconds that an answer may wait for its sender to read it: an honest one does so at once."""

    discard: int = 16 * MIB
    """Bytes of a refused request's body that are read and thrown away: a sender that writes all of it before
    it reads then finds the answer, not a reset connection."""

    connections: int = 4096
    """Open connections; one more closes the one that has been idle longest. About 10 KB each, 30 KB with
    TLS. Never more than half of the file descriptors the process may open."""

    backlog: int = 4096
    """Connections that the kernel holds until they are accepted, while the event loop is busy or in a flood.
    A connection that finds no room tries again after a second. The kernel's net.core.somaxconn caps it."""

    accepts: int = 64
    """Connections accepted in one turn of the event loop: a flood of them must not stop requests."""

    requests: int = 2048
    """Accepted requests in progress: each holds a few KB until its answer."""

    body_bytes: int = 32 * MIB
    """Bytes of bodies that are being received or wait to be decoded: 16 of the longest."""

    delivery_bytes: int = 64 * MIB
    """Bytes of deliveries from their decoding to their end: one of a single repository takes some 2.5 KB, so
    that there may be 25,000 of those."""

    retry_after: int = 5
    """Seconds in the ``Retry-After`` of a 503. Azure DevOps retries eight times within 183 s."""

    origin: int = 1 * KIB
    """Bytes of a ``WebHook-Request-Origin`` header, which is echoed. Event Grid's is its host name."""

    @property
    def open_connections(self) -> int:
        """``connections``, or half of the process's limit of open files if that is less."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return self.connections
        return min(self.connections, max(1, files // 2))


ACR_SECONDS = 5.0
"""Seconds that Azure Container Registry waits for an answer; it never tries again."""

PROJECT_SHARE = 0.75
"""The part of anything shared that one Project may use, and the part of that for one receiver."""


def share(most: int) -> int:
    """Return how much of ``most`` one Project may use; of its share, how much one receiver may."""
    return max(1, int(most * PROJECT_SHARE))


UNQUEUED_SECONDS = 0.05
"""Seconds of the event loop in each ``USE_WINDOW_SECONDS`` that a Project may use without waiting."""

USE_WINDOW_SECONDS = 1.0
"""Seconds after which the use of the event loop is counted anew."""

TURN_SECONDS = 0.005
"""Seconds of the event loop for waiting work, until other connections are served again."""

REPLY_SECONDS = 4.0
"""Default of ``--reply-timeout``, seconds from a request's headers to its answer: below ``ACR_SECONDS``."""

REPOSITORY_CHARACTERS = 256
"""Characters of a repository in a log line: a sender's text must not swell the log."""

TLS_POLL_SECONDS = 2.0
"""Seconds between two checks of the certificate's files, which cost two ``stat`` calls."""

TLS_FILE = 1 * MIB
"""Bytes of a certificate or key file; a larger file cannot be one."""

ACCEPT_PAUSE_SECONDS = 0.5
"""Seconds without accepting after the operating system ran out of file descriptors or memory."""

ADMIN_BODY = 1 * KIB
"""Bytes of a body on the admin port, where nobody needs to send one."""

ADMIN_IDLE_SECONDS = 120.0
"""Seconds an admin connection may be idle: Prometheus scrapes at least once a minute."""
