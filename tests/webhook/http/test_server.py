"""The public server's connections: how many, for how long, and which give way."""

import asyncio
import contextlib
import errno
import socket

import pytest
from structlog.testing import capture_logs

from tests.support.aio import run
from tests.support.fakes import FakeRefresh
from tests.support.site import PATH, PING, PUSH, Site, running
from tests.support.wire import Wire, request, until
from webhook.http.exchange import Exchange
from webhook.limits import Limits


async def never_reading(port: int) -> socket.socket:
    """Connect, and send requests and read no answer until the server takes no more."""
    sender = socket.socket()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sender.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sender, ("127.0.0.1", port))
    requests = request("GET", "/elsewhere") * 1000
    blocked = 0
    while blocked < 20:
        await asyncio.sleep(0.01)
        try:
            sender.send(requests)
            blocked = 0
        except BlockingIOError:
            blocked += 1
        except ConnectionError:
            break
    return sender


async def test_500_idle_connections_stop_nobody() -> None:
    """Connections that say nothing cost others nothing."""
    async with running(Site()) as site:
        idle = await asyncio.gather(*(Wire.open(site.port) for _ in range(500)))
        wire = await Wire.open(site.port)
        assert (await wire.request("POST", PATH, PING)).code == 200
        assert site.server.connections == 501
        await asyncio.gather(*(each.close() for each in [*idle, wire]))


async def test_one_connection_too_many_closes_the_longest_idle() -> None:
    """Holding connections open shuts nobody out: the newest is served, work in progress is kept."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh, limits=Limits(connections=3))) as site:
        busy = await Wire.open(site.port)
        await busy.send(request("POST", PATH, PUSH))
        await until(lambda: site.endpoint.gate.requests == 1)
        oldest, newer = await Wire.open(site.port), await Wire.open(site.port)
        await until(lambda: site.server.connections == 3)
        newest = await Wire.open(site.port)
        assert (await newest.request("POST", PATH, PING)).code == 200
        assert await oldest.closed() == b""
        assert (await newer.request("POST", PATH, PING)).code == 200
        refresh.persist()
        assert (await busy.reply()).code == 200
        for wire in (busy, oldest, newer, newest):
            await wire.close()


async def test_no_idle_connection_to_close() -> None:
    """With work in progress on every connection the next one is closed at once."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh, limits=Limits(connections=1))) as site:
        busy = await Wire.open(site.port)
        await busy.send(request("POST", PATH, PUSH))
        await until(lambda: site.endpoint.gate.requests == 1)
        late = await Wire.open(site.port)
        assert await late.closed() == b""
        refresh.persist()
        assert (await busy.reply()).code == 200
        await busy.close()
        await late.close()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"POST /azure/", id="half-a-line"),
        pytest.param(b"GET / HTTP/1.1\r\nA: b\r\n", id="half-the-headers"),
    ],
)
async def test_slow_first_headers_are_given_up(data: bytes) -> None:
    """A new connection has a few seconds for its first headers."""
    async with running(Site(limits=Limits(first_request=0.1))) as site:
        wire = await Wire.open(site.port)
        await wire.send(data)
        assert await wire.closed() == b""
        await until(lambda: site.server.connections == 0)
        await wire.close()


async def test_used_connection_may_be_idle_for_longer() -> None:
    """After its first request a connection is kept for the next one, up to the idle limit."""
    async with running(Site(limits=Limits(first_request=0.1, idle=0.8))) as site:
        wire = await Wire.open(site.port)
        assert (await wire.request("POST", PATH, PING)).code == 200
        await asyncio.sleep(0.5)  # past the first limit and a sweep, within the second
        assert (await wire.request("POST", PATH, PING)).code == 200
        assert await wire.closed() == b""
        await wire.close()


async def test_slow_work_is_not_an_idle_connection() -> None:
    """A connection whose request is being worked on has no limit but the reply timeout."""
    refresh = FakeRefresh(1)
    limits = Limits(first_request=0.05, idle=0.05, body_seconds=0.05)
    async with running(Site(refresh, limits=limits)) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await asyncio.sleep(0.6)  # several sweeps
        refresh.persist()
        assert (await wire.reply()).code == 200
        await wire.close()


def test_flood_of_refusals_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Unknown paths and broken requests are counted, not logged."""

    async def scenario() -> None:
        async with running(Site()) as site:
            with capture_logs() as lines:
                for _ in range(20):
                    wire = await Wire.open(site.port)
                    await wire.request("POST", "/azure/" + "1" * 64, b"x")
                    await wire.send(b"\0\r\n\r\n")
                    await wire.closed()
                    await wire.close()
            assert [line for line in lines if line["log_level"] != "debug"] == []
            assert len(site.metrics.requests) == 40

    run(scenario())
    assert [
        record for record in caplog.records if record.name != "asyncio"
    ] == []  # slow turns: a busy machine


async def test_unread_answers_end_the_connection() -> None:
    """Whoever sends request after request and reads no answer has a deadline like everyone else."""
    async with running(Site(limits=Limits(unread=0.2))) as site:
        sender = await never_reading(site.port)
        await until(lambda: site.server.connections == 0)
        sender.close()


async def test_connections_are_closed_in_order_of_what_they_wait_for() -> None:
    """Those whose answers are not read go first, one to a known receiver last."""
    async with running(Site(limits=Limits(connections=5))) as site:
        known = await Wire.open(site.port)
        assert (await known.request("POST", PATH, PING)).code == 200
        new = await Wire.open(site.port)
        await until(lambda: site.server.connections == 2)
        idle = await Wire.open(site.port)
        assert (await idle.request("GET", "/healthz")).code == 200
        refused = await Wire.open(site.port)
        await refused.send(request("POST", "/elsewhere", Content_Length="1000"))
        assert (await refused.reply()).code == 404
        unread = await never_reading(site.port)
        later = []
        for first in (None, refused, idle, new):
            later.append(await Wire.open(site.port))
            assert (await later[-1].request("POST", PATH, PING)).code == 200
            if first is not None:
                assert await first.closed() == b""
        later.append(await Wire.open(site.port))
        assert await known.closed() == b"", "at last the known one that has been idle longest"
        for wire in (known, new, idle, refused, *later):
            await wire.close()
        unread.close()


async def test_requests_without_a_pause_hold_no_connection() -> None:
    """Between two requests that have come already a connection may be closed for another's sake."""
    async with running(Site(limits=Limits(connections=4))) as site:
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                busy = stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
                busy.sendall(request("GET", "/elsewhere") * 200)
            await until(lambda: len(site.metrics.requests) >= 4)
            other = await Wire.open(site.port)
            assert (await other.request("POST", PATH, PING)).code == 200
            await other.close()


async def test_a_fault_in_the_sweep_ends_no_other_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits outlive whatever goes wrong with one connection."""

    def broken(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with running(Site(limits=Limits(first_request=0.1, body_seconds=0.1))) as site:
        with monkeypatch.context() as patch, capture_logs() as lines:
            patch.setattr(Exchange, "overdue", broken)
            slow = await Wire.open(site.port)
            await slow.send(request("POST", PATH, Content_Length="100"))
            await until(lambda: lines)
        assert [line["event"] for line in lines] == ["connection_not_closed"]
        silent = await Wire.open(site.port)
        assert await silent.closed() == b""
        await slow.close()
        await silent.close()
