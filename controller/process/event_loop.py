"""The event loop: uvloop, with a fault mended that closes other people's files.

``create_connection`` of uvloop 0.23 lets go of the socket it was given only if the connection outlives the
handshake's first turn. One that is reset in that moment, as by an API server that is being killed, leaves
behind a socket object that takes a descriptor for its own which is closed already. Once that object is
collected, whatever has the number by then is closed: another request's connection, or the journal's file.
(MagicStack/uvloop issues 645 and 738; their mends don't cover this case.)
"""

import socket
from collections.abc import Callable
from typing import Any

import uvloop


class Loop(uvloop.Loop):
    """uvloop's event loop; a socket that it was given to connect is its own from then on."""

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        **options: Any,
    ) -> Any:
        """Connect as uvloop does; afterwards ``sock`` owns no descriptor, connected or not."""
        connect: Any = super().create_connection
        try:
            return await connect(protocol_factory, host, port, sock=sock, **options)
        finally:
            if sock is not None:
                sock.detach()
