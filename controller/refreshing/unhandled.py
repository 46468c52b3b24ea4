"""Follows which refreshes Kargo has picked up: nothing else shows a user that its controller does not.

Kargo copies the refresh annotation into ``status.lastHandledRefresh`` when it has run discovery. A Warehouse
whose two values differ for long belongs to a controller that is down, or to a shard that has none. Costs
memory only for Warehouses with a refresh outstanding.
"""

from typing import NamedTuple

from controller.kargo.objects import Target
from controller.kargo.warehouse import Warehouse
from controller.observability.metrics import Metrics
from controller.runtime.clock import Clock


class _Pending(NamedTuple):
    value: str
    """The annotation."""
    persisted: float
    """When it was persisted, as well as we know; like ``since`` a monotonic time in seconds."""
    since: float
    """Since when Kargo has handled nothing, although something was asked."""
    handled: str
    """What Kargo had handled last."""


class HandledTracker:
    """A handler of the Warehouse informer; every replica sees the same."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._pending: dict[Target, _Pending] = {}

    def __len__(self) -> int:
        """Return the number of Warehouses with a refresh that Kargo has not handled."""
        return len(self._pending)

    def oldest(self) -> float:
        """Return how long (seconds) Kargo has left the longest waiting Warehouse unhandled; 0 for none."""
        since = min((pending.since for pending in self._pending.values()), default=None)
        return 0.0 if since is None else max(0.0, self._clock.monotonic() - since)

    def added(self, obj: Warehouse) -> None:
        """Note a Warehouse that is outstanding when it is first seen."""
        if obj.requested:
            self._ask(obj, self._clock.monotonic() - _age(obj.refreshed, self._clock.time()))

    def updated(self, old: Warehouse, new: Warehouse) -> None:
        """Note what Kargo handled, or what somebody asked for."""
        pending = self._pending.get(new.target)
        if not new.requested:
            if pending is not None:
                del self._pending[new.target]
                self._metrics.handled_lag.observe(max(0.0, self._clock.monotonic() - pending.persisted))
            return
        if pending is None or pending.value != new.requested or pending.handled != new.handled:
            self._ask(new, self._clock.monotonic())

    def deleted(self, obj: Warehouse) -> None:
        """Forget a Warehouse."""
        self._pending.pop(obj.target, None)

    def _ask(self, obj: Warehouse, now: float) -> None:
        before = self._pending.get(obj.target)
        if before is None:
            self._pending[obj.target] = _Pending(obj.requested, now, now, obj.handled)
            return
        # Asked again before the last was handled: the wait goes on, unless Kargo handled something between.
        since = before.since if before.handled == obj.handled else now
        persisted = before.persisted if before.value == obj.requested else now
        self._pending[obj.target] = _Pending(obj.requested, persisted, since, obj.handled)


def _age(refreshed: float, now: float) -> float:
    """Return the seconds from a refresh to ``now``, both Unix times; 0 if they are odd."""
    age = now - refreshed
    return age if 0.0 <= age <= 7 * 86_400 else 0.0
