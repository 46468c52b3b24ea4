"""HTTP as bytes on a socket, for what a well-behaved client would never send or never show."""

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass
from typing import Any

PATIENCE = 10.0
"""Seconds after which a test gives up waiting for an answer."""


@dataclass(frozen=True)
class Reply:
    """One answer as it came; header names in lower case."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Wire:
    """A connection to 127.0.0.1 on which a test writes and reads bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None = None) -> "Wire":
        """Connect; with ``tls`` as the name ``localhost``."""
        name = "localhost" if tls else None
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name))

    async def send(self, data: bytes | str) -> None:
        """Write some bytes."""
        self.writer.write(data.encode() if isinstance(data, str) else data)
        await self.writer.drain()

    async def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """Send a whole request and read its answer; ``_`` in a header's name becomes ``-``."""
        await self.send(request(method, path, body, **headers))
        return await self.reply(head=method == "HEAD")

    async def reply(self, *, head: bool = False) -> Reply:
        """Read one answer."""
        async with asyncio.timeout(PATIENCE):
            block = await self.reader.readuntil(b"\r\n\r\n")
            line, *rest = block.decode("latin1").rstrip("\r\n").split("\r\n")
            headers = {}
            for header in rest:
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            length = 0 if head else int(headers.get("content-length", "0"))
            return Reply(int(line.split()[1]), headers, await self.reader.readexactly(length))

    async def closed(self) -> bytes:
        """Wait until the server closes; return what it wrote before that."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return a request with a Content-Length if there is a body, and these headers."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body and "Content_Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin1") + body


async def until(condition: Any, what: str = "condition") -> None:
    """Wait until ``condition()`` is true."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - polls whatever a test can see
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never came true: {what}") from None
