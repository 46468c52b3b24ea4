"""The account of unfinished deliveries, by Project: so that one can't take the room of others."""

import asyncio
from collections import Counter


class Unfinished:
    """Sizes in bytes of the deliveries that are queued, or on the disk, and not finished."""

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
        """Whether a Project may have so much more: up to ``each`` in any case, else what all leave free."""
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
        """Name a delivery that was counted by ``hold``."""
        self._deliveries[delivery] = project, size, True
        self._resumed += size

    def end(self, delivery: str) -> bool:
        """Count a delivery no more; return whether it was counted."""
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
        """Return when the resumed deliveries that have not ended take no more than ``size``."""
        while self._resumed > size:
            self._resumed_ended.clear()
            await self._resumed_ended.wait()
