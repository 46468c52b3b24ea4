"""Limits how many informers open a watch at the same time."""

from typing import Protocol

from controller.runtime.clock import Clock, Timer

HELD_SECONDS = 1.0
"""A turn is held at most this long. Opening a watch takes milliseconds; where the API server does not answer,
the others need not wait for the time-out."""


class Turns(Protocol):
    """A limited number of turns, such as an ``asyncio.Semaphore``."""

    async def acquire(self) -> object:
        """Wait for a turn, which must be given back."""

    def release(self) -> None:
        """Give it back."""


class WatchTurn:
    """Holds one of ``turns`` while a watch is being opened; without ``turns`` there is no limit."""

    def __init__(self, turns: Turns | None, clock: Clock) -> None:
        self._turns = turns
        self._clock = clock
        self._held: Timer | None = None
        """Set while a turn is held: the timer that ends it."""

    async def begin(self) -> None:
        """Wait until the watch may be opened."""
        if self._turns is not None:
            await self._turns.acquire()
            self._held = self._clock.call_later(HELD_SECONDS, self.end)

    def end(self) -> None:
        """Give the turn back, if it is held: the watch is open, or never will be."""
        if self._turns is not None and self._held is not None:
            self._held.cancel()
            self._held = None
            self._turns.release()
