"""Watches, against a server that sends bytes."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from controller.runtime.api import client as client_module
from controller.runtime.api import errors
from tests.controller.runtime.api.connecting import WAREHOUSES, connected, lines
from tests.support import apiserver
from tests.support.apiserver import ApiServer, Connection


async def test_row_03_a_watch_asks_for_bookmarks_from_a_version() -> None:
    """A watch names its version, its timeout, and wants bookmarks; its lines come one by one."""
    opened: list[bool] = []
    script = apiserver.watch(("ADDED", {"a": 1}), ("DELETED", {"a": 2}), hold=False)
    async with ApiServer(script) as server, connected(server) as client:
        got = await lines(
            client, namespace="demo", field_selector="metadata.name=s", opened=lambda: opened.append(True)
        )
    assert [json.loads(line)["type"] for line in got] == ["ADDED", "DELETED"]
    assert opened == [True]
    assert server.requests[0].query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "5",
        "timeoutSeconds": "300",
        "fieldSelector": "metadata.name=s",
    }


async def test_lines_come_whole_however_they_are_cut() -> None:
    """Half lines, several at once, an event of 3 MB: each comes once and whole; a last half is dropped."""
    big = b'{"big":"' + b"x" * 3_000_000 + b'"}'

    async def script(connection: Connection) -> None:
        await connection.head()
        for piece in (
            b'{"a"',
            b":1}\n\n{",
            b'"b":2}\n{"c":3}\n',
            big[:1_000],
            big[1_000:] + b"\n",
            b'{"cut',
        ):
            await connection.chunk(piece)
        await connection.end()

    async with ApiServer(script) as server, connected(server) as client:
        got = await lines(client)
    assert got == [b'{"a":1}', b'{"b":2}', b'{"c":3}', big]


async def test_row_14_a_silent_watch_ends_with_a_reason() -> None:
    """When no byte comes for the idle bound the watch ends, though the connection stays open."""
    async with ApiServer(apiserver.watch(("ADDED", {}))) as server, connected(server) as client:
        with pytest.raises(errors.WatchIdle):
            await lines(client, idle_seconds=0.5)


async def test_row_14_a_watch_that_is_not_accepted_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that takes the request and goes silent does not keep it for the whole idle bound."""
    monkeypatch.setattr(client_module, "ACCEPT_SECONDS", 0.05)
    async with ApiServer(apiserver.hang) as server, connected(server) as client:
        with pytest.raises(errors.ConnectionFailed, match=r"no answer within 0\.05 s"):
            await lines(client)


async def test_row_14_the_kernel_asks_whether_a_watchs_peer_is_there() -> None:
    """A peer that vanished ends the watch in half a minute, though nothing is ever sent on it."""
    async with ApiServer(apiserver.watch(("ADDED", {}))) as server, connected(server) as client:
        stream = client.watch(WAREHOUSES, version="5", timeout_seconds=300, idle_seconds=60)
        async with contextlib.aclosing(stream):
            await anext(stream)
            timers = keepalive_timers(server.port)
    assert len(timers) == 1
    assert 0 < int(timers[0], 16) <= 15 * 100


def keepalive_timers(port: int) -> list[str]:
    """Return when, in hundredths of a second (hex), the kernel will ask the peers at this port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    timers = [cells[5].split(":") for cells in lines if cells[2].endswith(f":{port:04X}")]
    return [when for kind, when in timers if kind == "02"]


async def test_watches_do_not_use_up_the_connections_of_requests() -> None:
    """With more watches open than any pool has room for, a request still gets through."""
    watching = asyncio.Semaphore(0)

    async def script(connection: Connection) -> None:
        if connection.request.verb == "watch":
            await connection.head()
            await connection.event("ADDED", {})
            await asyncio.Event().wait()
        name = connection.request.path.rsplit("/", 1)[-1]
        await connection.answer(200, {"kind": "Warehouse", "metadata": {"name": name}})

    async with ApiServer(script) as server, connected(server, concurrency=2) as client:

        async def follow() -> None:
            stream = client.watch(WAREHOUSES, version="5", timeout_seconds=300, idle_seconds=60)
            async with contextlib.aclosing(stream):
                async for _ in stream:
                    watching.release()

        tasks = [asyncio.create_task(follow()) for _ in range(150)]
        for _ in tasks:
            await watching.acquire()
        await asyncio.gather(*(client.get(WAREHOUSES, name=f"w-{i}") for i in range(10)))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
