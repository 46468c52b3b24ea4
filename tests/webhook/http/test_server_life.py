"""The public server's start, drain and end."""

import asyncio
import errno
import socket

import pytest
from structlog.testing import capture_logs

from tests.support.fakes import FakeRefresh
from tests.support.site import PATH, PING, PUSH, Site, running
from tests.support.wire import Wire, request, until
from webhook.http.server import ServerError


async def test_end_that_nobody_waits_for_closes_connections_all_the_same() -> None:
    """A second SIGTERM ends the wait for answers, not the closing."""
    async with running(Site(FakeRefresh(1))) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await until(lambda: site.endpoint.gate.requests == 1)
        site.server.stop_accepting()
        ending = asyncio.ensure_future(site.server.finished(60.0))
        await asyncio.sleep(0)
        ending.cancel()
        assert await wire.closed() == b""
        await wire.close()


# --- start and end ---


async def test_busy_port_is_one_clear_line() -> None:
    """Who starts it twice learns what is wrong."""
    async with running(Site()) as site:
        with pytest.raises(ServerError) as raised:
            Site(port=site.port).server.start()
        assert "the port is in use" in str(raised.value)
        assert str(site.port) in str(raised.value)


async def test_drain_asks_senders_to_connect_anew() -> None:
    """While the endpoint is being removed everything is served, and each connection ends with its answer."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        assert "connection" not in (await wire.request("POST", PATH, PING)).headers
        site.server.begin_drain()
        reply = await wire.request("POST", PATH, PING)
        assert (reply.code, reply.headers["connection"]) == (200, "close")
        assert await wire.closed() == b""
        new = await Wire.open(site.port)
        assert (await new.request("POST", PATH, PING)).code == 200
        await wire.close()
        await new.close()


async def test_stop_answers_what_was_accepted() -> None:
    """No accepted request is left without its answer; new ones are refused or find no listener."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        busy, idle, open_ = [await Wire.open(site.port) for _ in range(3)]
        assert (await idle.request("GET", "/healthz")).code == 200
        assert (await open_.request("GET", "/healthz")).code == 200
        await busy.send(request("POST", PATH, PUSH))
        await until(lambda: site.endpoint.gate.requests == 1)
        site.server.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            await Wire.open(site.port)
        refused = await open_.request("POST", PATH, PING)
        assert (refused.code, refused.headers["connection"]) == (503, "close")
        assert "retry-after" in refused.headers
        finished = asyncio.ensure_future(site.server.finished(5.0))
        await asyncio.sleep(0)
        refresh.persist()
        reply = await busy.reply()
        assert (reply.code, reply.headers["connection"]) == (200, "close")
        assert await finished
        assert await idle.closed() == b""
        for wire in (busy, idle, open_):
            await wire.close()


async def test_connection_that_waits_to_be_accepted_is_taken_along() -> None:
    """A sender whose connection stands in the kernel's queue at the stop is answered, not reset."""
    async with running(Site()) as site:
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.sendall(request("POST", PATH, PING))
            site.server.stop_accepting()  # the event loop had no turn to accept it
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            answer = await loop.sock_recv(client, 4096)
        assert answer.startswith(b"HTTP/1.1 503 ")


async def test_stop_gives_up_after_the_timeout() -> None:
    """What is not answered in time is left to the journal."""
    async with running(Site(FakeRefresh(1))) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await until(lambda: site.endpoint.gate.requests == 1)
        site.server.stop_accepting()
        assert not await site.server.finished(0.05)
        assert await wire.closed() == b""
        assert [call[0] for call in site.journal.calls] == ["record"]
        await wire.close()


async def test_no_file_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process does not spin: it says so, waits a moment, and accepts again."""
    monkeypatch.setattr("webhook.http.listener.ACCEPT_PAUSE_SECONDS", 0.05)
    async with running(Site()) as site:
        accept = socket.socket.accept
        free = asyncio.get_running_loop().time() + 0.12

        def exhausted(listening: socket.socket) -> object:
            if asyncio.get_running_loop().time() < free:
                raise OSError(errno.EMFILE, "Too many open files")
            return accept(listening)

        monkeypatch.setattr(socket.socket, "accept", exhausted)
        with capture_logs() as lines:
            wire = await Wire.open(site.port)
            assert (await wire.request("POST", PATH, PING)).code == 200
        assert 1 <= [line["event"] for line in lines].count("accept_failed") <= 3
        await wire.close()


# --- TLS ---
