"""Notices that wait for a commit: bounded, so that a flood of pings or refusals costs little."""

from collections import Counter

from webhook.gate import project_of
from webhook.journal.statements import Notice

MOST = 500
"""Notices that wait for a commit; further ones are dropped."""
EACH = 100
"""Those of one Project, so that others find room."""


class NoticeQueue:
    """Collects notices until they are taken."""

    def __init__(self) -> None:
        self._waiting: list[Notice] = []
        self._by_project: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, notice: Notice) -> bool:
        """Keep one; return False where there is no room for it."""
        project = project_of(notice.receiver)
        if len(self._waiting) >= MOST or self._by_project[project] >= EACH:
            return False
        self._waiting.append(notice)
        self._by_project[project] += 1
        return True

    def take(self) -> list[Notice]:
        """Return all that wait, and forget them."""
        taken, self._waiting = self._waiting, []
        self._by_project.clear()
        return taken
