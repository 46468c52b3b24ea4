"""A TCP proxy before Azurite that answers as no storage account does."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from e2e.controlplane.ports import HOST
from tests.support.background import Background

CHUNK = 64 * 1024
CUT_AFTER = 100
"""Bytes of an answer until the connection breaks: within its headers."""
HUGE = 100 * 1024 * 1024
_XML = b'<?xml version="1.0"?><QueueMessagesList><QueueMessage>'


def _answer(content_type: str, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
        content_type.encode(),
        size,
        body,
    )


ANSWERS = {
    "garbage": _answer("application/xml", _XML + b"\x00\xff<<<"),
    "html": _answer("text/html", b"<!DOCTYPE html><html><body>Sign in to the network"),
    "html_as_xml": _answer("application/xml", b"<html><body>Sign in to the network</body></html>"),
    "no_http": b"220 mail.example.com ESMTP\r\n",
    "huge": _answer("application/xml", _XML, HUGE),
}
"""What is answered, whatever is asked."""


class StorageProxy:
    """Passes connections on, or does what ``fault`` says: a key of ANSWERS, ``cut`` or ``stall``."""

    def __init__(self, upstream: int, background: Background) -> None:
        self._upstream = upstream
        self._background = background
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._fault = ""
        self.port = 0

    def break_with(self, fault: str) -> None:
        """Go wrong in this way from now on, with new connections; empty: pass everything on."""
        self._background.call(self._break_with(fault))

    def __enter__(self) -> Self:
        self._background.call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._background.call(self._close())

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._break_with("")

    async def _break_with(self, fault: str) -> None:
        self._fault = fault
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault in ANSWERS:
            await reader.read(CHUNK)
            writer.write(ANSWERS[self._fault])
            if self._fault == "huge":
                await self._flood(writer)
            await writer.drain()
            await reader.read(CHUNK)
        elif self._fault == "stall":
            while await reader.read(CHUNK):
                pass
        else:
            its_reader, its_writer = await asyncio.open_connection(HOST, self._upstream)
            try:
                limit = CUT_AFTER if self._fault == "cut" else None
                ends = [
                    asyncio.ensure_future(_pump(reader, its_writer, None)),
                    asyncio.ensure_future(_pump(its_reader, writer, limit)),
                ]
                try:
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for end in ends:
                        end.cancel()
            finally:
                its_writer.transport.abort()

    async def _flood(self, writer: asyncio.StreamWriter) -> None:
        for _ in range(HUGE // CHUNK):
            writer.write(b" " * CHUNK)
            await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk[:limit])
            await writer.drain()
            if limit is not None:
                return
