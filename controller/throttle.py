"""A token bucket: bounds the rate of requests that are likely to be refused."""

from controller.runtime.clock import Clock


class TokenBucket:
    """Lets ``rate`` takers through in a second, and ``burst`` at once after a quiet time."""

    def __init__(self, clock: Clock, *, rate: float, burst: float) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = clock.monotonic()

    async def take(self) -> None:
        """Return when it is one's turn. Who waits has its place already: others queue behind."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1.0
        if self._tokens < 0.0:
            await self._clock.sleep(-self._tokens / self._rate)
