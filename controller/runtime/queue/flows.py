"""Keys that wait for their turn: flows take turns, and within one flow the first in is the first out.

A flow is a path, such as (tenant, sender, subject). The branches of each level take turns, so that one with
10,000 waiting keys delays a key of another branch by one key, over however many branches below it has spread
them. A key asked for by two flows stands in both, and is handed out once, at the turn that comes first.

Pure: no clock, no event loop. The time of every operation depends on the length of the path and, for a key in
several flows, on their number; never on how many keys or flows there are.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

Flow = tuple[Hashable, ...]
"""A path from the outermost branch inwards; all flows of one queue have the same length, at least one."""

_Branch = OrderedDict[Any, Any]
"""The branches below this one by name, or in a flow's last branch its keys; the first has the next turn."""


class Waiting(NamedTuple):
    """Why and since when a key waits."""

    flows: tuple[Flow, ...]
    """The flows that asked for it, in that order."""
    since: float
    """When the first of them did, in the caller's clock."""


class Flows(Generic[K]):
    """Waiting keys.

    Invariants, checked by ``validate``: every waiting key stands in each of its flows once, and nowhere else;
    no branch is empty, so flows that come and go leave nothing behind.
    """

    def __init__(self) -> None:
        self._waiting: dict[K, Waiting] = {}
        self._root: _Branch = OrderedDict()

    def __len__(self) -> int:
        """Return the number of waiting keys, each counted once."""
        return len(self._waiting)

    def __contains__(self, key: K) -> bool:
        return key in self._waiting

    def put(self, key: K, flow: Flow, since: float) -> None:
        """Let a key wait in ``flow``, besides the flows in which it waits already."""
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = Waiting((flow,), since)
        elif flow in waiting.flows:
            return
        else:
            self._waiting[key] = Waiting((*waiting.flows, flow), waiting.since)
        branch = self._root
        for name in flow:
            below = branch.get(name)
            if below is None:
                below = branch[name] = OrderedDict()
            branch = below
        branch[key] = None

    def take(self) -> tuple[K, Waiting]:
        """Remove the key whose turn it is and return it; a key must be waiting."""
        branch = self._root
        while True:
            name, below = next(iter(branch.items()))
            if below is None:
                break
            branch.move_to_end(name)  # its next turn comes after one of every other branch
            branch = below
        waiting = self._waiting.pop(name)
        for flow in waiting.flows:
            _remove(self._root, (*flow, name), 0)
        return name, waiting

    def validate(self) -> None:
        """Check every invariant; raises AssertionError. For tests: walks everything."""
        places = list(_places(self._root, ()))
        assert len(places) == len(set(places))  # noqa: S101
        assert set(places) == {  # noqa: S101
            (*flow, key) for key, waiting in self._waiting.items() for flow in waiting.flows
        }


def _remove(branch: _Branch, path: Flow, depth: int) -> None:
    """Remove what stands at the end of a path, and each branch of it that becomes empty."""
    name = path[depth]
    if depth + 1 < len(path):
        _remove(branch[name], path, depth + 1)
        if branch[name]:
            return
    del branch[name]


def _places(branch: _Branch, path: Flow) -> list[Flow]:
    places: list[Flow] = []
    for name, below in branch.items():
        assert below is None or below, f"branch {(*path, name)!r} is empty"  # noqa: S101
        places += [(*path, name)] if below is None else _places(below, (*path, name))
    return places
