"""Coarse deadlines for many things at once, most of which are met.

They are kept in dicts, in the order in which they are due: two dict operations for each request. A timer of
the event loop for each would cost ten times as much.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
P = TypeVar("P", bound=Hashable)


class Deadlines(Generic[K, P]):
    """Each thing is in one phase at a time, and overdue some seconds after it entered that phase.

    ``seconds`` has the number for each phase; ``now`` returns monotonic seconds.
    """

    def __init__(self, seconds: Mapping[P, float], now: Callable[[], float]) -> None:
        self._seconds = dict(seconds)
        self._now = now
        self._phase: dict[K, P] = {}
        self._entered: dict[P, dict[K, float]] = {phase: {} for phase in seconds}
        """By phase, when each thing entered it, in this order: the first is due first."""

    def __len__(self) -> int:
        return len(self._phase)

    def enter(self, key: K, phase: P) -> None:
        """Move ``key`` into a phase, out of the one that it is in."""
        self.leave(key)
        self._phase[key] = phase
        self._entered[phase][key] = self._now()

    def leave(self, key: K) -> None:
        """End the phase that ``key`` is in, if it is in any."""
        phase = self._phase.pop(key, None)
        if phase is not None:
            del self._entered[phase][key]

    def oldest(self, phase: P) -> K | None:
        """Return the thing that is due first of those in a phase; None if there is none."""
        return next(iter(self._entered[phase]), None)

    def overdue(self) -> list[tuple[K, P]]:
        """Return all that are overdue, each with the phase that it was in; they leave it."""
        now, due = self._now(), []
        for phase, entered in self._entered.items():
            for key, since in entered.items():
                if now - since < self._seconds[phase]:
                    break
                due.append((key, phase))
        for key, _ in due:
            self.leave(key)
        return due
