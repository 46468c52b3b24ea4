"""Keys that wait for their turn: round robin between flows, first in first out within one.

A flow is whatever should get its fair share: one flow with 10,000 waiting keys delays a key of another flow
by one key, not by 10,000. A key asked for by two flows stands in both, and is handed out once, at the turn
that comes first; with that its other turns are gone.

Every operation takes constant time, whatever the number of keys and flows (``take`` also unlinks the other
turns of its key, each of which a ``put`` has made). Pure: no clock, no event loop.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class _Turn(Generic[K]):
    """The place of one key in one flow: a link of the flow's chain."""

    # Chained by hand rather than held in a deque per flow: leaving from the middle is then one step, and a
    # flow of a single key (there may be 100,000) is not charged for a deque's block of 64.
    __slots__ = ("flow", "key", "next", "previous", "since", "turns")

    def __init__(self, key: K, since: float, flow: "_Flow[K]") -> None:
        self.key = key
        self.since = since
        self.flow = flow
        self.previous: _Turn[K] | None = None
        self.next: _Turn[K] | None = None
        self.turns: dict[Hashable, _Turn[K]] | None = None
        """All turns of this key by flow, shared between them; None while there is only this one."""


class _Flow(Generic[K]):
    """The chain of one flow's turns; never empty while it is in ``Flows``."""

    __slots__ = ("first", "last", "name")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        self.first: _Turn[K] | None = None
        self.last: _Turn[K] | None = None

    def append(self, turn: _Turn[K]) -> None:
        turn.previous = self.last
        if self.last is None:
            self.first = turn
        else:
            self.last.next = turn
        self.last = turn

    def remove(self, turn: _Turn[K]) -> None:
        if turn.previous is None:
            self.first = turn.next
        else:
            turn.previous.next = turn.next
        if turn.next is None:
            self.last = turn.previous
        else:
            turn.next.previous = turn.previous
        turn.previous = turn.next = None  # no cycles: freed at once, not by the collector


class Flows(Generic[K]):
    """Waiting keys.

    Invariants, checked by ``validate``: every waiting key has at least one turn, at most one per flow; every
    turn belongs to a waiting key; no flow is empty, so flows that come and go leave nothing behind.
    """

    def __init__(self) -> None:
        self._turns: dict[K, _Turn[K]] = {}  # the first turn made for each waiting key
        self._flows: OrderedDict[Hashable, _Flow[K]] = OrderedDict()  # in the order of their next turns

    def __len__(self) -> int:
        """Return the number of waiting keys, each counted once."""
        return len(self._turns)

    def __contains__(self, key: K) -> bool:
        return key in self._turns

    @property
    def flows(self) -> int:
        """Number of flows with a key that waits."""
        return len(self._flows)

    def join(self, key: K, flow: Hashable) -> bool:
        """Give a key that waits already a turn in ``flow`` too; return False if it does not wait."""
        turn = self._turns.get(key)
        if turn is None:
            return False
        turns = turn.turns
        if turns is None:
            if turn.flow.name == flow:
                return True
            turns = turn.turns = {turn.flow.name: turn}
        elif flow in turns:
            return True
        another = self._append(key, flow, turn.since)
        another.turns = turns
        turns[flow] = another
        return True

    def put(self, key: K, flow: Hashable, since: float) -> None:
        """Let a key wait in ``flow``; ``since`` is when it was first asked for, in the caller's clock."""
        if not self.join(key, flow):
            self._turns[key] = self._append(key, flow, since)

    def take(self) -> tuple[K, Hashable, float]:
        """Remove the key whose turn it is; return it, the flow whose turn it was, and its ``since``.

        Raises KeyError when no key waits.
        """
        name, flow = self._flows.popitem(last=False)
        turn = flow.first
        assert turn is not None  # noqa: S101 - "no flow is empty"
        flow.remove(turn)
        if flow.first is not None:
            self._flows[name] = flow  # its next turn comes after one of every other flow
        del self._turns[turn.key]
        if turn.turns is not None:
            for other in turn.turns.values():
                if other is not turn:
                    self._leave(other)
        return turn.key, name, turn.since

    def clear(self) -> None:
        """Forget every key that waits."""
        self._turns.clear()
        for flow in self._flows.values():
            while flow.first is not None:
                flow.remove(flow.first)
        self._flows.clear()

    def validate(self) -> None:
        """Check every invariant; raises AssertionError. For tests: walks everything."""
        turns_of: dict[K, dict[Hashable, _Turn[K]]] = {}
        for name, flow in self._flows.items():
            assert flow.name == name  # noqa: S101
            assert flow.first is not None, f"flow {name!r} is empty"  # noqa: S101
            previous: _Turn[K] | None = None
            turn: _Turn[K] | None = flow.first
            while turn is not None:
                assert turn.flow is flow and turn.previous is previous  # noqa: S101, PT018
                assert turns_of.setdefault(turn.key, {}).setdefault(name, turn) is turn  # noqa: S101
                previous, turn = turn, turn.next
            assert flow.last is previous  # noqa: S101
        assert turns_of.keys() == self._turns.keys()  # noqa: S101
        for key, turns in turns_of.items():
            first = self._turns[key]
            assert first in turns.values()  # noqa: S101
            for each in turns.values():
                assert each.turns is first.turns and each.since == first.since  # noqa: S101, PT018
            assert (first.turns or {first.flow.name: first}) == turns  # noqa: S101

    def _append(self, key: K, name: Hashable, since: float) -> _Turn[K]:
        flow = self._flows.get(name)
        if flow is None:
            flow = self._flows[name] = _Flow(name)
        turn = _Turn(key, since, flow)
        flow.append(turn)
        return turn

    def _leave(self, turn: _Turn[K]) -> None:
        turn.flow.remove(turn)
        if turn.flow.first is None:
            del self._flows[turn.flow.name]
