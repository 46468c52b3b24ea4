"""A TCP load balancer as simple as a Kubernetes Service: connections go round the replicas that are ready."""

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from e2e.controlplane.ports import HOST
from tests.support.background import Background

CHECK_SECONDS = 0.5
"""Between two looks at a replica's readiness."""
CHUNK = 64 * 1024


@dataclass
class Backend:
    """One replica."""

    port: int
    admin_port: int
    ready: bool = False


class Balancer:
    """Listens on ``port``; asks each backend's /readyz, as the kubelet does, before it gets connections."""

    def __init__(self, background: Background, backends: Sequence[Backend]) -> None:
        self._background = background
        self.backends = list(backends)
        self.port = 0
        self.connections = 0
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._checking: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._background.call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._background.call(self._close())

    async def _start(self) -> None:
        await self._check()
        self._checking = asyncio.get_running_loop().create_task(self._keep_checking())
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
        if self._server is not None:
            self._server.close()

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self._check()

    async def _check(self) -> None:
        timeout = aiohttp.ClientTimeout(total=2.0)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for backend in self.backends:
                try:
                    async with session.get(f"http://{HOST}:{backend.admin_port}/readyz") as answer:
                        backend.ready = answer.status == 200
                except (aiohttp.ClientError, OSError, TimeoutError):
                    backend.ready = False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = [backend for backend in self.backends if backend.ready]
        if not ready:
            writer.transport.abort()
            return
        backend = ready[next(self._turn) % len(ready)]
        try:
            its_reader, its_writer = await asyncio.open_connection(HOST, backend.port)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        await asyncio.gather(_pump(reader, its_writer), _pump(its_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction; its end closes the other side."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
