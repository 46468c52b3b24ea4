"""When an informer is behind, and when it has caught up."""

import asyncio

from tests.controller.runtime.informer.informing import informing
from tests.support.apiserver import (
    ApiServer,
    Connection,
    bookmark,
    page,
    warehouse,
    watch,
)

A1, A2, B1 = warehouse("a", "1", value=1), warehouse("a", "2", value=2), warehouse("b", "1", value=1)


async def cut(connection: Connection) -> None:
    """Accept a watch and reset the connection. (A reset before that aiohttp answers by a second try.)"""
    await connection.head()
    connection.reset()


async def test_row_26_says_when_it_has_caught_up_after_a_break() -> None:
    """The last sign of life stands still through a break, while late events are handled, until a bookmark."""
    go = asyncio.Event()

    async def late(connection: Connection) -> None:
        await connection.head()
        await connection.event("MODIFIED", warehouse("a", "3"))
        await connection.event("MODIFIED", warehouse("a", "4"))
        await go.wait()
        await connection.event(*bookmark("9"))
        await asyncio.Event().wait()

    broken = asyncio.Event()

    async def breaks(connection: Connection) -> None:
        await connection.head()
        await connection.event("MODIFIED", A2)
        await broken.wait()
        connection.reset()

    async with informing(ApiServer(page([A1]), breaks, late)) as it:
        await it.until(lambda: it.names == ["a@2"])
        assert not it.behind()
        assert it.recorder.caught_up == 1
        life = it.informer.last_activity
        broken.set()
        await it.paused()
        assert it.behind()
        await it.clock.advance(0.1)
        seen: list[float] = []
        it.recorder.on_change = lambda: seen.append(it.informer.last_activity)
        await it.resume()
        await it.until(lambda: it.names == ["a@4"])
        assert seen == [life, life]
        assert it.behind()
        go.set()
        await it.until(lambda: it.informer.caught_up)
        assert it.informer.last_activity > life
        assert it.recorder.caught_up == 2


async def test_row_26_catches_up_without_a_bookmark() -> None:
    """Where no bookmark comes, ten seconds of an open watch end the break."""
    async with informing(ApiServer(page([A1]), cut, watch(("MODIFIED", A2)))) as it:
        await it.resume()
        await it.until(lambda: it.names == ["a@2"])
        assert it.behind()
        await it.clock.advance(9.9)
        assert it.behind()
        await it.clock.advance(0.2)
        assert not it.behind()
        assert it.recorder.caught_up == 2


async def test_row_26_an_event_after_a_long_silence_opens_a_break() -> None:
    """Events that a frozen connection held back are handled with the old sign of life in view."""
    go = asyncio.Event()

    async def frozen(connection: Connection) -> None:
        await connection.head()
        await connection.event("MODIFIED", A2)
        await go.wait()
        await connection.event("MODIFIED", warehouse("a", "3"))
        await connection.event("MODIFIED", warehouse("a", "4"))
        await asyncio.Event().wait()

    async with informing(ApiServer(page([A1]), frozen)) as it:
        await it.until(lambda: it.names == ["a@2"])
        life = it.informer.last_activity
        seen: list[float] = []
        it.recorder.on_change = lambda: seen.append(it.informer.last_activity)
        await it.clock.advance(600)
        go.set()
        await it.until(lambda: it.names == ["a@4"])
        assert seen == [life, life]
        await it.clock.advance(10)
        assert not it.behind()
        assert it.informer.last_activity == life + 610
