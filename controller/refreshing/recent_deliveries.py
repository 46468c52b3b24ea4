"""Recent deliveries by repository key, for Warehouses that we learn of too late.

A delivery may come before its Warehouse, or the Warehouse's subscription, is seen: the watch is slow, silent
or broken. So whoever enters a key asks here whether a delivery for that key came lately. "Lately" is five
minutes, and longer after a break: since five minutes before the watch's last sign of life.
"""

import hashlib
from collections import OrderedDict
from typing import NamedTuple

WINDOW = 300.0
"""Seconds that a delivery is remembered while the watch is alive."""
PER_SCOPE = 10_000
"""Keys remembered for one scope: a sender who invents repositories pushes out only his own Project's."""
TOTAL = 200_000
"""Keys remembered in all, some 100 MB at worst."""
KEY_CHARACTERS = 256
"""A longer key, which no repository of Azure's has, is remembered by its digest."""


class Recent(NamedTuple):
    """The latest delivery for one key in one scope."""

    received: float
    """Unix time in seconds."""
    receiver: str
    """Its receiver's name."""


class RecentDeliveries:
    """Bounded memory of (scope, key) -> latest delivery. A scope is a namespace, or None for all of them."""

    def __init__(self) -> None:
        self._scopes: dict[str | None, OrderedDict[str, Recent]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def remember(self, scope: str | None, key: str, receiver: str, received: float) -> None:
        """Note a delivery; the latest one for a key replaces the earlier."""
        key = _bounded(key)
        keys = self._scopes.setdefault(scope, OrderedDict())
        earlier = keys.pop(key, None)
        if earlier is None:
            self._count += 1
        elif earlier.received > received:
            received = earlier.received
        keys[key] = Recent(received, receiver)
        if len(keys) > PER_SCOPE:
            self._drop_oldest(scope)
        elif self._count > TOTAL:
            self._drop_oldest(max(self._scopes, key=lambda each: len(self._scopes[each])))

    def find(self, key: str, namespace: str, since: float) -> list[tuple[str | None, Recent]]:
        """Return the deliveries since a Unix time whose scope covers this namespace."""
        key = _bounded(key)
        found = []
        for scope in (namespace, None):
            keys = self._scopes.get(scope)
            recent = keys.get(key) if keys is not None else None
            if recent is not None and recent.received >= since:
                found.append((scope, recent))
        return found

    def prune(self, before: float) -> None:
        """Forget deliveries from before a Unix time. Cheap where there are none."""
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


def _bounded(key: str) -> str:
    if len(key) <= KEY_CHARACTERS:
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
