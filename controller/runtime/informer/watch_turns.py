"""An informer's turn to open a watch, where informers take turns with that."""

from typing import Protocol


class Turns(Protocol):
    """Lets so many at a time do something; what is taken must be given back."""

    async def take(self) -> None:
        """Wait for a turn."""

    def give(self) -> None:
        """Give it back."""


class Opening:
    """Holds a turn while a watch is being opened, if there are ``turns`` to be taken."""

    def __init__(self, turns: Turns | None) -> None:
        self._turns = turns
        self._taken = False
        self.waits = False
        """Whether it waits for its turn right now."""

    async def begin(self) -> None:
        """Return once the watch may be opened."""
        if self._turns is not None:
            self.waits = True
            await self._turns.take()
            self.waits, self._taken = False, True

    def end(self) -> None:
        """The watch is open, or never will be; what is done twice counts once."""
        if self._turns is not None and self._taken:
            self._taken = False
            self._turns.give()
