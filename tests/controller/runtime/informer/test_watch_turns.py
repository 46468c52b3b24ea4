"""An informer's turn to open a watch."""

import asyncio

from controller.runtime.informer.watch_turns import WatchTurn


class OneTurn:
    """A single turn."""

    def __init__(self) -> None:
        self.free = 1
        self.given = asyncio.Event()

    async def take(self) -> None:
        while not self.free:
            self.given.clear()
            await self.given.wait()
        self.free -= 1

    def give(self) -> None:
        self.free += 1
        self.given.set()


async def test_a_turn_is_given_back_once() -> None:
    """An accepted watch gives it back, and its end, later, does not give back another's."""
    turns = OneTurn()
    mine, other = WatchTurn(turns), WatchTurn(turns)
    await mine.begin()
    assert turns.free == 0
    mine.end()
    await other.begin()
    mine.end()
    assert turns.free == 0
    other.end()
    assert turns.free == 1


async def test_whoever_waits_says_so_and_gives_nothing_back() -> None:
    """An informer that is stopped while it waits for its turn has none to give."""
    turns = OneTurn()
    mine, other = WatchTurn(turns), WatchTurn(turns)
    await mine.begin()
    waiting = asyncio.create_task(other.begin())
    await asyncio.sleep(0)
    assert other.waits
    assert not mine.waits
    waiting.cancel()
    await asyncio.wait([waiting])
    other.end()
    assert turns.free == 0


async def test_without_turns_nobody_waits() -> None:
    """A watch may be opened at once."""
    opening = WatchTurn(None)
    await opening.begin()
    assert not opening.waits
    opening.end()
