"""The time, as a thing that is handed in: tests hand in one that jumps."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A callback that is due later."""

    def cancel(self) -> None:
        """Don't call back. Does nothing if that has happened already."""


class Clock:
    """The machine's clock: where all waiting and all timestamps come from. All times are in seconds."""

    def monotonic(self) -> float:
        """Return a time that never goes back and has no meaning but by difference."""
        return time.monotonic()

    def time(self) -> float:
        """Return the wall clock as Unix time: for people and for other machines, never for measuring."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; at zero or below, after giving other tasks a turn."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` on the running event loop after ``seconds``, never before this has returned."""
        return asyncio.get_running_loop().call_later(seconds, callback)
