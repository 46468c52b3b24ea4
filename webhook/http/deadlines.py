"""Deadlines of equal length for many things at once, without a timer for each.

Every connection and every body has one, nearly all of which are met: a dict kept in the order of its
deadlines costs a request two dict operations, where a timer of the event loop costs ten times as much.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """Things that are overdue ``seconds`` after they were added; the one added first is due first.

    ``now`` is any monotonic time in seconds that is the same clock throughout.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._added: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._added)

    def __contains__(self, key: object) -> bool:
        return key in self._added

    def add(self, key: K, now: float) -> None:
        """Start the time of ``key``, anew if it was running."""
        self._added.pop(key, None)
        self._added[key] = now

    def discard(self, key: K) -> None:
        """Forget ``key``; does nothing if it isn't there."""
        self._added.pop(key, None)

    def oldest(self) -> K | None:
        """Return what is due first, or None."""
        return next(iter(self._added), None)

    def overdue(self, now: float) -> list[K]:
        """Remove and return what is due by now."""
        due = []
        for key, added in self._added.items():
            if now - added < self._seconds:
                break
            due.append(key)
        for key in due:
            del self._added[key]
        return due
