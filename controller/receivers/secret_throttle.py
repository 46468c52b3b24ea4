"""Spaces out requests that are likely to be refused."""

import asyncio

from controller.runtime.clock import Clock

PACE = 0.029
"""Seconds from one to the next. Together with the few that are not paced there are at most 40 of them in any
second, and 1,000 refused Secrets are tried again within 30 s."""
REPEATED = 5
"""Requests about what was refused before that may wait at a time: as many as first ones do."""


class RequestPacer:
    """Lets one request through every ``PACE`` seconds, first come, first served.

    Whoever is cancelled while waiting delays nobody.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pacing = asyncio.Lock()
        self._repeating = asyncio.Semaphore(REPEATED)
        self._due = clock.monotonic()
        """When the next one may go; what a late timer loses is made up for, up to one request."""

    async def first(self) -> None:
        """Wait until a request may be made that was not refused before."""
        async with self._pacing:
            self._due = max(self._due, self._clock.monotonic() - PACE)
            await self._clock.sleep(self._due - self._clock.monotonic())
            self._due += PACE

    async def again(self, requests: int = 1) -> None:
        """Wait until so many requests may be made about what was refused before.

        Only a few of these wait beside the first requests, so a thousand of them hold up none of those.
        """
        async with self._repeating:
            for _ in range(requests):
                await self.first()
