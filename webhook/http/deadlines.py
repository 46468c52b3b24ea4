"""Deadlines for many things at once, nearly all of which are met, without a timer for each.

A dict kept in the order of its deadlines costs a request two dict operations, where a timer of the event loop
costs ten times as much.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
P = TypeVar("P", bound=Hashable)


class Deadlines(Generic[K, P]):
    """Things that are each in one phase at a time, and overdue some seconds after they entered it.

    ``seconds`` says how many for each phase; ``now`` returns monotonic seconds.
    """

    def __init__(self, seconds: Mapping[P, float], now: Callable[[], float]) -> None:
        self._seconds = dict(seconds)
        self._now = now
        self._phase: dict[K, P] = {}
        self._entered: dict[P, dict[K, float]] = {phase: {} for phase in seconds}
        """By phase, when each thing entered it: the one that entered first is due first."""

    def __len__(self) -> int:
        return len(self._phase)

    def enter(self, key: K, phase: P) -> None:
        """Begin a phase, which ends the one that ``key`` was in."""
        self.leave(key)
        self._phase[key] = phase
        self._entered[phase][key] = self._now()

    def leave(self, key: K) -> None:
        """End the phase that ``key`` is in, if it is in any."""
        phase = self._phase.pop(key, None)
        if phase is not None:
            del self._entered[phase][key]

    def oldest(self, phase: P) -> K | None:
        """Return what is due first of those in a phase, or None."""
        return next(iter(self._entered[phase]), None)

    def overdue(self) -> list[tuple[K, P]]:
        """Return what is due by now, each with the phase that it was in and is in no longer."""
        now, due = self._now(), []
        for phase, entered in self._entered.items():
            for key, since in entered.items():
                if now - since < self._seconds[phase]:
                    break
                due.append((key, phase))
        for key, _ in due:
            self.leave(key)
        return due
