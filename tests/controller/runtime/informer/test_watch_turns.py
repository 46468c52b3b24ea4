"""An informer's turn to open a watch."""

import asyncio
from typing import Literal

from controller.runtime.informer.watch_turns import HELD_SECONDS, WatchTurn
from tests.support.clock import FakeClock


class OneTurn(asyncio.Semaphore):
    """A single turn."""

    def __init__(self) -> None:
        super().__init__(1)
        self.free = 1
        self.given = asyncio.Event()

    async def acquire(self) -> Literal[True]:
        while not self.free:
            self.given.clear()
            await self.given.wait()
        self.free -= 1
        return True

    def release(self) -> None:
        self.free += 1
        self.given.set()


async def test_a_turn_is_given_back_once() -> None:
    """An accepted watch gives it back, and its end, later, does not give back another's."""
    turns = OneTurn()
    mine, other = WatchTurn(turns, FakeClock()), WatchTurn(turns, FakeClock())
    await mine.begin()
    assert turns.free == 0
    mine.end()
    await other.begin()
    mine.end()
    assert turns.free == 0
    other.end()
    assert turns.free == 1


async def test_whoever_waits_gives_nothing_back() -> None:
    """An informer that is stopped while it waits for its turn has none to give."""
    turns = OneTurn()
    mine, other = WatchTurn(turns, FakeClock()), WatchTurn(turns, FakeClock())
    await mine.begin()
    waiting = asyncio.create_task(other.begin())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    other.end()
    assert turns.free == 0


async def test_a_server_that_does_not_answer_holds_a_turn_for_a_second() -> None:
    """Then the next one has it; a late end, or a second turn, gives back nobody else's."""
    clock, turns = FakeClock(), OneTurn()
    mine, other = WatchTurn(turns, clock), WatchTurn(turns, clock)
    await mine.begin()
    waiting = asyncio.create_task(other.begin())
    await clock.advance(HELD_SECONDS - 0.1)
    assert not waiting.done()
    await clock.advance(0.2)
    assert waiting.done()
    mine.end()
    assert turns.free == 0
    other.end()
    await mine.begin()
    await clock.advance(HELD_SECONDS - 0.1)
    assert turns.free == 0
    await clock.advance(0.2)
    assert turns.free == 1


async def test_without_turns_nobody_waits() -> None:
    """A watch may be opened at once."""
    opening = WatchTurn(None, FakeClock())
    await opening.begin()
    opening.end()
