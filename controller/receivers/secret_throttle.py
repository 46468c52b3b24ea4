"""What holds back requests that are likely to be refused: a token bucket with ranks, and slots."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

from controller.runtime.clock import Clock, Timer

_ROUNDING = 1e-9
"""Tokens: a timer that fires exactly on time must not find a billionth missing."""


class TokenBucket:
    """Lets ``rate`` takers through in a second, and ``burst`` at once after a quiet time.

    Who waits is served by rank, the lowest first, and within a rank the latest first: a newcomer need not
    wait behind a thousand others. ``_timer`` is set exactly while somebody waits.
    """

    def __init__(self, clock: Clock, *, rate: float, burst: float) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = clock.monotonic()
        self._waiting: list[tuple[int, int, float, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._timer: Timer | None = None

    async def take(self, rank: int = 0) -> None:
        """Return when it is one's turn."""
        turn = asyncio.get_running_loop().create_future()
        self.call(lambda: None if turn.done() else turn.set_result(None), rank=rank)
        await turn

    def call(self, callback: Callable[[], None], *, rank: int = 0, cost: float = 1.0) -> None:
        """Call back, at once or later, when ``cost`` requests may be made."""
        heapq.heappush(self._waiting, (rank, -next(self._numbers), cost, callback))
        if self._timer is None:
            self._serve()

    def spend(self, cost: float = 1.0) -> None:
        """Count requests that were made without asking: whoever comes next waits for them."""
        self._refill()
        self._tokens -= cost

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now

    def _serve(self) -> None:
        self._timer = None
        self._refill()
        # What costs more than one is let through for one, and paid off before the next.
        while self._waiting and self._tokens >= 1.0 - _ROUNDING:
            _, _, cost, callback = heapq.heappop(self._waiting)
            self._tokens -= cost
            callback()
        if self._waiting and self._timer is None:
            self._timer = self._clock.call_later((1.0 - self._tokens) / self._rate, self._serve)


class Slots:
    """A semaphore that serves the latest comer first, as TokenBucket does."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[asyncio.Future[None]] = []

    async def take(self) -> None:
        """Take a slot; waits for a free one. It must be given back."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was handed over at the same moment
                self.give()
            raise

    def give(self) -> None:
        """Give a slot back, or add one."""
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
