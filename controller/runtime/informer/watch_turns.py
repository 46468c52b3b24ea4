"""Limits how many informers open a watch at the same time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from controller.runtime.clock import Clock, Timer

HELD_SECONDS = 1.0
"""A place is held at most this long. Opening a watch takes milliseconds; where the API server does not
answer, the others need not wait for the time-out."""


@dataclass(eq=False)
class WatchTurn:
    """One informer's turns: each holds one of ``places`` while a watch is being opened. None: no limit."""

    places: asyncio.Semaphore | None
    clock: Clock
    ended: Callable[[], None] = lambda: None
    """Is called at the end of each turn."""
    over: bool = field(default=False, init=False)
    """The last turn has ended: the watch is open, or could not be opened within HELD_SECONDS."""
    _held: Timer | None = field(default=None, init=False)
    """Set while a place is held: the timer that ends the turn."""

    async def begin(self) -> None:
        """Wait until the watch may be opened."""
        self.over = False
        if self.places is not None:
            await self.places.acquire()
            self._held = self.clock.call_later(HELD_SECONDS, self.end)

    def end(self) -> None:
        """Give the place back, if one is held: the watch is open, or never will be."""
        if self.places is not None and self._held is not None:
            self._held.cancel()
            self._held = None
            self.over = True
            self.places.release()
            self.ended()
