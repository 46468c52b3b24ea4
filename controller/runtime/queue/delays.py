"""Keys that wait for their time. Pure: times are the caller's numbers, the timer is the caller's."""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from controller.runtime.queue.flows import Flow

K = TypeVar("K", bound=Hashable)

_SLACK = 64  # stale heap entries that are never worth a rebuild


class Delay(NamedTuple):
    """Why a key is not to run before its time."""

    due: float
    order: int
    """Tells this delay's entry in the heap from those of earlier delays of the key."""
    flows: tuple[Flow, ...]
    """Where the key takes its turns once it is due."""
    held: bool
    """Asking for the key again does not bring it forward."""


class Delays(Generic[K]):
    """Delayed keys by time, each at most once.

    Invariants, checked by ``validate``: every delay stands in the heap; the heap holds at most as many
    cancelled delays as valid ones, and a few more.
    """

    def __init__(self) -> None:
        self._by_key: dict[K, Delay] = {}
        self._heap: list[tuple[float, int, K]] = []  # also cancelled ones, skipped when they surface
        self._order = 0  # unique, so that comparing two entries never comes to comparing their keys

    def __contains__(self, key: K) -> bool:
        return key in self._by_key

    def __iter__(self) -> Iterator[tuple[K, Delay]]:
        return iter(self._by_key.items())

    def get(self, key: K) -> Delay | None:
        """Return the delay of a key, or None."""
        return self._by_key.get(key)

    def put(self, key: K, due: float, flows: tuple[Flow, ...], *, held: bool) -> None:
        """Delay a key until ``due``. Of two delays the earlier stands, but a held one before any other."""
        known = self._by_key.get(key)
        if known is not None:
            flows = tuple(dict.fromkeys((*known.flows, *flows)))
            if known.due <= due if known.held == held else known.held:
                self._by_key[key] = known._replace(flows=flows)
                return
        self._order += 1
        self._by_key[key] = Delay(due, self._order, flows, held)
        heapq.heappush(self._heap, (due, self._order, key))
        self._compact()

    def join(self, key: K, flow: Flow) -> None:
        """Have a delayed key take a turn in ``flow`` too once it is due."""
        delay = self._by_key[key]
        if flow not in delay.flows:
            self._by_key[key] = delay._replace(flows=(*delay.flows, flow))

    def cancel(self, key: K) -> None:
        """Forget the delay of a delayed key."""
        del self._by_key[key]
        self._compact()

    def next_due(self) -> float | None:
        """Return when the earliest delay ends, or None."""
        while self._heap:
            due, order, key = self._heap[0]
            delay = self._by_key.get(key)
            if delay is not None and delay.order == order:
                return due
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now: float) -> tuple[K, tuple[Flow, ...]] | None:
        """Remove the earliest delay that has ended at ``now``; return its key and flows, or None."""
        due = self.next_due()
        if due is None or due > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        flows = self._by_key.pop(key).flows
        self._compact()
        return key, flows

    def clear(self) -> None:
        """Forget every delay."""
        self._by_key.clear()
        self._heap.clear()

    def validate(self) -> None:
        """Check every invariant; raises AssertionError. For tests: walks everything."""
        in_heap = {(order, key) for _, order, key in self._heap}
        assert in_heap >= {(delay.order, key) for key, delay in self._by_key.items()}  # noqa: S101
        assert len(self._heap) <= 2 * len(self._by_key) + _SLACK  # noqa: S101

    def _compact(self) -> None:
        # Without this a key that is delayed by an hour and asked for at once, over and over, would leave an
        # entry behind each time. It halves the heap at least, so its cost is shared by what led to it.
        if len(self._heap) > 2 * len(self._by_key) + _SLACK:
            self._heap = [(delay.due, delay.order, key) for key, delay in self._by_key.items()]
            heapq.heapify(self._heap)
