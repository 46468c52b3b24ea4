"""Reads a watch's connection in strides: at once what comes first, and what follows a moment later together.

Each piece of data, however small, costs the layers below (epoll, TLS, aiohttp) 60 to 90 µs, and an API server
sends an event in two or three. So a connection that has just said something is not read for a moment: the
kernel keeps what comes meanwhile, and TCP's window bounds it. A busy watch costs half as much so; one that
is quiet is heard as soon as ever.
"""

import asyncio
from typing import Any

import aiohttp

SECONDS = 0.03
"""Between two looks at a busy watch: a change is known so much later, which nothing depends on."""
BACKLOG = 64 * 1024
"""Bytes in one piece that mean that more is waiting, and that no time is to be lost."""


class Strides:
    """The connection of one answer that does not end."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        connection = response.connection  # None if the answer has ended already
        self._content = response.content
        self._transport: Any = connection.transport if connection is not None else None
        limit = getattr(self._transport, "set_read_buffer_limits", None)
        if limit is not None:  # TLS has one: from the first byte held while paused, the socket is not read
            limit(high=1)

    async def pause(self, size: int) -> None:
        """Wait for more to come, after a piece of so many bytes; returns at once where more is there."""
        transport = self._transport
        if transport is None or size >= BACKLOG or self._content.is_eof():
            return
        transport.pause_reading()
        try:
            await asyncio.sleep(SECONDS)
        finally:
            transport.resume_reading()
