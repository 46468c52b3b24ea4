"""Times at which something is due, for many things at once, nearly all of which end before.

The event loop's own timers cost each delivery of a burst some 3 % of all that it takes; here those that are
due at about the same time share one.
"""

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

GRAIN = 0.02
"""Seconds: by so much may an alarm be late."""

K = TypeVar("K", bound=Hashable)


class Alarms(Generic[K]):
    """Calls ``due`` with each key whose time has come, unless it was discarded before."""

    def __init__(self, due: Callable[[K], None]) -> None:
        self._due = due
        self._at: dict[K, int] = {}
        """When each key is due, in grains."""
        self._keys: dict[int, dict[K, None]] = {}
        """What is due at a time for which the event loop has a timer, in the order in which it was added."""

    def __len__(self) -> int:
        return len(self._at)

    def add(self, key: K, seconds: float) -> None:
        """Let ``key``, which must not be there, be due in so many seconds. Needs a running loop."""
        loop = asyncio.get_running_loop()
        at = math.ceil((loop.time() + seconds) / GRAIN)
        keys = self._keys.get(at)
        if keys is None:
            keys = self._keys[at] = {}
            loop.call_at(at * GRAIN, self._ring, at)
        keys[key] = None
        self._at[key] = at

    def discard(self, key: K) -> None:
        """Forget ``key``; does nothing if it isn't there."""
        at = self._at.pop(key, None)
        if at in self._keys:
            self._keys[at].pop(key, None)

    def clear(self) -> list[K]:
        """Forget everything, and return it."""
        keys = list(self._at)
        for key in keys:
            self.discard(key)
        return keys

    def _ring(self, at: int) -> None:
        soon = asyncio.get_running_loop().call_soon
        for key in self._keys.pop(at):
            soon(self._tell, key, at)  # each by itself: a fault in one is not the others'

    def _tell(self, key: K, at: int) -> None:
        if self._at.get(key) == at:
            del self._at[key]
            self._due(key)
