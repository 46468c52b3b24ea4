"""Two API servers behind one address, of which one can vanish: what is sent to it is answered by nobody."""

import asyncio
import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.controlplane.ports import HOST
from tests.support.background import Background

CHUNK = 64 * 1024


class TwoServers:
    """Passes connections on to one of two servers in turn; really both are that at ``upstream``."""

    def __init__(self, upstream: int, background: Background) -> None:
        self._upstream = upstream
        self._background = background
        self._connections = 0
        self._pumps: list[list[asyncio.Task[None]]] = [[], []]
        self._writers: list[asyncio.StreamWriter] = []
        self._lost = False
        self._server: asyncio.Server | None = None
        self.port = 0

    def kubeconfig(self, original: Path) -> Path:
        """Write a copy of a kubeconfig that leads here, beside the original."""
        config = json.loads(original.read_text("utf-8"))
        config["clusters"][0]["cluster"] = {"server": f"http://{HOST}:{self.port}"}
        path = original.with_name(f"{original.stem}.two-{self.port}.kubeconfig")
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path

    def lose_one(self) -> None:
        """Have the second server vanish: its connections stay open, and nothing comes through any more."""
        self._background.call(self._lose())

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
        for task in self._pumps[0] + self._pumps[1]:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()

    async def _lose(self) -> None:
        self._lost = True
        for task in self._pumps[1]:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self._connections % 2
        self._connections += 1
        self._writers.append(writer)
        if number and self._lost:
            return
        its_reader, its_writer = await asyncio.open_connection(HOST, self._upstream)
        self._writers.append(its_writer)
        for source, target in ((reader, its_writer), (its_reader, writer)):
            self._pumps[number].append(asyncio.ensure_future(_pump(source, target)))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()
