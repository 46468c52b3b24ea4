"""Limits how many informers open a watch at the same time."""

from typing import Protocol


class Turns(Protocol):
    """A limited number of turns; each one that is taken must be given back."""

    async def take(self) -> None:
        """Wait for a turn."""

    def give(self) -> None:
        """Give it back."""


class WatchTurn:
    """Holds one of ``turns`` while a watch is being opened; without ``turns`` there is no limit."""

    def __init__(self, turns: Turns | None) -> None:
        self._turns = turns
        self._held = False
        self.waits = False
        """Whether it is waiting for its turn."""

    async def begin(self) -> None:
        """Wait until the watch may be opened."""
        if self._turns is not None:
            self.waits = True
            await self._turns.take()
            self.waits, self._held = False, True

    def end(self) -> None:
        """Give the turn back, if it is held: the watch is open, or never will be."""
        if self._turns is not None and self._held:
            self._held = False
            self._turns.give()
