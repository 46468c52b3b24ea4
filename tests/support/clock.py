"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

from controller.runtime.clock import Clock

SETTLE_ROUNDS = 25
"""Turns of the event loop after each timer: enough for a woken task to reach its next wait."""


class FakeTimer:
    """A callback of a FakeClock, due at ``due`` on its monotonic clock."""

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never call back."""
        self.callback = None


class FakeClock(Clock):
    """A Clock moved by ``advance``; nothing ever happens on it by itself.

    ``monotonic`` and ``time`` start at unlike numbers, so that code which mixes them up shows it.
    """

    def __init__(self, monotonic: float = 1_000.0, time: float = 1_800_000_000.0) -> None:
        self._now = monotonic
        self._offset = time - monotonic
        self._order = itertools.count()
        self._heap: list[tuple[float, int, FakeTimer]] = []
        self.slept: list[float] = []
        """Every ``sleep`` asked for so far, in seconds, in order."""

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now + self._offset

    def set_wall_clock_by(self, seconds: float) -> None:
        """Have somebody set the wall clock forward, or back; the monotonic one goes on as if nothing was."""
        self._offset += seconds

    def freeze(self, seconds: float) -> None:
        """Let time pass in which nothing runs: what was due meanwhile is late."""
        self._now += seconds

    def call_later(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self._now + max(seconds, 0.0), callback)
        heapq.heappush(self._heap, (timer.due, next(self._order), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self.call_later(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    @property
    def pending(self) -> list[float]:
        """Seconds until each sleep and timer that is still waiting, soonest first."""
        return sorted(due - self._now for due, _, timer in self._heap if timer.callback is not None)

    async def advance(self, seconds: float) -> None:
        """Move on by ``seconds``, running what falls due in order and letting tasks run after each.

        What those tasks schedule within the same stretch runs too, at its own time.
        """
        target = self._now + seconds
        await self.settle()
        while self._heap and self._heap[0][0] <= target:
            due, _, timer = heapq.heappop(self._heap)
            if timer.callback is None:
                continue
            self._now = max(self._now, due)
            callback, timer.callback = timer.callback, None
            callback()
            await self.settle()
        self._now = target
        await self.settle()

    async def settle(self) -> None:
        """Let every task that can run do so, without moving the time."""
        for _ in range(SETTLE_ROUNDS):
            await asyncio.sleep(0)
