"""Counts unfinished deliveries by Project, so that one Project can't use up the room of others."""

import asyncio
from collections import Counter


class Unfinished:
    """The sizes in bytes of the deliveries that are not finished, queued or on the disk."""

    def __init__(self, *, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._total = 0
        self._held: Counter[str] = Counter()
        self._deliveries: dict[str, tuple[str, int, bool]] = {}
        """By id: its Project, its size, and whether it was resumed."""
        self._resumed = 0
        self._resumed_ended = asyncio.Event()

    def fits(self, project: str, size: int) -> bool:
        """Return whether a Project may have ``size`` more: up to ``each`` always, beyond it what is free."""
        held = self._held[project] + size
        return held <= self._each or held + self._total <= self._most

    def hold(self, project: str, size: int) -> None:
        """Count what a Project has on the disk from earlier processes."""
        self._held[project] += size
        self._total += size

    def add(self, delivery: str, project: str, size: int) -> None:
        """Count a new delivery."""
        self.hold(project, size)
        self._deliveries[delivery] = project, size, False

    def resume(self, delivery: str, project: str, size: int) -> None:
        """Note the id of a delivery that ``hold`` has counted."""
        self._deliveries[delivery] = project, size, True
        self._resumed += size

    def end(self, delivery: str) -> bool:
        """Stop counting a delivery; return whether it was counted."""
        found = self._deliveries.pop(delivery, None)
        if found is None:
            return False
        project, size, resumed = found
        self.hold(project, -size)
        if not self._held[project]:
            del self._held[project]
        if resumed:
            self._resumed -= size
            self._resumed_ended.set()
        return True

    async def resumed_below(self, size: int) -> None:
        """Wait until the resumed deliveries that have not ended take no more than ``size``."""
        while self._resumed > size:
            self._resumed_ended.clear()
            await self._resumed_ended.wait()
