"""Reads bodies in chunks (RFC 9112, section 7.1). Extensions are ignored, trailers thrown away.

Tornado refuses both. All else is read as strictly as Tornado reads it: where a proxy and a server disagree
about the end of a body, requests can be smuggled.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import cast

from tornado.httputil import HTTPInputError
from tornado.iostream import IOStream

LINE = 1024
"""Bytes of a chunk's size with its extensions, or of a trailer."""
TRAILERS = 64
"""Lines after the last chunk."""
PIECE = 64 * 1024
"""Bytes delivered at a time."""
CHUNKS_PER_TURN = 64
"""Chunks of any size that are read in one turn of the event loop."""

_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})(?:[ \t]*;[^\r\n]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n")


async def read(stream: IOStream, deliver: Callable[[bytes], Awaitable[None] | None]) -> None:
    """Read a body to its end and ``deliver`` it: what has arrived at a time is delivered in one piece of at
    most about ``PIECE``, however it was cut into chunks. Raises HTTPInputError for a malformed body."""
    pending = bytearray()

    async def flush() -> None:
        if pending:
            data = bytes(pending)
            pending.clear()
            if (waiting := deliver(data)) is not None:
                await waiting

    async def wait(data: Awaitable[bytes]) -> bytes:
        if not cast("asyncio.Future[bytes]", data).done():
            await flush()
        return await data

    chunks = 0
    while True:
        size = _SIZE.fullmatch(await wait(stream.read_until(b"\r\n", max_bytes=LINE)))
        if size is None:
            raise HTTPInputError("invalid chunk size")
        left = int(size[1], 16)
        if not left:
            break
        while left:
            piece = await wait(stream.read_bytes(min(left, PIECE), partial=True))
            left -= len(piece)
            pending += piece
            if len(pending) >= PIECE:
                await flush()
        if await wait(stream.read_bytes(2)) != b"\r\n":
            raise HTTPInputError("improperly terminated chunk")
        chunks += 1
        if chunks % CHUNKS_PER_TURN == 0:
            await asyncio.sleep(0)
    for _ in range(TRAILERS + 1):
        line = await wait(stream.read_until(b"\r\n", max_bytes=LINE))
        if line == b"\r\n":
            await flush()
            return
        if not _TRAILER.fullmatch(line):
            raise HTTPInputError("invalid trailer")
    raise HTTPInputError("too many trailers")
