"""Other replicas on one page, and peers that do not behave."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from e2e.controlplane.ports import free_ports
from tests.support.admin import FakeHistory, FakeProgram, delivery, own_fleet, served
from tests.support.wire import Wire
from webhook.admin.peers import PEER_BYTES, PEER_SECONDS, Peers
from webhook.admin.ports import ReceiverState
from webhook.admin.reports import Overview
from webhook.journal.history import Query

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextlib.asynccontextmanager
async def peer(answer: Answer) -> AsyncIterator[int]:
    """Serve one hostile replica; give its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff nonsense\r\n\r\n")


async def page_of_a_proxy(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 13\r\n\r\n<html></html>")


async def fault(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + f"Content-Length: {100 * 1024 * 1024}\r\n\r\n".encode())
    for _ in range(100):
        writer.write(b" " * 1024 * 1024)
        await writer.drain()


async def deep(writer: asyncio.StreamWriter) -> None:
    body = b'{"instance":"x","receivers":' + b"[" * 100_000
    writer.write(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(garbage, "its answer is not HTTP, or was cut off", id="garbage"),
        pytest.param(page_of_a_proxy, "its answer is not a replica's JSON", id="html"),
        pytest.param(deep, "its answer is not a replica's JSON", id="deep"),
        pytest.param(fault, "it answered 503", id="503"),
        pytest.param(silence, "no answer within 1 s", id="silence"),
        pytest.param(trickle, "no answer within 1 s", id="trickle"),
        pytest.param(endless, f"its answer is larger than {PEER_BYTES // 1024 // 1024} MiB", id="100-MB"),
    ],
)
async def test_a_bad_peer_is_one_line_within_a_second(answer: Answer, why: str) -> None:
    """The page is there with all else."""
    async with peer(answer) as port:
        fleet = own_fleet(None, FakeHistory(delivery(0)), ("127.0.0.1", port))
        began = time.monotonic()
        seen = await fleet.overview(10)
        assert time.monotonic() - began < PEER_SECONDS + 1.0
        assert [(each.peer, each.why[: len(why)]) for each in seen.troubles] == [(f"127.0.0.1:{port}", why)]
        assert [each.id for each in seen.latest] == ["d-00000"]
        await fleet.close()


async def test_a_peer_that_is_not_there_is_named() -> None:
    """Refused connections and names without an address."""
    (port,) = free_ports(1)
    for host, why in (("127.0.0.1", "no connection"), ("no-such-name.invalid", "no address found")):
        fleet = own_fleet(None, None, (host, port))
        (trouble,) = (await fleet.overview(1)).troubles
        assert trouble.peer == f"{host}:{port}"
        assert trouble.why.startswith(why)
        await fleet.close()


async def test_replicas_are_merged() -> None:
    """Deliveries of both by time; receivers once, with the worst state and who sees it; counts added."""
    ours, theirs = (
        FakeHistory(delivery(0), delivery(2)),
        FakeHistory(delivery(3, outcome="rejected", code=202), delivery(1)),
    )
    pending = FakeProgram(ReceiverState("kargo-demo/azure", "pending", "was not read yet"))
    async with served(pending, theirs) as other:
        fleet = own_fleet(FakeProgram(), ours, ("127.0.0.1", other.port))
        seen = await fleet.overview(10)
        assert seen.troubles == []
        assert len(seen.replicas) == 2
        assert [each.id for each in seen.latest] == ["d-00000", "d-00001", "d-00002", "d-00003"]
        (row,) = seen.receivers
        assert (row.state, row.problem) == ("pending", "was not read yet")
        assert [each.rpartition(": ")[2] for each in row.differs] == ["served", "pending"]
        assert row.summary.answers == {"200": 3, "202": 1}
        assert (row.summary.last_delivery, row.summary.last_code) == (seen.latest[0].received, 200)
        page = await fleet.deliveries(Query(limit=3))
        assert [each.id for each in page.rows] == ["d-00000", "d-00001", "d-00002"]
        assert page.more
        last = page.rows[-1]
        rest = await fleet.deliveries(Query(limit=3, before=last.unix, before_id=last.id))
        assert ([each.id for each in rest.rows], rest.more) == (["d-00003"], False)
        found, _ = await fleet.delivery("d-00003")
        assert found is not None
        assert found.outcome == "rejected"
        one, latest = await fleet.receiver("kargo-demo/azure", 50)
        assert one is not None
        assert len(latest.rows) == 4
        await fleet.close()


async def test_this_replica_is_shown_once() -> None:
    """The headless Service's addresses hold this replica's own, too."""
    (port,) = free_ports(1)
    async with served(None, FakeHistory(delivery(0)), peers=("127.0.0.1", port), port=port):
        wire = await Wire.open(port)
        for _ in range(2):
            page = (await wire.request("GET", "/")).body.decode()
            assert page.count("deliveries/d-00000") == 1
            assert "(this one)" not in page
            assert "Not everything is shown" not in page
        await wire.close()


async def test_without_peers_nobody_is_asked() -> None:
    """One replica, one page."""
    peers = Peers(None, "i")
    assert await peers.ask("", Overview) == ((), ())
