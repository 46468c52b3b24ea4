"""The event loop's sockets: a descriptor has one owner."""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator

import aiohttp
import pytest
import uvloop

from controller.process.event_loop import Loop

AT_ONCE = 50
ROUNDS = 10


@pytest.fixture
def resetting_port() -> Iterator[int]:
    """A server that resets each connection as soon as it has come, as a killed API server does."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):  # closed: the end
                while True:
                    connection, _ = listening.accept()
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
def test_a_reset_connection_leaves_no_socket_that_closes_anothers_file(
    resetting_port: int, tls: bool
) -> None:
    """None of them owns a descriptor any more, and none is left open."""
    sockets: list[socket.socket] = []

    def make(info: tuple[int, int, int, str, object]) -> socket.socket:
        made = socket.socket(*info[:3])
        sockets.append(made)
        return made

    async def connect() -> None:
        context = ssl.create_default_context() if tls else False
        connector = aiohttp.TCPConnector(limit=0, ssl=context, socket_factory=make)
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"{'https' if tls else 'http'}://127.0.0.1:{resetting_port}/"

            async def ask() -> None:
                with contextlib.suppress(aiohttp.ClientError):
                    await session.get(url)

            for _ in range(ROUNDS):
                await asyncio.gather(*(ask() for _ in range(AT_ONCE)))

    before = len(os.listdir("/proc/self/fd"))
    uvloop.run(connect(), loop_factory=Loop)
    assert len(sockets) >= ROUNDS * AT_ONCE  # aiohttp tries some twice
    assert [each for each in sockets if each.fileno() != -1] == []
    assert len(os.listdir("/proc/self/fd")) <= before + 5  # what libraries open once
