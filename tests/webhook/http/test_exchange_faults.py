"""Senders that disconnect, faults of ours, and what never comes out."""

import asyncio
import json
import time

import pytest
import structlog
from structlog.testing import capture_logs

from tests.support.aio import run
from tests.support.fakes import FakeRefresh
from tests.support.site import PATH, PING, PUSH, Site, running
from tests.support.wire import Wire, request, until


async def test_sender_that_disconnects_changes_nothing() -> None:
    """Accepted work is finished, and its outcome is in the journal."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await until(lambda: site.dispatcher.dispatched)
        await wire.close()
        await asyncio.sleep(0.05)
        assert site.endpoint.gate.requests == 1
        refresh.persist()
        await until(lambda: site.journal.calls[-1][0] == "finish")
        await until(lambda: site.endpoint.gate.requests == 0)
        await until(lambda: site.server.connections == 0)


async def test_unanswered_at_shutdown_goes_on() -> None:
    """A sender that can't be answered in time costs nothing: the outcome still reaches the journal."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await until(lambda: site.dispatcher.dispatched)
        site.server.stop_accepting()
        assert not await site.server.finished(0.0)
        assert await wire.closed() == b""
        refresh.persist()
        await until(lambda: site.journal.calls[-1][0] == "finish")
        await wire.close()


async def test_sender_that_has_ended_its_side_gets_its_answer() -> None:
    """A sender may say that it will send no more and wait for the answer, which then ends the connection."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await until(lambda: site.dispatcher.dispatched)
        wire.writer.write_eof()
        began = time.process_time()
        await asyncio.sleep(0.2)
        assert time.process_time() - began < 0.1, "the end of its side is looked at once, not again and again"
        refresh.persist()
        assert (await wire.reply()).code == 200
        assert await wire.closed() == b""
        await wire.close()
        await until(lambda: site.server.connections == 0)


async def test_sender_that_ends_its_side_at_once_gets_its_answer() -> None:
    """The same where the end comes along with the request."""
    async with running(Site()) as site:
        for _ in range(10):
            wire = await Wire.open(site.port)
            wire.writer.write(request("POST", PATH, PUSH))
            wire.writer.write_eof()
            assert (await wire.reply()).code == 200
            assert await wire.closed() == b""
            await wire.close()


async def test_sender_that_disconnects_within_its_body_leaves_nothing() -> None:
    """Half an event is no event, and its place is free again."""
    async with running(Site()) as site:
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, Content_Length="100") + PING[:20])
        await until(lambda: site.endpoint.gate.bytes == 100)
        await wire.close()
        await until(lambda: site.endpoint.gate.requests == 0)
        assert site.endpoint.gate.bytes == 0
        assert site.journal.calls == []
        assert site.metrics.requests == []


@pytest.mark.parametrize("where", ["find", "dispatch"])
async def test_a_fault_of_ours_is_a_500_that_tells_nothing(where: str) -> None:
    """The sender gets JSON and an id; the log says what and where, but not what the request held."""
    async with running(Site()) as site:

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError(f"{PATH} example.azurecr.io")

        target = site.lookup if where == "find" else site.dispatcher
        setattr(target, where, broken)
        wire = await Wire.open(site.port)
        with capture_logs() as lines:
            reply = await wire.request("POST", PATH, PUSH)
        assert reply.code == 500
        assert set(reply.json) == {"error"}
        failed = lines[0]
        assert (failed["event"], failed["error"]) == ("request_failed", "RuntimeError")
        assert failed["id"] == reply.headers["x-delivery-id"]
        assert "test_exchange_faults.py" in failed["where"][-1]
        assert PATH not in json.dumps(lines)
        delattr(target, where)
        assert (await wire.request("POST", PATH, PING)).code == 200, "the connection goes on"
        await wire.close()


async def test_a_fault_while_answering_is_a_500_and_the_delivery_still_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sender is told, the work goes on, and nothing of it stays open until a restart."""
    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        monkeypatch.delattr("webhook.answers.refreshed")
        wire = await Wire.open(site.port)
        await wire.send(request("POST", PATH, PUSH))
        await until(lambda: site.dispatcher.dispatched)
        refresh.persist()
        assert (await wire.reply()).code == 500
        await until(lambda: site.journal.calls[-1][0] == "finish")
        await until(lambda: len(site.deliveries) == site.endpoint.gate.bytes == 0)
        await wire.close()


async def test_a_log_that_fails_leaves_nobody_unanswered_and_nothing_open() -> None:
    """Whatever becomes of the line, the answer is written, and a delivery holds no room after its end."""

    def full(*_: object) -> str:
        raise OSError("no space left on device")

    refresh = FakeRefresh(1)
    async with running(Site(refresh)) as site:
        structlog.configure(processors=[full])
        try:
            for data, code in ((request("POST", PATH, PING), 200), (request("GET", PATH), 405)):
                wire = await Wire.open(site.port)
                await wire.send(data)
                assert (await wire.reply()).code == code
                await wire.close()
            wire = await Wire.open(site.port)
            await wire.send(request("POST", PATH, PUSH))
            await until(lambda: site.dispatcher.dispatched)
            refresh.persist()
            assert (await wire.reply()).code == 200
            await until(lambda: not len(site.deliveries))
            await until(lambda: site.endpoint.gate.requests == site.endpoint.gate.bytes == 0)
            await wire.close()
        finally:
            structlog.reset_defaults()


def test_the_path_never_comes_out(caplog: pytest.LogCaptureFixture) -> None:
    """The URL is the credential: no log line at any level, no metric and no answer holds it or the factor."""
    caplog.set_level("DEBUG")
    digest, factor = PATH.removeprefix("/azure/"), "Basic c2VjcmV0"

    async def scenario() -> list[object]:
        seen: list[object] = []
        async with running(Site(FakeRefresh(1, failing=True), accepted=(factor,))) as site:
            with capture_logs() as lines:
                for data in (
                    request("POST", PATH, PUSH, Authorization=factor),
                    request("POST", PATH, PING, Authorization=factor),
                    request("POST", PATH, b"[", Authorization=factor),
                    request("POST", PATH, PUSH, Authorization=factor + "x"),
                    request("POST", PATH + "/", PUSH, Authorization=factor),
                    request("GET", PATH, Authorization=factor),
                    request("POST", PATH, Content_Length="x", Authorization=factor),
                    request("POST", PATH, Authorization=factor + "\0"),
                ):
                    wire = await Wire.open(site.port)
                    await wire.send(data)
                    seen.append(await wire.reply())
                    await wire.close()
            seen += [lines, site.metrics.requests]
        return seen

    everything = repr(run(scenario())) + caplog.text
    assert "delivery" in everything
    assert digest not in everything
    assert factor not in everything
