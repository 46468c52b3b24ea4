"""Recent deliveries by repository key, for Warehouses that we learn of too late.

A delivery may come before its Warehouse, or the Warehouse's subscription, is seen: the watch is slow, silent
or broken. So a Warehouse that enters a key is refreshed if a delivery for that key came in the last five
minutes or, after a break, since five minutes before the watch's last sign of life.
"""

import hashlib
from collections import OrderedDict
from typing import NamedTuple

WINDOW = 300.0
"""Seconds that a delivery is remembered while the watch is alive."""
PER_SCOPE = 10_000
"""Keys remembered for one scope, 3 MB: a sender who invents repositories pushes out only those of his own
Project."""
TOTAL = 200_000
"""Keys remembered in all, 60 MB."""


class Recent(NamedTuple):
    """The latest delivery for one key in one scope."""

    received: float
    """Monotonic time in seconds."""
    receiver: str
    """Its receiver's name."""


class RecentDeliveries:
    """Bounded memory of (scope, key) -> latest delivery. A scope is a namespace, or None for all of them.

    A key is kept as a digest, so that what it costs does not depend on what a sender wrote.
    """

    def __init__(self) -> None:
        self._scopes: dict[str | None, OrderedDict[bytes, Recent]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def remember(self, scope: str | None, key: str, receiver: str, received: float) -> None:
        """Note a delivery; the latest one for a key replaces the earlier."""
        digest = _digest(key)
        keys = self._scopes.setdefault(scope, OrderedDict())
        earlier = keys.pop(digest, None)
        if earlier is None:
            self._count += 1
        elif earlier.received > received:
            received = earlier.received
        keys[digest] = Recent(received, receiver)
        if len(keys) > PER_SCOPE:
            self._drop_oldest(scope)
        elif self._count > TOTAL:
            # The search for the largest takes time: those who have more than their share do not cause it.
            large = len(keys) * len(self._scopes) > TOTAL
            self._drop_oldest(scope if large else max(self._scopes, key=lambda each: len(self._scopes[each])))

    def find(self, key: str, namespace: str, since: float) -> list[tuple[str | None, Recent]]:
        """Return the deliveries since a moment whose scope covers this namespace."""
        digest = _digest(key)
        found = []
        for scope in (namespace, None):
            keys = self._scopes.get(scope)
            recent = keys.get(digest) if keys is not None else None
            if recent is not None and recent.received >= since:
                found.append((scope, recent))
        return found

    def prune(self, before: float) -> None:
        """Forget deliveries from before a moment. Cheap where there are none."""
        for scope in list(self._scopes):
            keys = self._scopes[scope]
            while keys and next(iter(keys.values())).received < before:
                keys.popitem(last=False)
                self._count -= 1
            if not keys:
                del self._scopes[scope]

    def _drop_oldest(self, scope: str | None) -> None:
        self._scopes[scope].popitem(last=False)
        self._count -= 1


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
