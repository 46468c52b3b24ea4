"""Senders: raw HTTP/1.1 over kept connections, so that on two cores the sender costs as little as may be.

The same ones send to the receiver and to the barest receiver.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from tests.benchmarks.data import ORGANIZATION, REGISTRY
from tests.support.azure import git_push, image_push, ping

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    seconds: float
    text: str


@dataclass(frozen=True)
class Round:
    """Many answers and how long they took together."""

    replies: list[Reply]
    seconds: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.replies) / self.seconds


def request(path: str, body: Any) -> bytes:
    """The bytes of a POST."""
    payload = msgspec.json.encode(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: AzureContainerRegistry/1.0\r\n"
        f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


def image_request(path: str, repository: str) -> bytes:
    """A push to an image repository, or of a chart."""
    return request(path, image_push(repository, host=REGISTRY))


def git_request(path: str, repository: str) -> bytes:
    """A push to a Git repository."""
    return request(path, git_push(f"{ORGANIZATION}/platform/_git/{repository}"))


def ping_request(path: str) -> bytes:
    """A ping."""
    return request(path, ping())


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[tuple[int, str]] | None = None
        self._bytes = b""

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """Collect an answer; it has a Content-Length."""
        self._bytes += data
        head, end, body = self._bytes.partition(b"\r\n\r\n")
        if not end:
            return
        lower = head.lower()
        start = lower.index(b"content-length:") + 15
        if len(body) < int(lower[start:].split(b"\r\n", 1)[0]):
            return
        self._bytes = b""
        if self._answer is not None:
            self._answer.set_result((int(head[9:12]), body.decode()))

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the request under way."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the connection was closed"))

    async def send(self, message: bytes) -> Reply:
        """Send a request and wait for its answer."""
        began = time.perf_counter()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        status, text = await self._answer
        return Reply(status, time.perf_counter() - began, text)

    def close(self) -> None:
        """Close the connection."""
        self._answer = None
        self._transport.close()


async def send_one(port: int, message: bytes) -> Reply:
    """Send one request on a connection of its own."""
    connection = await Connection.open(port)
    try:
        return await connection.send(message)
    finally:
        connection.close()


async def send_all(port: int, messages: Sequence[bytes], at_once: int) -> Round:
    """Send every message over ``at_once`` connections, one in flight on each."""
    async with connections(port, at_once) as opened:
        return await send_over(opened, messages)


@contextlib.asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """So many open connections until the end of the block."""
    opened = [await Connection.open(port) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def send_over(opened: Sequence[Connection], messages: Sequence[bytes]) -> Round:
    """Send every message over these connections, one in flight on each."""
    replies: list[Reply] = []
    rest = iter(messages)

    async def worker(connection: Connection) -> None:
        for message in rest:
            replies.append(await connection.send(message))  # noqa: PERF401 - workers take turns

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(worker(connection))
    return Round(replies, time.perf_counter() - began)
