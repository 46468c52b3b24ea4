"""Keys that wait for their turn: flows take turns, and within one flow the first in is the first out.

A flow is a path, such as (tenant, sender, subject). The branches of each level take turns, so that one with
10,000 waiting keys delays a key of another branch by one key, over however many branches below it has spread
them. A key asked for by two flows stands in both, and is handed out once, at the turn that comes first.

Pure: no clock, no event loop. The time of every operation depends on the length of the path and, for a key in
several flows, on their number; never on how many keys or flows there are.

A flow whose path begins with LOWEST has its turn only while no other flow has a waiting key.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

Flow = tuple[Hashable, ...]
"""A path from the outermost branch inwards; all flows of one queue have the same length, at least one."""

LOWEST = "\x00lowest"
"""The outermost branch of what is to be in nobody's way."""

_Branch = OrderedDict[Any, Any]
"""The branches below this one by name, or in a flow's last branch its keys; the first has the next turn."""


class Flows(Generic[K]):
    """Waiting keys.

    Invariants, checked by ``validate``: every waiting key stands in each of its flows once, and nowhere else;
    no branch is empty, so flows that come and go leave nothing behind.
    """

    def __init__(self) -> None:
        self._waiting: dict[K, tuple[tuple[Flow, ...], float]] = {}
        """By key: the flows that asked for it, in that order, and when the first of them did."""
        self._root: _Branch = OrderedDict()

    def __len__(self) -> int:
        """Return the number of waiting keys, each counted once."""
        return len(self._waiting)

    def __contains__(self, key: K) -> bool:
        return key in self._waiting

    def put(self, key: K, flow: Flow, now: float) -> bool:
        """Let a key wait in ``flow``, besides any others; return whether it had not been waiting."""
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = (flow,), now
        else:
            flows, since = waiting
            if flow in flows:
                return False
            self._waiting[key] = (*flows, flow), since
        branch = self._root
        for name in flow:
            below = branch.get(name)
            if below is None:
                below = branch[name] = OrderedDict()
            branch = below
        branch[key] = None
        return waiting is None

    def take(self) -> tuple[K, tuple[Flow, ...], float]:
        """Remove the key whose turn it is; return it, its flows, and since when it waited.

        A key must be waiting.
        """
        branch = self._root
        while True:
            name, below = next(iter(branch.items()))
            if name == LOWEST and branch is self._root and len(branch) > 1:
                branch.move_to_end(name)
                name, below = next(iter(branch.items()))
            if below is None:
                break
            branch.move_to_end(name)  # its next turn comes after one of every other branch
            branch = below
        flows, since = self._waiting.pop(name)
        for flow in flows:
            self._remove(name, flow)
        return name, flows, since

    def _remove(self, key: K, flow: Flow) -> None:
        """Remove a key from one of its flows, and each branch that becomes empty by that."""
        branches = [self._root]
        for name in flow:
            branches.append(branches[-1][name])
        del branches[-1][key]
        depth = len(flow)
        while depth and not branches[depth]:
            depth -= 1
            del branches[depth][flow[depth]]

    def validate(self) -> None:
        """Check every invariant; raises AssertionError. For tests: walks everything."""
        places = list(_places(self._root, ()))
        assert len(places) == len(set(places))  # noqa: S101
        assert set(places) == {  # noqa: S101
            (*flow, key) for key, (flows, _) in self._waiting.items() for flow in flows
        }


def _places(branch: _Branch, path: Flow) -> list[Flow]:
    places: list[Flow] = []
    for name, below in branch.items():
        assert below is None or below, f"branch {(*path, name)!r} is empty"  # noqa: S101
        places += [(*path, name)] if below is None else _places(below, (*path, name))
    return places
