"""Keys that wait for their time: the earliest request wins, and a backoff is kept to.

Pure: times are the caller's numbers, the timer is the caller's.
"""

import heapq
from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

_SLACK = 64  # stale heap entries that are never worth a rebuild


class Delay(NamedTuple, Generic[K]):
    """One key that is not to run before its time."""

    due: float
    order: int
    """Unique, so that comparing two delays never comes to comparing their keys."""
    key: K
    flow: Hashable
    """Where the key takes its turn once it is due."""
    backoff: bool
    """The key has failed: asking for it again does not bring it forward."""


class Delays(Generic[K]):
    """Delayed keys by time, each at most once.

    Invariants, checked by ``validate``: every delay stands in the heap; the heap holds at most as many
    cancelled delays as valid ones, and a few more; only delayed keys have joined flows.
    """

    def __init__(self) -> None:
        self._by_key: dict[K, Delay[K]] = {}
        self._joined: dict[
            K, dict[Hashable, None]
        ] = {}  # flows besides the delay's own, for the few that have any
        self._heap: list[Delay[K]] = []  # also holds cancelled and replaced ones, skipped when they surface
        self._order = 0

    def __len__(self) -> int:
        """Return the number of delayed keys."""
        return len(self._by_key)

    def __contains__(self, key: K) -> bool:
        return key in self._by_key

    def get(self, key: K) -> Delay[K] | None:
        """Return the delay of a key, or None."""
        return self._by_key.get(key)

    def put(self, key: K, due: float, flow: Hashable, *, backoff: bool) -> None:
        """Delay a key until ``due``. Of two delays the earlier stands, but a backoff before any other."""
        known = self._by_key.get(key)
        if known is not None and (known.due <= due if known.backoff == backoff else known.backoff):
            return
        self._order += 1
        delay = Delay(due, self._order, key, flow, backoff)
        self._by_key[key] = delay
        heapq.heappush(self._heap, delay)
        self._compact()

    def join(self, key: K, flow: Hashable) -> None:
        """Have a delayed key take a turn in ``flow`` too once it is due."""
        if self._by_key[key].flow != flow:
            self._joined.setdefault(key, {})[flow] = None

    def cancel(self, key: K) -> None:
        """Forget the delay of a key, if there is one."""
        if self._by_key.pop(key, None) is not None:
            self._joined.pop(key, None)
            self._compact()

    def next_due(self) -> float | None:
        """Return when the earliest delay ends, or None."""
        self._skip_stale()
        return self._heap[0].due if self._heap else None

    def pop_due(self, now: float) -> tuple[K, Iterable[Hashable]] | None:
        """Remove the earliest delay that has ended at ``now``; return its key and flows, or None."""
        self._skip_stale()
        if not self._heap or self._heap[0].due > now:
            return None
        delay = heapq.heappop(self._heap)
        del self._by_key[delay.key]
        self._compact()
        return delay.key, (delay.flow, *self._joined.pop(delay.key, ()))

    def clear(self) -> None:
        """Forget every delay."""
        self._by_key.clear()
        self._joined.clear()
        self._heap.clear()

    def validate(self) -> None:
        """Check every invariant; raises AssertionError. For tests: walks everything."""
        in_heap = {delay.order for delay in self._heap}
        for key, delay in self._by_key.items():
            assert delay.key == key  # noqa: S101
            assert delay.order in in_heap  # noqa: S101
        assert len(self._heap) <= 2 * len(self._by_key) + _SLACK  # noqa: S101
        assert self._joined.keys() <= self._by_key.keys()  # noqa: S101

    def _skip_stale(self) -> None:
        while self._heap and self._by_key.get(self._heap[0].key) is not self._heap[0]:
            heapq.heappop(self._heap)

    def _compact(self) -> None:
        # Without this a key that is delayed by an hour and asked for at once, over and over, would leave an
        # entry behind each time. It halves the heap at least, so its cost is shared by what led to it.
        if len(self._heap) > 2 * len(self._by_key) + _SLACK:
            self._heap = list(self._by_key.values())
            heapq.heapify(self._heap)
